import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from pneumo_tf.evaluation.reliability import calibration_line, equal_mass_bins, reliability


@pytest.fixture
def too_sure(scores_of):
    """Logits doubled and moved: slope 1/2, intercept 1/2."""
    generator = np.random.default_rng(6)
    truth = generator.normal(0, 1.5, 6000)
    return scores_of((generator.random(6000) < expit(truth)).astype(int), expit(2 * truth - 1))


def test_slope_and_intercept_are_those_that_made_the_scores(too_sure):
    figures = reliability(too_sure, resamples=200)["figures"]
    for name in ("slope", "intercept"):
        assert figures[name]["low"] < 0.5 < figures[name]["high"]
        assert figures[name]["high"] - figures[name]["low"] < 0.2


def test_the_line_is_scikit_learns_without_a_penalty(noisy):
    scores = noisy(300)
    x = logit(np.clip(scores.positive_scores, 1e-7, 1 - 1e-7))
    expected = LogisticRegression(C=1e10, tol=1e-10, max_iter=1000).fit(x[:, None], scores.labels)
    once = np.ones((1, 300))
    line = calibration_line(scores.labels == 1, scores.positive_scores)
    intercept, slope = line(once)[0]
    assert (intercept, slope) == pytest.approx((expected.intercept_[0], expected.coef_[0, 0]), rel=1e-4)
    weights = np.random.default_rng(0).integers(0, 4, (1, 300)).astype(float)
    weighted = LogisticRegression(C=1e10, tol=1e-10, max_iter=1000).fit(x[:, None], scores.labels, weights[0])
    assert line(weights)[0] == pytest.approx([weighted.intercept_[0], weighted.coef_[0, 0]], rel=1e-4)


def test_brier_is_scikit_learns(noisy):
    scores = noisy(300)
    figure = reliability(scores, resamples=100)["figures"]["brier"]
    assert figure["value"] == pytest.approx(brier_score_loss(scores.labels, scores.positive_scores))
    assert figure["low"] < figure["value"] < figure["high"]


def test_the_calibration_error_is_the_mean_gap_over_bins_of_equal_size(scores_of):
    # 15 bins of 2 films: one positive in each, all scored 0.75.
    result = reliability(scores_of([0, 1] * 15, [0.75] * 30), resamples=10)
    assert [part["films"] for part in result["bins"]] == [2] * 15
    assert result["figures"]["ece"]["value"] == pytest.approx(0.25)


def test_bins_hold_equally_many_films_by_rising_score(noisy):
    scores = noisy(100)
    bins = equal_mass_bins(scores.labels == 1, scores.positive_scores)
    assert {part["films"] for part in bins} == {6, 7}
    assert sum(part["films"] for part in bins) == 100
    means = [part["mean_score"] for part in bins]
    assert means == sorted(means)
    assert sum(part["films"] * part["share"] for part in bins) == pytest.approx(scores.labels.sum())
    assert all(part["low"] <= part["share"] <= part["high"] for part in bins)


@pytest.mark.parametrize(("labels", "scores", "why"), [
    ([0] * 5 + [1] * 5, [0.1] * 5 + [0.9] * 5, "separated"), ([1, 1, 1], [0.1, 0.2, 0.8], "one_class_only"),
    ([0, 1, 1], [0.6, 0.6, 0.6], "tied_scores")])
def test_a_slope_that_does_not_exist_is_null_with_a_reason(scores_of, labels, scores, why):
    result = reliability(scores_of(labels, scores), resamples=20)
    slope = result["figures"]["slope"]
    assert (slope["value"], slope["low"], slope["high"], slope["why"]) == (None, None, None, why)
    assert result["figures"]["brier"]["value"] is not None
    json.dumps(result, allow_nan=False)


def test_the_log_loss_is_scikit_learns(noisy):
    scores = noisy(300)
    figure = reliability(scores, resamples=100)["figures"]["log_loss"]
    assert figure["value"] == pytest.approx(log_loss(scores.labels, np.clip(scores.values, 1e-7, 1 - 1e-7)))
    assert figure["low"] < figure["value"] < figure["high"]


def test_every_figure_says_how_many_films_and_by_what_method(noisy):
    for figure in reliability(noisy(90, films_per_patient=3), resamples=50)["figures"].values():
        assert (figure["films"], figure["patients"]) == (90, 30)
        assert figure["method"]


def test_probabilities_lie_where_chance_puts_them_and_scores_that_lie_too_high_do_not(honest, sharpened):
    found = [reliability(scores, resamples=300)["figures"]["ece"]
             for scores in (honest, sharpened(honest, 1.0, 0.5))]
    assert found[0]["chance"]["low"] < found[0]["value"] < found[0]["chance"]["high"]
    assert found[1]["value"] > 2 * found[1]["chance"]["high"]


def test_the_chance_of_one_patients_films_is_one_draw(honest):
    def reach(scores):
        return reliability(scores, resamples=300)["figures"]["ece"]["chance"]["high"]

    clustered = replace(honest, patients=np.array([f"p{film // 20}" for film in range(4000)]))
    assert reach(clustered) > 1.5 * reach(honest)


def test_several_classes_are_judged_by_the_class_that_they_are_called(three_classes):
    found = reliability(three_classes, resamples=100)
    assert found["judged"] == "top_label"
    assert list(found["figures"]) == ["log_loss", "brier", "ece"]
    truth = np.eye(3)[three_classes.labels]
    expected = ((three_classes.values - truth) ** 2).sum(axis=1).mean()
    assert found["figures"]["brier"]["value"] == pytest.approx(expected)
    right = three_classes.values.argmax(axis=1) == three_classes.labels
    assert sum(part["films"] * part["share"] for part in found["bins"]) == pytest.approx(right.sum())
    tops = [part["mean_score"] for part in found["bins"]]
    assert min(tops) > 1 / 3
    assert tops == sorted(tops)


def test_the_brier_score_of_several_classes_is_scikit_learns(three_classes):
    figure = reliability(three_classes, resamples=20)["figures"]["brier"]
    theirs = brier_score_loss(three_classes.labels, three_classes.values, scale_by_half=False)
    assert figure["value"] == pytest.approx(theirs)
