"""What a few labelled films from elsewhere would buy: a calibrator and a threshold of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import LabelError
from pneumo_tf.evaluation.calibration.calibrators import Platt
from pneumo_tf.evaluation.drop import Apply
from pneumo_tf.evaluation.figures import FIGURES, Judged
from pneumo_tf.evaluation.scores import ScoreError, Scores

REPEATS = 200
# Fewer labelled films fix neither a threshold nor a slope; fewer to be judged by say nothing.
FEWEST = 10


def recalibration(films: Scores, labelled: int, *, threshold: float, calibrated: Apply,
                  fix: Callable[[Scores], float | None], repeats: int = REPEATS,
                  seed: int = 42) -> dict[str, Any]:
    """What so many labelled films from elsewhere would buy, ready for JSON.

    In each repeat whole patients are drawn until so many films are labelled; on these a line is fitted to the
    logits (Platt) and the threshold fixed anew, and both are judged on the films of all other patients,
    beside the run's own. Repeats share films, so that their range is no confidence interval.

    Args:
        films: Uncalibrated scores of two classes.
        labelled: Films to be labelled.
        threshold: The run's own.
        calibrated: The run's own calibrator.
        fix: Labelled films to a threshold, by the run's rule.
        repeats: Draws.
        seed: Of the draws.

    Returns:
        `figures`: log_loss, brier, sensitivity and specificity, each with the means `before` and `after`,
        `low` and `high`, between which 95 % of the repeats' values lie, and `improved`, the share of repeats
        that it helped; `repeats`, and of these the `skipped`, in which either side lacked a class or the
        films didn't allow the run's rule.

    Raises:
        ScoreError: As `check_labelled`.
    """
    check_labelled([films.classes[index] for index in films.labels], films.classes, labelled)
    generator, found = np.random.default_rng(seed), []
    for _ in range(repeats):
        drawn = _drawn(films, labelled, generator)
        if not _has_both(films.labels[drawn]) or not _has_both(films.labels[~drawn]):
            continue
        known, rest = (films.take(np.flatnonzero(side)) for side in (drawn, ~drawn))
        try:
            anew = fix(known)
        except LabelError:  # so few films don't allow the run's rule
            continue
        found.append((_judged(rest, calibrated(rest), threshold),
                      _judged(rest, Platt.fit(known).apply(rest), anew)))
    return {"labelled": labelled, "repeats": repeats, "skipped": repeats - len(found),
            "figures": _summary(found), "films": len(films.ids)}


def check_labelled(labels: Sequence[str], classes: Sequence[str], labelled: int) -> None:
    """Refuse what can't be recalibrated, before any film is scored.

    Args:
        labels: Classes of the films.
        classes: Those that the run knows.
        labelled: Films to be labelled.

    Raises:
        ScoreError: Too few films to label so many and judge by the rest, one class, or several.
    """
    remedy = "Leave --recalibrate out."
    if len(classes) != 2:
        raise ScoreError("Recalibration is for two classes.", received=f"{len(classes)} classes",
                         remedy=remedy)
    if len(set(labels)) < 2:
        raise ScoreError("Recalibration needs films of both classes.", remedy=remedy,
                         received=f"{len(labels)} films, all {labels[0]}")
    most = len(labels) - FEWEST
    if not FEWEST <= labelled <= most:
        raise ScoreError(f"At least {FEWEST} films must be labelled, and as many be left to judge by.",
                         received=f"{labelled} of {len(labels)} films",
                         remedy=f"Ask for {FEWEST} to {most}." if most >= FEWEST else remedy)


def _drawn(films: Scores, labelled: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """(n,): the films of patients in random order, up to the patient whose films make the number full."""
    keys, member = np.unique(films.groups, return_inverse=True)
    order = generator.permutation(len(keys))
    sizes = np.bincount(member)[order]
    wanted = order[: np.searchsorted(np.cumsum(sizes), labelled) + 1]
    return np.isin(member, wanted)


def _has_both(labels: NDArray[np.integer]) -> bool:
    return len(np.unique(labels)) == 2


def _judged(films: Scores, probabilities: Scores, threshold: float | None) -> dict[str, float]:
    sure, called = Judged(probabilities), Judged(films, threshold)
    return {**{name: sure.value(name) for name in ("log_loss", "brier")},
            **{name: called.value(name) for name in ("sensitivity", "specificity")}}


def _summary(found: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, dict[str, Any]]:
    """Means and ranges over the repeats; nothing where every repeat was skipped."""
    content = {}
    for name in found[0][0] if found else ():
        before, after = (np.array([pair[side][name] for pair in found]) for side in (0, 1))
        better = after < before if FIGURES[name].kind == "loss" else after > before
        low, high = np.percentile(after, [2.5, 97.5])
        content[name] = {"before": float(before.mean()), "after": float(after.mean()), "low": float(low),
                         "high": float(high), "improved": float(better.mean())}
    return content
