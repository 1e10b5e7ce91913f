from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import log_loss

from pneumo_tf.evaluation.learning_curve import PowerLaw, balanced_log_loss, nested_order, outlook, sizes

PATIENTS = [14, 28, 57, 113, 226, 453, 906, 1811]


def test_the_sizes_halve_from_all_patients_down_to_ten():
    assert sizes(1811) == PATIENTS
    assert sizes(320) == [10, 20, 40, 80, 160, 320]


def test_few_patients_are_halved_in_two_steps():
    assert sizes(57) == [10, 14, 20, 28, 40, 57]
    assert sizes(8) == [8]
    assert sizes(640, fewest=100)[0] >= 100


@pytest.mark.parametrize("seed", range(3))
def test_every_beginning_of_the_order_holds_the_kinds_in_their_shares(seed):
    kinds = ["normal"] * 60 + ["bacteria"] * 30 + ["virus"] * 9 + ["rare"]
    order = nested_order(kinds, np.random.default_rng(seed))
    assert sorted(order) == list(range(100))
    assert {kinds[place] for place in order[:4]} == set(kinds)
    for size in range(4, 101):
        drawn = Counter(kinds[place] for place in order[:size])
        for kind, count in Counter(kinds).items():
            assert abs(drawn[kind] - size * count / 100) <= 2


def test_other_seeds_draw_other_patients():
    kinds = ["normal"] * 20
    first, again, other = (nested_order(kinds, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_in_the_log_loss_every_class_counts_alike(three_classes):
    each = [log_loss(three_classes.labels[own], three_classes.values[own], labels=[0, 1, 2])
            for own in (three_classes.labels == index for index in range(3))]
    assert balanced_log_loss(three_classes) == pytest.approx(np.mean(each))


def test_a_score_of_nothing_for_the_true_class_costs_much_but_not_everything(scores_of):
    found = balanced_log_loss(scores_of([0, 1, 1], [0.1, 0.9, 0.0]))
    assert found == pytest.approx(-(np.log(0.9) + (np.log(0.9) + np.log(1e-7)) / 2) / 2)


def test_the_law_finds_the_numbers_that_errors_were_made_from():
    made = PowerLaw(limit=0.05, drop=0.02, decay=0.6, unit=1811)
    found = PowerLaw.fit(PATIENTS, made.at(np.array(PATIENTS)))
    assert (found.limit, found.drop, found.decay) == pytest.approx((0.05, 0.02, 0.6), rel=1e-3)


def curves(errors: np.ndarray, *, noise: float = 0.02, draws: int = 5, seed: int = 0) -> np.ndarray:
    """Draws that spread less and less about the errors, and agree at the largest size."""
    spread = noise * np.array([(PATIENTS[0] / size) ** 0.7 for size in PATIENTS[:-1]] + [0])
    return errors + spread * np.random.default_rng(seed).normal(size=(draws, len(PATIENTS)))


@pytest.mark.parametrize("seed", range(4))
def test_a_falling_error_is_carried_on_to_twice_the_patients(seed):
    law = PowerLaw(limit=0.03, drop=0.02, decay=0.5, unit=1811)
    found = outlook(PATIENTS, curves(law.at(np.array(PATIENTS)), seed=seed), smallest=0.001)
    true = 0.02 * (1 - 2**-0.5)
    assert found["verdict"] == "grows"
    assert found["patients"] == 3622
    assert found["value"] == pytest.approx(true, rel=0.35)
    assert found["low"] <= found["value"] <= found["high"]


def test_a_level_end_is_called_flat():
    law = PowerLaw(limit=0.03, drop=0.0005, decay=1, unit=1811)
    found = outlook(PATIENTS, curves(law.at(np.array(PATIENTS))), smallest=0.001)
    assert (found["verdict"], found["value"] < 0.001) == ("flat", True)


def test_a_law_that_does_not_foretell_the_last_size_is_not_carried_on():
    errors = PowerLaw(limit=0.03, drop=0.02, decay=0.5, unit=1811).at(np.array(PATIENTS))
    errors[-1] += 0.015
    found = outlook(PATIENTS, curves(errors), smallest=0.001)
    assert (found["verdict"], found["why"], found["value"]) == ("unclear", "unlawful", None)
    assert found["miss"] > 0.01
    assert "law" not in found


def test_four_sizes_are_too_few():
    found = outlook([10, 14, 20, 28], np.full((5, 4), 0.1), smallest=0.001)
    assert (found["why"], found["value"], found["n"]) == ("few", None, 5)
