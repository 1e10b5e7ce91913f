import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    recall_score,
    roc_auc_score,
)

from pneumo_tf.evaluation.over_splits import over_splits, split_figures


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
