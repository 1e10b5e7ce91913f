from dataclasses import replace

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
                                  "youden=1", "stressed=0", "stressed=1.5",
                                  "stressed=0.9@0.1", "cost=ten", "cost=", "sensitivity=0.9 or so"])
def test_a_rule_without_meaning_is_refused(text, noisy):
    with pytest.raises(OptionError, match=r"Give youden, sensitivity=0.95"):
        choose(noisy(20), rule=text)


def test_without_stressed_films_the_rule_stressed_is_youden_and_with_a_bound_a_sensitivity(noisy):
    scores = noisy(300)
    assert choose(scores, rule="stressed").threshold == choose(scores, rule="youden").threshold
    bounded = choose(scores, rule="stressed=0.9")
    assert bounded.rule == "stressed>=0.9"
    assert bounded.threshold == choose(scores, rule="sensitivity=0.9").threshold


def test_stressed_films_move_the_threshold_that_asks_for_them_and_no_other(scores_of):
    labels = [0, 1] * 200
    clean = scores_of(labels, [0.1, 0.6] * 200)
    stressed = [scores_of(labels, [0.75, 0.9] * 200)] * 5
    point = choose(clean, rule="stressed=0.8", stressed=stressed)
    assert 0.75 < point.threshold < 0.9
    assert point.stressed_films == 2000
    assert (point.sensitivity, point.specificity) == (0.0, 1.0)  # of the clean validation films, as ever
    for rule in ("youden", "sensitivity=0.95", "cost=3"):
        assert choose(clean, rule=rule, stressed=stressed) == choose(clean, rule=rule)


def test_a_half_is_kept_while_the_films_cant_tell_it_from_the_best(noisy):
    """Few films tell thresholds apart less well than many do."""
    few, many = noisy(40, seed=4), noisy(4000, seed=4)
    raised = [(scores, [scores_up(scores, 0.12)]) for scores in (few, many)]
    found = [choose(scores, rule="stressed", stressed=stressed).threshold for scores, stressed in raised]
    best = [pooled_youden(scores, *stressed) for scores, stressed in raised]
    assert abs(found[0] - 0.5) <= abs(found[1] - 0.5)
    assert all(abs(one - 0.5) <= abs(other - 0.5) + 1e-9 for one, other in zip(found, best, strict=True))


def scores_up(scores, by):
    positive = np.clip(scores.positive_scores + by, 0, 1)
    return replace(scores, values=np.column_stack([1 - positive, positive]))


def pooled_youden(*parts):
    labels = np.concatenate([part.labels for part in parts])
    values = np.concatenate([part.positive_scores for part in parts])
    fpr, tpr, thresholds = metrics.roc_curve(labels, values)
    return thresholds[(tpr - fpr).argmax()]


@pytest.mark.parametrize(("text", "rule"), [("stressed", Rule("stressed")),
                                            ("stressed=0.95", Rule("stressed", 0.95)),
                                            ("stressed>=0.9", Rule("stressed", 0.9))])
def test_the_rule_stressed_is_read_as_it_is_written(text, rule):
    assert parse_rule(text) == rule == parse_rule(str(rule))
