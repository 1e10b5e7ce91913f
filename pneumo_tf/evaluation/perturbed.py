"""What a small change of the pixels does to scores, calls and ranking, on the same films."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.evaluation.figures import Judged, area_name
from pneumo_tf.evaluation.intervals import changes, proportion
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import mean_within


def robustness(films: Scores, perturbed: Mapping[str, NDArray[np.floating]], threshold: float | None, *,
               seed: int = 42, resamples: int = 1000) -> list[dict[str, Any]]:
    """What each perturbation changes, ready for JSON.

    Args:
        films: The test films as they are.
        perturbed: Uncalibrated scores (n, K) of the same films after each perturbation, by its name.
        threshold: The operating point; None for several classes.

    Returns:
        For each perturbation its `name`; `changed`, the share of films that are called another class;
        `shift`, for the films of each class the mean change in the score of that class, so that below 0 they
        look less like what they are; and the changes of `auc` (the mean of the classes where there are
        several) and, of two classes, of `sensitivity` and `specificity`.
    """
    before = Judged(films, threshold)
    return [{"name": name, **_change(before, Judged(replace(films, values=values), threshold), seed=seed,
                                     resamples=resamples)} for name, values in perturbed.items()]


def _change(before: Judged, after: Judged, *, seed: int, resamples: int) -> dict[str, Any]:
    films = before.scores
    wanted = {"auc": area_name(films)}
    if films.is_binary:
        wanted |= {"sensitivity": "sensitivity", "specificity": "specificity"}
    pairs = {key: (before.statistic(name), after.statistic(name)) for key, name in wanted.items()}
    means, counts = {}, {}
    for index, name in enumerate(films.classes):
        rows = films.labels == index
        means[name] = (mean_within(films.values[:, index], rows),
                       mean_within(after.scores.values[:, index], rows))
        counts[name] = int(rows.sum())
    shift = changes(means, films.groups, seed=seed, resamples=resamples)
    return {"changed": proportion(before.predicted != after.predicted, films.groups, why="no_films"),
            "shift": {name: {**shift[name], "films": counts[name]} for name in shift},
            **changes(pairs, films.groups, seed=seed, resamples=resamples)}
