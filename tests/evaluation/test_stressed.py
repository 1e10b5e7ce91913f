"""Figures under stress, on scores whose figures are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score

from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.stressed import stress_figures


@pytest.fixture
def films(noisy: Callable[..., Scores]) -> Scores:
    return noisy(120, films_per_patient=3)


def moved(films: Scores, by: float) -> np.ndarray:
    positive = np.clip(films.positive_scores + by, 0, 1)
    return np.stack([1 - positive, positive], axis=1)


def test_every_row_agrees_with_scikit_learn(films: Scores) -> None:
    values = moved(films, 0.15)
    figures = stress_figures(films, {"brighter": values}, 0.5, resamples=30)
    for row, positive in ((figures["clean"], films.positive_scores),
                          (figures["perturbations"][0], values[:, 1])):
        called, balanced = positive >= 0.5, row["balanced_accuracy"]["value"]
        assert balanced == pytest.approx(balanced_accuracy_score(films.labels, called))
        assert row["sensitivity"]["value"] == pytest.approx(recall_score(films.labels, called))
        assert row["specificity"]["value"] == pytest.approx(recall_score(films.labels, called, pos_label=0))
        assert row["specificity"]["low"] < row["specificity"]["value"] < row["specificity"]["high"]


def test_mean_and_worst_leave_out_what_stands_apart(films: Scores) -> None:
    perturbed = {"up": moved(films, 0.2), "down": moved(films, -0.3), "negative": 1 - films.values}
    figures = stress_figures(films, perturbed, 0.5, apart={"negative"}, together={"up"}, resamples=200)
    up, down, negative = (row["balanced_accuracy"]["value"] for row in figures["perturbations"])
    mean, worst = figures["mean"]["balanced_accuracy"], figures["worst"]
    assert mean["value"] == pytest.approx((up + down) / 2)
    assert mean["low"] < mean["value"] < mean["high"]
    assert worst["name"] == ("up" if up < down else "down")
    assert worst["balanced_accuracy"]["value"] == pytest.approx(min(up, down))
    assert negative < min(up, down)
    assert figures["together"]["balanced_accuracy"]["value"] == pytest.approx(up)


def test_a_mean_of_many_perturbations_is_no_surer_than_its_patients(films: Scores) -> None:
    """The same film ten times tells as much as once, or the interval would lie."""
    once = stress_figures(films, {"a": moved(films, 0.2)}, 0.5, resamples=300)["mean"]["balanced_accuracy"]
    ten = stress_figures(films, {str(n): moved(films, 0.2) for n in range(10)}, 0.5,
                         resamples=300)["mean"]["balanced_accuracy"]
    assert (ten["low"], ten["high"]) == pytest.approx((once["low"], once["high"]))


def test_several_classes_have_a_balanced_accuracy_alone(three_classes: Scores) -> None:
    figures = stress_figures(three_classes, {"same": three_classes.values}, None, resamples=20)
    assert set(figures["perturbations"][0]) == {"name", "balanced_accuracy"}
    assert figures["mean"]["balanced_accuracy"]["value"] == figures["clean"]["balanced_accuracy"]["value"]


def test_films_of_one_class_have_no_balanced_accuracy(scores_of: Callable[..., Scores]) -> None:
    scores = scores_of([1] * 20, np.linspace(0.05, 0.95, 20))
    figures = stress_figures(scores, {"x": scores.values}, 0.5, resamples=20)
    assert figures["mean"]["balanced_accuracy"]["value"] is None
    assert figures["mean"]["sensitivity"]["value"] == pytest.approx(0.5)
