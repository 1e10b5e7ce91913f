from collections import Counter

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    recall_score,
    roc_auc_score,
)

from pneumo_tf.evaluation.refits import (
    PowerLaw,
    balanced_log_loss,
    nested_order,
    outlook,
    over_splits,
    sizes,
    split_figures,
)


def test_the_figures_of_a_split_are_those_of_scikit_learn(noisy):
    scores = noisy(300)
    called = scores.positive_scores >= 0.4
    assert split_figures(scores, 0.4) == pytest.approx({
        "auc": roc_auc_score(scores.labels, scores.positive_scores),
        "sensitivity": recall_score(scores.labels, called),
        "specificity": recall_score(scores.labels, called, pos_label=0),
        "accuracy": accuracy_score(scores.labels, called),
        "brier": brier_score_loss(scores.labels, scores.positive_scores)})


def test_several_classes_are_judged_by_their_highest_score(three_classes):
    called = three_classes.values.argmax(axis=1)
    assert split_figures(three_classes, None) == pytest.approx({
        "macro_auc": roc_auc_score(three_classes.labels, three_classes.values, multi_class="ovr"),
        "balanced_accuracy": balanced_accuracy_score(three_classes.labels, called),
        "accuracy": accuracy_score(three_classes.labels, called)})


def test_a_split_without_a_class_lacks_the_figures_that_need_it(scores_of):
    scores = scores_of([1, 1], [0.2, 0.9])
    figures = split_figures(scores, 0.5)
    assert (figures["auc"], figures["specificity"], figures["sensitivity"]) == (None, None, 0.5)


def test_without_test_patients_the_interval_is_students():
    values = [0.90, 0.92, 0.97, 0.93]
    found = over_splits(values, ratio=0)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert (found["value"], found["sd"]) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (found["least"], found["most"], found["n"]) == (0.90, 0.97, 4)


def test_the_interval_never_leaves_the_shares():
    found = over_splits([0.999, 0.95, 1.0], ratio=0.5)
    assert found["high"] == 1
    assert over_splits([0.001, 0.05, 0.0], ratio=0.5)["low"] == 0


def test_equal_splits_tell_nothing_of_a_width():
    found = over_splits([1.0, 1.0, 1.0], ratio=0.5)
    assert (found["value"], found["sd"], found["low"], found["high"]) == (1, 0, None, None)


def losses_over_splits(generator: np.random.Generator, *, films: int, tested: int,
                       splits: int) -> list[float]:
    """The mean of the rest guesses each test value: its squared error, for several splits of one sample."""
    values, errors = generator.normal(0.5, 0.1, films), []
    for _ in range(splits):
        dealt = generator.permutation(values)
        errors.append(float(np.mean((dealt[:tested] - dealt[tested:].mean()) ** 2)))
    return errors


def test_the_corrected_interval_covers_where_the_plain_one_does_not():
    """The true error is known: the variance, and what it adds to guess the mean from 70 values."""
    generator, true = np.random.default_rng(5), 0.1**2 * (1 + 1 / 70)
    hits = {0.0: 0, 30 / 70: 0}
    for _ in range(600):
        losses = losses_over_splits(generator, films=100, tested=30, splits=10)
        for ratio in hits:
            found = over_splits(losses, ratio=ratio)
            hits[ratio] += found["low"] <= true <= found["high"]
    plain, corrected = (count / 600 for count in hits.values())
    assert plain < 0.75
    assert 0.9 < corrected < 0.985


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


def test_draws_that_disagree_on_what_is_worth_a_word_are_told_apart():
    laws = [PowerLaw(limit=0.03, drop=drop, decay=0.5, unit=1811) for drop in (0.001, 0.02)]
    errors = np.array([law.at(np.array(PATIENTS)) for law in laws])
    found = outlook(PATIENTS, errors, smallest=0.001)
    assert (found["verdict"], found["why"]) == ("unclear", "apart")
    assert found["low"] < 0.001 < found["high"]
    assert "law" not in found


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
