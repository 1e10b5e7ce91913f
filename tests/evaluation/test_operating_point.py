import numpy as np
import pytest
from sklearn import metrics

from pneumo_tf.errors import LabelError, OptionError
from pneumo_tf.evaluation.operating_point import choose


def test_the_threshold_lies_halfway_between_the_films_that_it_parts(scores_of):
    point = choose(scores_of([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]))
    assert point.threshold == pytest.approx(0.5)
    assert (point.rule, point.sensitivity, point.specificity, point.films) == ("youden", 1.0, 1.0, 4)


def test_youden_reaches_the_best_point_of_scikit_learns_roc(noisy):
    scores = noisy(400)
    fpr, tpr, _ = metrics.roc_curve(scores.labels, scores.positive_scores)
    point = choose(scores)
    assert point.sensitivity + point.specificity - 1 == pytest.approx((tpr - fpr).max())


@pytest.mark.parametrize("rule", ["youden", "sensitivity"])
def test_the_figures_are_those_of_the_threshold(noisy, rule):
    scores = noisy(300, seed=2)
    point = choose(scores, rule=rule)
    predicted = scores.predicted(point.threshold)
    assert point.sensitivity == pytest.approx(metrics.recall_score(scores.labels, predicted))
    assert point.specificity == pytest.approx(metrics.recall_score(scores.labels, predicted, pos_label=0))


def test_of_equal_thresholds_the_one_nearest_a_half_is_chosen(scores_of):
    # J = 0.5 both between 0.1 and 0.2 and between 0.7 and 0.8.
    point = choose(scores_of([0, 1, 0, 1], [0.1, 0.2, 0.7, 0.8]))
    assert point.threshold == pytest.approx(0.75)


def test_the_sensitivity_rule_reaches_its_bound_at_the_highest_specificity(noisy):
    scores = noisy(400)
    point = choose(scores, rule="sensitivity", at_least=0.9)
    fpr, tpr, _ = metrics.roc_curve(scores.labels, scores.positive_scores, drop_intermediate=False)
    assert point.rule == "sensitivity>=0.9"
    assert point.sensitivity >= 0.9
    assert point.specificity == pytest.approx(1 - fpr[tpr >= 0.9].min())


def test_full_sensitivity_is_reached_even_where_a_positive_scores_nothing(scores_of):
    point = choose(scores_of([0, 1, 1], [0.4, 0.0, 1.0]), rule="sensitivity", at_least=1.0)
    assert (point.threshold, point.sensitivity) == (0.0, 1.0)


def test_equal_scores_of_both_classes_are_not_parted(scores_of):
    point = choose(scores_of([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]))
    assert point.sensitivity + point.specificity == 1


def test_neighbours_one_bit_apart_are_still_parted(scores_of):
    above = np.nextafter(0.7, 1)
    assert choose(scores_of([0, 1], [0.7, above])).specificity == 1


def test_several_classes_have_no_threshold(three_classes):
    point = choose(three_classes)
    assert (point.threshold, point.rule, point.films) == (None, "argmax", 300)


def test_one_class_cannot_fix_a_threshold(scores_of):
    with pytest.raises(LabelError, match="3 of 3 films are PNEUMONIA"):
        choose(scores_of([1, 1, 1], [0.1, 0.5, 0.9]))


@pytest.mark.parametrize("options", [{"rule": "best"}, {"rule": "sensitivity", "at_least": 1.5}])
def test_meaningless_options_are_refused(noisy, options):
    with pytest.raises(OptionError):
        choose(noisy(20), **options)
