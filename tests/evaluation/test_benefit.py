import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from pneumo_tf.evaluation.benefit import decision_curve, predictive_values


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
    found = {row["prevalence"]: row for row in predictive_values(0.80, 0.904)}
    assert list(found) == [0.01, 0.05, 0.10, 0.30]
    assert found[0.01]["ppv"] == pytest.approx(0.0776, abs=5e-5)
    assert found[0.01]["npv"] == pytest.approx(0.99 * 0.904 / (0.99 * 0.904 + 0.01 * 0.2))


def test_predictive_values_agree_with_counts_at_the_prevalence_of_the_counts(tutorial):
    predicted = tutorial.predicted(0.5)
    (rejected, alarms), (missed, hits) = confusion_matrix(tutorial.labels, predicted)
    row, = predictive_values(hits / (hits + missed), rejected / (rejected + alarms), [450 / 855])
    assert (row["ppv"], row["npv"]) == pytest.approx((hits / (hits + alarms), rejected / (rejected + missed)))


@pytest.mark.parametrize(("sensitivity", "specificity", "ppv", "npv"), [
    (0.0, 1.0, None, 0.9), (1.0, 0.0, 0.1, None), (None, 0.9, None, None), (1.0, 1.0, 1.0, 1.0)])
def test_what_would_never_be_called_has_no_predictive_value(sensitivity, specificity, ppv, npv):
    row, = predictive_values(sensitivity, specificity, [0.1])
    assert row == {"prevalence": 0.1, "ppv": pytest.approx(ppv), "npv": pytest.approx(npv)}
    json.dumps(row, allow_nan=False)
