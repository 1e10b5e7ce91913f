"""What a perturbation changes, on scores whose changes are known."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pneumo_tf.evaluation.perturbed import robustness


@pytest.fixture
def films(noisy):
    return noisy(120, films_per_patient=3)


def perturbed_by(scores, change) -> np.ndarray:
    positive = np.clip(change(scores.positive_scores), 0, 1)
    return np.stack([1 - positive, positive], axis=1)


def test_nothing_changes_where_the_scores_stay(films) -> None:
    row = robustness(films, {"none": films.values}, 0.5, resamples=50)[0]
    assert row["name"] == "none"
    assert row["changed"]["count"] == 0
    assert row["auc"]["value"] == row["sensitivity"]["value"] == row["shift"]["NORMAL"]["value"] == 0
    assert row["auc"]["low"] is None  # nothing was learnt of the width


def test_a_rise_of_all_scores_moves_calls_and_no_rank(films) -> None:
    values = perturbed_by(films, lambda score: 0.3 + 0.6 * score)
    row = robustness(films, {"brighter": values}, 0.5, resamples=100)[0]
    before, after = films.positive_scores >= 0.5, values[:, 1] >= 0.5
    assert row["changed"]["count"] == (before != after).sum() > 10
    assert row["changed"]["low"] < row["changed"]["value"] < row["changed"]["high"]
    assert row["auc"]["value"] == pytest.approx(0, abs=1e-12)
    assert row["shift"]["NORMAL"]["value"] < 0 < row["shift"]["PNEUMONIA"]["value"]
    assert row["sensitivity"]["value"] > 0 > row["specificity"]["value"]
    assert row["specificity"]["high"] < 0


def test_shifts_are_of_each_classs_own_score(films) -> None:
    values = perturbed_by(films, lambda score: score * 0.9)
    shift = robustness(films, {"x": values}, 0.5, resamples=50)[0]["shift"]
    moved = 0.1 * films.positive_scores
    assert shift["PNEUMONIA"]["value"] == pytest.approx(-moved[films.labels == 1].mean())
    assert shift["NORMAL"]["value"] == pytest.approx(moved[films.labels == 0].mean())
    assert shift["NORMAL"]["films"] == (films.labels == 0).sum()


def test_lost_information_shows_in_the_area(films) -> None:
    values = films.values[np.random.default_rng(5).permutation(120)]
    row = robustness(films, {"shuffled": values}, 0.5)[0]
    expected = roc_auc_score(films.labels, values[:, 1]) - roc_auc_score(films.labels, films.positive_scores)
    assert row["auc"]["value"] == pytest.approx(expected)
    assert row["auc"]["high"] < 0


def test_several_classes_have_shifts_and_a_macro_area(three_classes) -> None:
    row = robustness(three_classes, {"same": three_classes.values}, None, resamples=20)[0]
    assert set(row) == {"name", "changed", "shift", "auc"}
    assert set(row["shift"]) == {"NORMAL", "bacteria", "virus"}


def test_one_class_has_no_area(scores_of) -> None:
    scores = scores_of([1] * 20, np.linspace(0.05, 0.95, 20))
    row = robustness(scores, {"x": scores.values[::-1]}, 0.5, resamples=20)[0]
    assert row["auc"]["value"] is None
    assert row["shift"]["NORMAL"]["value"] is None
    assert row["changed"]["value"] == 1
