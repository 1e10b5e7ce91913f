"""The weighted figures against scikit-learn, which takes the weights one resample at a time."""

import numpy as np
import pytest
from sklearn import metrics

from pneumo_tf.evaluation import statistics


@pytest.fixture
def weights():
    return np.random.default_rng(5).integers(0, 4, (6, 300)).astype(float)


def test_auc_agrees_with_scikit_learn_under_ties_and_weights(noisy, weights):
    scores = noisy(300)
    ours = statistics.auc_of(scores.labels == 1, scores.positive_scores)(weights)
    theirs = [metrics.roc_auc_score(scores.labels, scores.positive_scores, sample_weight=w) for w in weights]
    assert ours == pytest.approx(theirs)


def test_average_precision_agrees_with_scikit_learn_under_ties_and_weights(noisy, weights):
    scores = noisy(300)
    ours = statistics.average_precision_of(scores.labels == 1, scores.positive_scores)(weights)
    theirs = [metrics.average_precision_score(scores.labels, scores.positive_scores, sample_weight=w)
              for w in weights]
    assert ours == pytest.approx(theirs)


def test_average_precision_needs_films_of_both_classes():
    precision = statistics.average_precision_of(np.array([True, False]), np.array([0.9, 0.1]))
    assert np.isnan(precision(np.array([[2.0, 0.0], [0.0, 1.0]]))).all()
    assert precision(np.array([[1.0, 1.0]])) == 1


def test_the_mean_of_films_weighs_them():
    mean = statistics.mean_of_films(np.array([1.0, 4.0]))
    assert mean(np.array([[1.0, 1.0], [3.0, 0.0], [1.0, 2.0]])) == pytest.approx([2.5, 1, 3])


def test_the_macro_auc_agrees_with_scikit_learn_and_needs_films_of_every_class():
    rng = np.random.default_rng(0)
    labels, scores = np.arange(90) % 3, rng.dirichlet(np.ones(3), 90)
    theirs = metrics.roc_auc_score(labels, scores, multi_class="ovr", average="macro")
    assert statistics.macro_auc(labels, scores) == pytest.approx(theirs)
    assert statistics.macro_auc(labels[labels > 0], scores[labels > 0]) is None


@pytest.mark.parametrize(("ours", "theirs"), [
    (lambda c: statistics.recalls(c).mean(axis=1), metrics.balanced_accuracy_score),
    (statistics.matthews, metrics.matthews_corrcoef),
    (lambda c: statistics.f1_scores(c).mean(axis=1),
     lambda y, p, sample_weight: metrics.f1_score(y, p, average="macro", sample_weight=sample_weight)),
], ids=["balanced accuracy", "Matthews", "macro F1"])
def test_confusion_figures_agree_with_scikit_learn(three_classes, weights, ours, theirs):
    predicted = three_classes.predicted(None)
    count = statistics.confusion_of(three_classes.labels, predicted, 3)
    expected = [theirs(three_classes.labels, predicted, sample_weight=w) for w in weights]
    assert ours(count(weights)) == pytest.approx(expected)


def test_a_resample_of_one_class_has_no_auc():
    auc = statistics.auc_of(np.array([True, False]), np.array([0.9, 0.1]))
    assert np.isnan(auc(np.array([[2.0, 0.0]]))).all()


def test_means_count_only_the_films_they_are_of():
    mean = statistics.mean_within(np.array([1.0, 2.0, 30.0, 40.0]), np.array([True, True, False, False]))
    assert mean(np.array([[1.0, 1, 1, 1], [3, 1, 9, 9], [0, 0, 1, 1]]))[:2] == pytest.approx([1.5, 1.25])
    assert np.isnan(mean(np.array([[0.0, 0, 1, 1]])))[0]


def test_a_difference_is_that_of_the_same_films():
    first, second = (statistics.mean_of_films(np.array(values)) for values in ([3.0, 5.0], [1.0, 2.0]))
    assert statistics.less(first, second)(np.array([[1.0, 1.0], [1.0, 0.0]])).tolist() == [2.5, 2]
