"""Two answers on the same films: how far a figure changes, and how much of that is luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.evaluation import statistics
from pneumo_tf.evaluation.estimates import resampled
from pneumo_tf.evaluation.intervals import Statistic
from pneumo_tf.evaluation.scores import Scores

Estimate = dict[str, Any]
Pair = tuple[Statistic, Statistic]


def area_of(scores: Scores) -> Statistic:
    """The area under the ROC curve; of several classes the mean of each against the rest."""
    if scores.is_binary:
        return statistics.auc_of(scores.labels == scores.positive_index, scores.positive_scores)
    columns = scores.values.T.astype(np.float64)
    return statistics.mean_of([statistics.auc_of(scores.labels == index, column)
                               for index, column in enumerate(columns)])


def class_figures(scores: Scores, predicted: NDArray[np.integer]) -> dict[str, Statistic]:
    """Accuracy and F1, and of two classes sensitivity and specificity, of what films were called.

    The F1 is the positive's; of several classes the mean of each.
    """
    count = statistics.confusion_of(scores.labels, predicted, len(scores.classes))
    accuracy = statistics.mean_of_films((scores.labels == predicted).astype(np.float64))
    if not scores.is_binary:
        return {"accuracy": accuracy, "macro_f1": lambda w: statistics.f1_scores(count(w)).mean(axis=1)}
    positive = scores.positive_index
    return {"accuracy": accuracy, "f1": lambda w: statistics.f1_scores(count(w))[:, positive],
            "sensitivity": lambda w: statistics.recalls(count(w))[:, positive],
            "specificity": lambda w: statistics.recalls(count(w))[:, 1 - positive]}


def mean_within(values: NDArray[np.floating], rows: NDArray[np.bool_]) -> Statistic:
    """The mean of a number that each film has, (n,), over some of the films, (n,) bool."""
    mean = statistics.mean_of_films(values[rows].astype(np.float64))
    return lambda weights: mean(weights[:, rows])


def take(scores: Scores, rows: NDArray[np.integer]) -> Scores:
    """Some of the films, by their places."""
    return replace(scores, ids=[scores.ids[row] for row in rows], labels=scores.labels[rows],
                   values=scores.values[rows], patients=scores.patients[rows])


def changes(pairs: Mapping[str, Pair], groups: NDArray[np.str_], *, seed: int,
            resamples: int) -> dict[str, Estimate]:
    """The second figure of each pair less the first, both on the same resamples of patients.

    What both share, such as a hard film, drops out, so that the interval is narrower than those of the two
    figures let expect.

    Args:
        pairs: Before and after, by name.
        groups: (n,) the patient of each film.
        seed: Of the resamples.
        resamples: Number of them.

    Returns:
        Figures as `resampled` gives them; no ends where every resample gave the same.
    """
    differences = {name: less(after, before) for name, (before, after) in pairs.items()}
    return resampled(differences, groups, seed=seed, resamples=resamples, why="one_class_only")


def less(one: Statistic, other: Statistic) -> Statistic:
    """The difference of two figures."""
    return lambda weights: one(weights) - other(weights)
