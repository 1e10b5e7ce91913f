"""A run is fitted to a place only as far as its films give reason for it, and what that gains is measured on
patients that had no part in it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from pneumo_tf.errors import LabelError
from pneumo_tf.evaluation import adaptation
from pneumo_tf.evaluation.adaptation import Point, check_enough, fit_point, gains
from pneumo_tf.evaluation.calibration.calibrators import Uncalibrated
from pneumo_tf.evaluation.operating_point import Rule, parse_rule
from pneumo_tf.evaluation.scores import Scores

OWN = Point(0.5, Uncalibrated())
YOUDEN = Rule()


def films(count: int, *, shift: float = 0.0, apart: float = 3.0, odd: float = 0.0, share: float = 0.5,
          seed: int = 0) -> Scores:
    """Films of as many patients, two each; logits are normal, `apart` between the classes.

    Args:
        shift: Of all logits, which 0.5 parts best where it is 0.
        odd: Share of healthy films whose logits are five higher.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.random(count // 2) < share, 2).astype(int)
    logits = (labels - 0.5) * apart + shift + rng.normal(0, 1, count)
    logits += 5 * ((labels == 0) & (rng.random(count) < odd))
    positive = expit(logits)
    return Scores(("NORMAL", "PNEUMONIA"), "PNEUMONIA", [f"f{n}" for n in range(count)], labels,
                  np.column_stack([1 - positive, positive]), np.array([f"p{n // 2}" for n in range(count)]))


def balanced_accuracy(scores: Scores, threshold: float) -> float:
    called, ill = scores.positive_scores >= threshold, scores.labels == 1
    return float(called[ill].mean() + (~called[~ill]).mean()) / 2


def test_where_all_scores_are_higher_the_threshold_moves_to_where_the_classes_part() -> None:
    fitted = fit_point(films(200, shift=2), OWN, YOUDEN)
    assert logit(fitted.threshold) == pytest.approx(2, abs=0.5)
    unseen = films(20_000, shift=2, seed=9)
    assert balanced_accuracy(unseen, fitted.threshold) > balanced_accuracy(unseen, 0.5) + 0.1


def test_where_nothing_is_different_the_threshold_hardly_costs_anything() -> None:
    unseen = films(20_000, seed=9)
    best = balanced_accuracy(unseen, 0.5)
    costs = [best - balanced_accuracy(unseen, fit_point(films(60, seed=seed), OWN, YOUDEN).threshold)
             for seed in range(8)]
    assert np.mean(costs) < 0.01


def test_where_a_line_would_do_harm_the_run_s_own_threshold_stays() -> None:
    odd = films(400, odd=0.3)
    assert adaptation._by_line(odd, OWN, YOUDEN).threshold > 0.6
    assert fit_point(odd, OWN, YOUDEN).threshold == OWN.threshold


def test_where_higher_scores_mean_healthier_films_everything_stays() -> None:
    scores = films(100, apart=-3)
    assert fit_point(scores, OWN, YOUDEN) == OWN


@pytest.mark.parametrize(("rule", "share", "odds"), [
    ("youden", 0.5, 1.0), ("youden", 0.2, 0.25), ("cost=10", 0.5, 1 / 10), ("cost=10", 0.2, 1 / 10),
    # 10 times the odds of 2 % among the films of which a fifth is ill: both shares are taken into account.
    ("cost=10@0.02", 0.2, (0.98 / 0.02) / 10 * (0.2 / 0.8))])
def test_a_rule_that_weighs_errors_calls_a_film_from_the_odds_on_where_that_pays(
        rule: str, share: float, odds: float) -> None:
    scores = films(2000, share=share, shift=1, seed=2)
    seen = float(np.mean(scores.labels))
    point = adaptation._by_line(scores, OWN, parse_rule(rule))
    at_threshold = Scores(scores.classes, scores.positive, ["x"], np.array([1]),
                          np.array([[1 - point.threshold, point.threshold]]), np.array([""]))
    found = float(point.calibrator.apply(at_threshold).positive_scores[0])
    if rule != "cost=10":  # the others depend on the share of the ill, which was drawn
        odds *= (seen / (1 - seen)) / (share / (1 - share))
    assert found / (1 - found) == pytest.approx(odds, rel=1e-6)


def test_a_rule_that_asks_for_a_share_takes_it_from_the_films() -> None:
    scores = films(200, shift=2)
    ill = scores.positive_scores[scores.labels == 1]
    for share in (0.8, 0.95):
        threshold = fit_point(scores, OWN, parse_rule(f"sensitivity={share}")).threshold
        assert (ill >= threshold).mean() >= share
        assert (ill >= np.nextafter(threshold + 0.05, 1)).mean() < share + 0.1


def test_a_gain_is_found_with_an_interval_above_nothing() -> None:
    scores = films(200, shift=2)
    figures = gains(scores, OWN, fit_point(scores, OWN, YOUDEN), YOUDEN, resamples=200)
    gain = figures["balanced_accuracy"]["difference"]
    assert 0 < gain["low"] < gain["value"] < gain["high"]
    assert gain["value"] == pytest.approx(figures["balanced_accuracy"]["after"]["value"]
                                          - figures["balanced_accuracy"]["before"]["value"])
    assert figures["balanced_accuracy"]["before"]["value"] == pytest.approx(balanced_accuracy(scores, 0.5))
    assert figures["log_loss"]["difference"]["high"] < 0
    assert figures["sensitivity"]["after"]["of"] == int((scores.labels == 1).sum())


def test_what_stays_gains_nothing() -> None:
    scores = films(100)
    figures = gains(scores, OWN, OWN, YOUDEN, resamples=50)
    for figure in figures.values():
        assert figure["difference"]["value"] == 0
        assert figure["difference"]["low"] is None
        assert figure["before"] == figure["after"]


def test_scores_that_know_nothing_gain_nothing() -> None:
    """A figure on the films that chose would find a gain in every one of these."""
    found = []
    for seed in range(6):
        noise = films(60, apart=0, seed=seed)
        found.append(gains(noise, OWN, Point(0.1, OWN.calibrator), YOUDEN, seed=seed, resamples=20)
                     ["balanced_accuracy"]["difference"]["value"])
    assert np.mean(found) < 0.02


def test_nobody_is_judged_by_what_was_fitted_on_their_own_films(monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[set[str]] = []

    def noted(scores: Scores, *_: object, **__: object) -> Point:
        known.append(set(scores.patients))
        return OWN

    monkeypatch.setattr(adaptation, "fit_point", noted)
    scores = films(120)
    gains(scores, OWN, Point(0.4, OWN.calibrator), YOUDEN, resamples=10)
    left_out = [set(scores.patients) - patients for patients in known]
    assert len(known) == 10
    assert set().union(*left_out) == set(scores.patients)
    assert sum(map(len, left_out)) == len(set(scores.patients))  # whole patients, each left out once


@pytest.mark.parametrize(("labels", "groups", "message"), [
    (["A"] * 25 + ["B"] * 24, range(49), "at least 50 labelled films. Received: 49. Label at least 1 more"),
    (["A"] * 91 + ["B"] * 9, range(100), r"10 patients of each class. Received: 9 of B\. .* at least 1 more"),
    (["A"] * 50 + ["B"] * 50, [*range(50), *[99] * 50], "Received: 1 of B"),
    (["A"] * 60, range(60), "Received: 0 of B"),
])
def test_too_few_films_or_patients_of_a_class_are_refused(labels: list[str], groups: range,
                                                          message: str) -> None:
    with pytest.raises(LabelError, match=message):
        check_enough(labels, [str(group) for group in groups], ["A", "B"])


def test_enough_is_enough() -> None:
    check_enough(["A"] * 10 + ["B"] * 40, [str(n) for n in range(50)], ["A", "B"])
    with pytest.raises(LabelError, match=r"two classes\. Received: A, B, C"):
        check_enough(["A", "B"] * 40, [str(n) for n in range(80)], ["A", "B", "C"])
