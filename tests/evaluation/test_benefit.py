import json

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import confusion_matrix

from pneumo_tf.errors import OptionError
from pneumo_tf.evaluation.benefit import decision_curve, predictive_values
from pneumo_tf.evaluation.intervals import wilson


def share(value, *, films=1000):
    """A sensitivity or specificity as the evaluation gives it."""
    if value is None:
        return {"value": None, "low": None, "high": None, "of": 0, "why": "no_positive_films"}
    low, high = wilson(value * films, films)
    return {"value": value, "low": low, "high": high, "of": films}


def test_the_curve_is_counts_weighed_by_the_odds_of_the_threshold(noisy):
    scores = noisy(300)
    curve = decision_curve(scores)
    for index in (0, 20, 45, 90):
        t = curve["threshold"][index]
        (_, alarms), (_, hits) = confusion_matrix(scores.labels, scores.positive_scores >= t)
        assert curve["network"][index] == pytest.approx(hits / 300 - alarms / 300 * t / (1 - t))


def test_thresholds_run_from_5_to_95_percent(noisy):
    threshold = decision_curve(noisy(50))["threshold"]
    assert (threshold[0], threshold[-1], len(threshold)) == (0.05, 0.95, 91)


def test_calling_all_is_worth_nothing_at_the_threshold_that_is_the_prevalence(scores_of):
    curve = decision_curve(scores_of([0, 0, 0, 1], [0.1, 0.2, 0.3, 0.99]))
    worth = dict(zip(curve["threshold"], curve["all"], strict=True))
    assert worth[0.25] == pytest.approx(0)
    assert worth[0.2] > 0 > worth[0.3]


def test_a_perfect_network_is_worth_the_prevalence_at_every_threshold(scores_of):
    curve = decision_curve(scores_of([0, 0, 0, 1], [0, 0, 0, 1]))
    assert np.allclose(curve["network"], 0.25)


def test_predictive_values_follow_bayes():
    # Eddy's mammography example (1982): 1 % prevalence, 80 % sensitivity, 9.6 % false alarms: 7.8 %.
    found = {row["prevalence"]: row for row in predictive_values(share(0.80), share(0.904))}
    assert list(found) == [0.01, 0.05, 0.10, 0.30]
    assert found[0.01]["ppv"]["value"] == pytest.approx(0.0776, abs=5e-5)
    assert found[0.01]["npv"]["value"] == pytest.approx(0.99 * 0.904 / (0.99 * 0.904 + 0.01 * 0.2))


def test_predictive_values_agree_with_counts_at_the_prevalence_of_the_counts(tutorial):
    predicted = tutorial.predicted(0.5)
    (rejected, alarms), (missed, hits) = confusion_matrix(tutorial.labels, predicted)
    sensitivity, specificity = share(hits / (hits + missed)), share(rejected / (rejected + alarms))
    row, = predictive_values(sensitivity, specificity, [450 / 855])
    found = (row["ppv"]["value"], row["npv"]["value"])
    assert found == pytest.approx((hits / (hits + alarms), rejected / (rejected + missed)))


@pytest.mark.parametrize(("sensitivity", "specificity", "ppv", "npv"), [
    (0.0, 1.0, None, 0.9), (1.0, 0.0, 0.1, None), (None, 0.9, None, None), (1.0, 1.0, 1.0, 1.0)])
def test_what_would_never_be_called_has_no_predictive_value(sensitivity, specificity, ppv, npv):
    row, = predictive_values(share(sensitivity), share(specificity), [0.1])
    assert (row["ppv"]["value"], row["npv"]["value"]) == (pytest.approx(ppv), pytest.approx(npv))
    for figure in (row["ppv"], row["npv"]):
        assert (figure["value"] is None) == ("why" in figure) == (figure["low"] is None)
    json.dumps(row, allow_nan=False)


def test_the_interval_agrees_with_mercaldos_where_films_are_many():
    # Mercaldo, Lau and Zhou 2007, Stat Med 26:2170: the standard error on the logit, in closed form.
    sensitivity, specificity = share(0.9, films=4000), share(0.8, films=5000)
    row, = predictive_values(sensitivity, specificity, [0.05])
    spread = {"ppv": 0.1 / 0.9 / 4000 + 0.8 / 0.2 / 5000, "npv": 0.9 / 0.1 / 4000 + 0.2 / 0.8 / 5000}
    for name, variance in spread.items():
        ends = expit(logit(row[name]["value"]) + 1.96 * np.sqrt(variance) * np.array([-1, 1]))
        assert (row[name]["low"], row[name]["high"]) == pytest.approx(ends, abs=0.03 * (ends[1] - ends[0]))


def test_without_a_false_alarm_the_interval_still_says_how_many_films_showed_that():
    few, many = (predictive_values(share(0.9, films=films), share(1.0, films=films), [0.02])[0]["ppv"]
                 for films in (20, 2000))
    assert few["value"] == many["value"] == few["high"] == many["high"] == 1
    assert 0.05 < few["low"] < 0.2 < 0.8 < many["low"] < 1


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.9, 0.8), (0.97, 0.99)])
def test_the_interval_holds_the_true_predictive_value_in_95_of_100_studies(sensitivity, specificity):
    generator = np.random.default_rng(0)
    truth, = predictive_values(share(sensitivity), share(specificity), [0.1])
    held = {"ppv": 0, "npv": 0}
    for found, rejected in zip(generator.binomial(400, sensitivity, 1500) / 400,
                               generator.binomial(400, specificity, 1500) / 400, strict=True):
        row, = predictive_values(share(found, films=400), share(rejected, films=400), [0.1])
        for name in held:
            held[name] += row[name]["low"] <= truth[name]["value"] <= row[name]["high"]
    assert all(0.93 < times / 1500 < 0.97 for times in held.values())


@pytest.mark.parametrize("prevalence", [0, 1, -0.1, 2, float("nan")])
def test_a_prevalence_is_a_share(prevalence):
    with pytest.raises(OptionError, match="between 0 and 1"):
        predictive_values(share(0.9), share(0.9), [0.1, prevalence])


def test_the_band_of_the_curve_is_the_patients_spread(scores_of):
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 2, 400)
    score = np.clip(generator.normal(0.3 + 0.4 * labels, 0.25), 0, 1)
    curve = decision_curve(scores_of(labels, score), resamples=1000)
    gains = (score >= 0.5) * np.where(labels, 1, -1)
    error = gains.std() / 20
    half = curve["threshold"].index(0.5)
    assert curve["network"][half] == pytest.approx(gains.mean())
    assert curve["low"][half] == pytest.approx(gains.mean() - 1.96 * error, abs=0.2 * error)
    assert curve["high"][half] == pytest.approx(gains.mean() + 1.96 * error, abs=0.2 * error)
    assert len(curve["low"]) == len(curve["high"]) == 91
    assert (curve["films"], curve["patients"]) == (400, 400)
