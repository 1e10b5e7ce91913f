import numpy as np
import pytest
from sklearn import metrics

from pneumo_tf.errors import LabelError, OptionError
from pneumo_tf.evaluation.operating_point import DEFAULT, Rule, choose, parse_rule


def test_the_threshold_lies_halfway_between_the_films_that_it_parts(scores_of):
    point = choose(scores_of([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]))
    assert point.threshold == pytest.approx(0.5)
    assert (point.rule, point.sensitivity, point.specificity, point.films) == ("youden", 1.0, 1.0, 4)


def test_youden_reaches_the_best_point_of_scikit_learns_roc(noisy):
    scores = noisy(400)
    fpr, tpr, _ = metrics.roc_curve(scores.labels, scores.positive_scores)
    point = choose(scores)
    assert point.sensitivity + point.specificity - 1 == pytest.approx((tpr - fpr).max())


@pytest.mark.parametrize("rule", ["youden", "sensitivity=0.9", "specificity=0.9", "cost=3"])
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
    point = choose(scores, rule="sensitivity=0.9")
    fpr, tpr, _ = metrics.roc_curve(scores.labels, scores.positive_scores, drop_intermediate=False)
    assert point.rule == "sensitivity>=0.9"
    assert point.sensitivity >= 0.9
    assert point.specificity == pytest.approx(1 - fpr[tpr >= 0.9].min())


def test_full_sensitivity_is_reached_even_where_a_positive_scores_nothing(scores_of):
    point = choose(scores_of([0, 1, 1], [0.4, 0.0, 1.0]), rule="sensitivity=1")
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


def test_the_specificity_rule_reaches_its_bound_at_the_highest_sensitivity(noisy):
    scores = noisy(400)
    point = choose(scores, rule="specificity=0.9")
    fpr, tpr, _ = metrics.roc_curve(scores.labels, scores.positive_scores, drop_intermediate=False)
    assert point.rule == "specificity>=0.9"
    assert point.specificity >= 0.9
    assert point.sensitivity == pytest.approx(tpr[1 - fpr >= 0.9].max())


def test_a_specificity_that_no_threshold_reaches_is_an_error(scores_of):
    with pytest.raises(LabelError, match=r"specificity>=0.9, where at most 0.500 can be reached"):
        choose(scores_of([0, 0, 1], [0.2, 1.0, 0.9]), rule="specificity=0.9")


def cost_of(scores, threshold, *, missed, prevalence):
    is_positive = scores.labels == 1
    called = scores.positive_scores >= threshold
    return (prevalence * missed * (1 - called[is_positive].mean())
            + (1 - prevalence) * called[~is_positive].mean())


@pytest.mark.parametrize(("rule", "missed", "prevalence"), [("cost=4", 4, None), ("cost=0.5", 0.5, None),
                                                            ("cost=20@0.02", 20, 0.02)])
def test_no_threshold_costs_less_than_the_one_chosen_by_cost(noisy, rule, missed, prevalence):
    scores = noisy(400)
    share = scores.labels.mean() if prevalence is None else prevalence
    point = choose(scores, rule=rule)
    costs = [cost_of(scores, threshold, missed=missed, prevalence=share)
             for threshold in np.arange(0, 1.0001, 0.005)]
    assert cost_of(scores, point.threshold, missed=missed, prevalence=share) == pytest.approx(min(costs))
    assert point.rule == rule


def test_the_dearer_a_missed_film_the_more_are_found(noisy):
    found = [choose(noisy(400), rule=f"cost={cost}").sensitivity for cost in (0.2, 1, 5, 50)]
    assert found == sorted(found)
    assert found[0] < 0.6 < 0.97 < found[-1]


def test_where_disease_is_rare_fewer_alarms_are_raised(noisy):
    assert choose(noisy(400), rule="cost=5@0.01").specificity > choose(noisy(400), rule="cost=5").specificity


def test_a_cost_of_1_at_even_classes_is_youdens_point(noisy):
    assert choose(noisy(300), rule="cost=1@0.5").threshold == choose(noisy(300)).threshold


@pytest.mark.parametrize(("text", "rule"), [
    ("youden", Rule()), ("sensitivity=0.95", Rule("sensitivity", 0.95)), (DEFAULT, Rule("sensitivity", 0.95)),
    ("specificity=1", Rule("specificity", 1.0)), ("cost=10", Rule("cost", 10.0)),
    ("cost=2.5@0.02", Rule("cost", 2.5, 0.02))])
def test_a_rule_is_read_and_written_so_that_it_can_be_read_again(text, rule):
    assert parse_rule(text) == rule
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize("text", ["", "best", "sensitivity", "sensitivity=1.5", "sensitivity=0", "cost=0",
                                  "specificity=nan", "cost=inf", "cost=3@1.2", "sensitivity=0.9@0.1",
                                  "youden=1", "cost=ten", "cost=", "sensitivity=0.9 or so"])
def test_a_rule_without_meaning_is_refused(text, noisy):
    with pytest.raises(OptionError, match=r"Give youden, sensitivity=0.95"):
        choose(noisy(20), rule=text)
