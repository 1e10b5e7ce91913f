"""The same films changed: small changes of the pixels, and several views made into one score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import LabelError
from pneumo_tf.evaluation.figures import Judged, area_name
from pneumo_tf.evaluation.intervals import Estimate, changes, proportion, resampled
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import mean_within

Ways = Mapping[str, Scores]
"""The same films, scored by each way of combining views."""

FOR_TWO = ("accuracy", "f1", "sensitivity", "specificity")
FOR_SEVERAL = ("accuracy", "macro_f1")
SINGLE, MEAN, MAXIMUM, SUREST = "single", "mean", "maximum", "surest"


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


def combined(films: Scores, views: NDArray[np.floating]) -> dict[str, Scores]:
    """Films with one score from those of their views, by every way of combining them.

    `single` is the film itself, `mean` the mean of all. The assignment asks for "the maximum of f, the
    probability of the prediction", which can be read in two ways: `maximum`, the highest score of the class
    that is looked for, for two classes alone; and `surest`, what the view says whose highest score is the
    highest.

    Args:
        films: n films.
        views: Their scores (d, n, K), the film itself first.
    """
    surest = views.max(axis=2).argmax(axis=0)
    ways = {SINGLE: views[0], MEAN: views.mean(axis=0)}
    if films.is_binary:
        highest = views[:, :, films.positive_index].max(axis=0)
        one_hot = np.eye(2)[films.positive_index]
        ways[MAXIMUM] = np.where(one_hot, highest[:, None], 1 - highest[:, None])
    ways[SUREST] = views[surest, np.arange(len(surest))]
    return {way: replace(films, values=values) for way, values in ways.items()}


def judge_views(test: Ways, validation: Ways | None, *, threshold: float | None,
                fix: Callable[[Scores], float | None], seed: int = 42,
                resamples: int = 1000) -> dict[str, Any]:
    """Figures of every way to combine views, against the film alone, ready for JSON.

    Args:
        test: As `combined` gives them.
        validation: Likewise; None for several classes, which have no threshold.
        threshold: The run's own, fixed on single films; None for several classes.
        fix: The run's rule: validation films to a threshold.

    Returns:
        `ways`: for each its name, and its figures at the run's `own` threshold and at one that was `refixed`
        on validation films treated alike, with their changes against the film alone at a threshold fixed in
        the same manner; `verdict`: whether the maximum is legitimate.
    """
    own = _judged(test, dict.fromkeys(test, threshold), seed=seed, resamples=resamples)
    refixed = None
    with suppress(LabelError):  # validation films of one class can't fix any threshold
        if validation is not None:
            again = {way: fix(scores) for way, scores in validation.items()}
            refixed = _judged(test, again, seed=seed, resamples=resamples)
    return {"ways": [{"name": way, "own": own[way], "refixed": refixed[way] if refixed else None}
                     for way in test],
            "verdict": {"way": MAXIMUM if MAXIMUM in test else SUREST,
                        "rise": _rise(test, seed=seed, resamples=resamples),
                        "gain": _gain(refixed if validation is not None else own)}}


def _judged(test: Ways, thresholds: Mapping[str, float | None], *, seed: int,
            resamples: int) -> dict[str, dict[str, Any]]:
    """Each way's figures at its threshold, and their changes against the single film at its own."""
    wanted = {}
    for way, scores in test.items():
        judged = Judged(scores, thresholds[way])
        wanted[way] = {name: judged.statistic(name)
                       for name in (FOR_TWO if scores.is_binary else FOR_SEVERAL)}
    content = {}
    for way, scores in test.items():
        pairs = {name: (wanted[SINGLE][name], statistic) for name, statistic in wanted[way].items()}
        content[way] = {"threshold": thresholds[way],
                        "figures": resampled(wanted[way], scores.groups, seed=seed, resamples=resamples,
                                             why="one_class_only"),
                        "changes": None if way == SINGLE else
                        changes(pairs, scores.groups, seed=seed, resamples=resamples)}
    return content


def _rise(test: Ways, *, seed: int, resamples: int) -> Estimate | None:
    """How far the maximum lifts the positive's score on films of the other class; None for several classes.

    It never lowers a score, so that a threshold which was fixed on single films no longer holds.
    """
    if MAXIMUM not in test:
        return None
    alone = test[SINGLE]
    others = alone.labels != alone.positive_index
    means = [mean_within(test[way].positive_scores, others) for way in (SINGLE, MAXIMUM)]
    return changes({"rise": (means[0], means[1])}, alone.groups, seed=seed, resamples=resamples)["rise"]


def _gain(fair: dict[str, dict[str, Any]] | None) -> str:
    """What the maximum brings to the accuracy where every threshold was fixed on films treated alike.

    "better", "worse", "same" where the interval holds 0, or "unknown".
    """
    if fair is None:
        return "unknown"
    change = fair[MAXIMUM if MAXIMUM in fair else SUREST]["changes"]["accuracy"]
    if change["low"] is None:
        return "same" if change["value"] == 0 else "unknown"
    return "better" if change["low"] > 0 else "worse" if change["high"] < 0 else "same"
