"""Figures as functions of weights, so that a thousand resamples cost one matrix product.

Each takes how often every film counts, (b, n), and returns (b,) values: NaN where the figure doesn't exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]


def auc_of(is_positive: NDArray[np.bool_], scores: Floats) -> Statistic:
    """The area under the ROC curve: how often a positive film scores above a negative one, ties half.

    The films are sorted once; every resample only sums weights over the distinct scores.
    """
    order = np.argsort(scores, kind="stable")
    own = is_positive[order].astype(np.float64)
    # The last film of each distinct score; what lies below a film ends with the score before its own.
    ends = np.flatnonzero(np.diff(scores[order], append=np.inf))

    def auc(weights: Floats) -> Floats:
        sorted_weights = weights[:, order]
        positive = sorted_weights * own
        negative = np.subtract(sorted_weights, positive, out=sorted_weights)
        found, rejected = (np.cumsum(part, axis=1, out=part)[:, ends] for part in (positive, negative))
        # The area below the curve's straight pieces, of which one with ties is a slope.
        heights = found[:, -1:] - found + np.diff(found, axis=1, prepend=0) / 2
        area = np.einsum("ij,ij->i", heights, np.diff(rejected, axis=1, prepend=0))
        return _ratio(area, found[:, -1] * rejected[:, -1])

    return auc


def average_precision_of(is_positive: NDArray[np.bool_], scores: Floats) -> Statistic:
    """The precision at each score that a film has, averaged over the positives that are found there.

    Precision is that of calling all films with this score or a higher one, so that ties count together.
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))

    def average_precision(weights: Floats) -> Floats:
        sorted_weights = weights[:, order]
        positive = np.add.reduceat(sorted_weights * is_positive[order], starts, axis=1)
        called = np.cumsum(np.add.reduceat(sorted_weights, starts, axis=1), axis=1)
        precision = np.nan_to_num(_ratio(np.cumsum(positive, axis=1), called))
        positives = positive.sum(axis=1)
        return _ratio((positive * precision).sum(axis=1), np.where(positives < called[:, -1], positives, 0))

    return average_precision


def mean_of_films(values: Floats) -> Statistic:
    """The mean of a number that each film has, (n,)."""
    return lambda weights: _ratio(weights @ values, weights.sum(axis=1))


def mean_within(values: NDArray[np.number | np.bool_], rows: NDArray[np.bool_]) -> Statistic:
    """The mean of a number that each film has, (n,), over some of the films, (n,) bool."""
    mean = mean_of_films(values[rows].astype(np.float64))
    return lambda weights: mean(weights[:, rows])


def once(function: Statistic) -> Statistic:
    """The same function, computed once where several figures ask for it on the same weights."""
    last: list[Floats] = []

    def computed(weights: Floats) -> Floats:
        if not last or last[0] is not weights:
            last[:] = weights, function(weights)
        return last[1]

    return computed


def columns_of(function: Statistic, count: int) -> list[Statistic]:
    """The columns of a function of weights that gives (b, count), a figure each."""
    computed = once(function)

    def column(index: int) -> Statistic:
        return lambda weights: computed(weights)[:, index]

    return [column(index) for index in range(count)]


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """The unweighted mean of several statistics."""
    return lambda weights: np.mean([statistic(weights) for statistic in statistics], axis=0)


def worst_of(statistics: Sequence[Statistic]) -> Statistic:
    """The least of several statistics."""
    return lambda weights: np.min([statistic(weights) for statistic in statistics], axis=0)


def less(one: Statistic, other: Statistic) -> Statistic:
    """The difference of two statistics of the same films."""
    return lambda weights: one(weights) - other(weights)


def macro_auc_of(labels: NDArray[np.integer], scores: NDArray[np.floating]) -> Statistic:
    """The AUC of each class against the rest, averaged.

    Args:
        labels: (n,), indices of the classes.
        scores: (n, K).
    """
    return mean_of([auc_of(labels == index, column.astype(np.float64))
                    for index, column in enumerate(scores.T)])


def macro_auc(labels: NDArray[np.integer], scores: NDArray[np.floating]) -> float | None:
    """As `macro_auc_of`, of all films; None where a class has none."""
    if len(np.unique(labels)) < scores.shape[1]:
        return None
    return float(macro_auc_of(labels, scores)(np.ones((1, len(labels))))[0])


def confusion_of(labels: NDArray[np.integer], predicted: NDArray[np.integer],
                 classes: int) -> Statistic:
    """Weighted confusion matrices, (b, K, K): rows actual, columns predicted."""
    cells = np.eye(classes * classes)[labels * classes + predicted]
    return lambda weights: (weights @ cells).reshape(-1, classes, classes)


def recalls(confusion: Floats) -> Floats:
    """(b, K): the share of each actual class that is found."""
    return _ratio(np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2))


def f1_scores(confusion: Floats) -> Floats:
    """(b, K): the harmonic mean of precision and recall of each class."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    return _ratio(2 * hits, confusion.sum(axis=2) + confusion.sum(axis=1))


def matthews(confusion: Floats) -> Floats:
    """(b,): Matthews' correlation for K classes (Gorodkin 2004, Comput Biol Chem 28:367)."""
    actual, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    films = confusion.sum(axis=(1, 2))
    hits = np.trace(confusion, axis1=1, axis2=2)
    covariance = hits * films - (actual * predicted).sum(axis=1)
    spread = (films**2 - (actual**2).sum(axis=1)) * (films**2 - (predicted**2).sum(axis=1))
    return _ratio(covariance, np.sqrt(spread))


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(whole, np.nan, dtype=np.float64), where=whole > 0)
