"""What a small change of the pixels does to scores, calls and ranking, on the same films."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.evaluation.intervals import Statistic
from pneumo_tf.evaluation.paired import Pair, area_of, changes, class_figures, mean_within
from pneumo_tf.evaluation.proportions import proportion
from pneumo_tf.evaluation.scores import Scores


def robustness(films: Scores, perturbed: Mapping[str, NDArray[np.floating]], threshold: float | None, *,
               seed: int = 42, resamples: int = 1000) -> list[dict[str, Any]]:
    """What each perturbation changes, ready for JSON.

    Args:
        films: The test films as they are.
        perturbed: Uncalibrated scores (n, K) of the same films after each perturbation, by its name.
        threshold: The operating point; None for several classes.
        seed: Of the resamples.
        resamples: Number of them.

    Returns:
        For each perturbation its `name`; `changed`, the share of films that are called another class;
        `shift`, for the films of each class the mean change in the score of that class, so that below 0 they
        look less like what they are; and the changes of `auc` (the mean of the classes where there are
        several) and, of two classes, of `sensitivity` and `specificity`.
    """
    return [{"name": name, **_change(films, replace(films, values=values), threshold, seed=seed,
                                     resamples=resamples)} for name, values in perturbed.items()]


def _change(before: Scores, after: Scores, threshold: float | None, *, seed: int,
            resamples: int) -> dict[str, Any]:
    called = [scores.predicted(threshold) for scores in (before, after)]
    was, now = (class_figures(before, predicted) for predicted in called)
    pairs: dict[str, Pair] = {"auc": (area_of(before), area_of(after))}
    pairs |= {name: (was[name], now[name]) for name in ("sensitivity", "specificity") if name in was}
    means = {name: (_mean_of_class(before, index), _mean_of_class(after, index))
             for index, name in enumerate(before.classes)}
    shift = changes(means, before.groups, seed=seed, resamples=resamples)
    for index, name in enumerate(before.classes):
        shift[name]["films"] = int((before.labels == index).sum())
    return {"changed": proportion(called[0] != called[1], before.groups, why="no_films"), "shift": shift,
            **changes(pairs, before.groups, seed=seed, resamples=resamples)}


def _mean_of_class(scores: Scores, index: int) -> Statistic:
    """The mean score of a class over the films that belong to it."""
    return mean_within(scores.values[:, index], scores.labels == index)
