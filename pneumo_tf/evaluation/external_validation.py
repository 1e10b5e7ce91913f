"""Films from elsewhere: what is lost beside the run's own test films, and what a few labels would buy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import LabelError
from pneumo_tf.evaluation.calibration.calibrators import Platt
from pneumo_tf.evaluation.figures import FIGURES, Judged
from pneumo_tf.evaluation.intervals import Estimate, resampled
from pneumo_tf.evaluation.scores import ScoreError, Scores
from pneumo_tf.evaluation.statistics import Statistic

Apply = Callable[[Scores], Scores]
"""Scores to probabilities."""
REPEATS = 200
# Fewer labelled films fix neither a threshold nor a slope; fewer to be judged by say nothing.
FEWEST = 10


def drop(internal: Scores, external: Scores, threshold: float | None, *, calibrated: Apply, seed: int = 42,
         resamples: int = 1000) -> dict[str, dict[str, Estimate]]:
    """Figures on the run's test films, on the films from elsewhere, and the second less the first.

    The two are independent samples. The interval of a difference of shares is Newcombe's (1998, Stat Med
    17:873, method 10) from both Wilson intervals; of the others, a bootstrap of the patients of both sources
    together. How many of each source come up varies a little then, which widens it by less than other choices
    would.

    Args:
        internal: Uncalibrated scores of the run's test films.
        external: Likewise of the films from elsewhere.
        threshold: The operating point; None for several classes.
        calibrated: The run's calibrator.

    Returns:
        By name the figures `internal`, `external` and `difference`, ready for JSON: accuracy; of two classes
        also sensitivity, specificity, auc, brier and the prevalence of the positive class, of several
        macro_auc. Null with a reason as `why` where a class is missing.
    """
    both = [Judged(internal, threshold), Judged(external, threshold)]
    shares = ("sensitivity", "specificity", "accuracy", "prevalence") if internal.is_binary else ("accuracy",)
    content = {}
    for name in shares:
        here, there = (judged.share(name) for judged in both)
        content[name] = {"internal": here, "external": there, "difference": _newcombe(here, there)}
    inside, outside = (_others(judged, calibrated) for judged in both)
    films = len(internal.ids)  # the first of both together

    def apart(here: Statistic, there: Statistic) -> Statistic:
        return lambda weights: there(weights[:, films:]) - here(weights[:, :films])

    differences = {name: apart(inside[name], outside[name]) for name in inside}
    groups = np.concatenate([np.char.add("here ", internal.groups), np.char.add("there ", external.groups)])
    estimates = [resampled(wanted, patients, seed=seed, resamples=resamples, why="one_class_only")
                 for wanted, patients in ((inside, internal.groups), (outside, external.groups),
                                          (differences, groups))]
    kinds = ("internal", "external", "difference")
    return content | {name: {kind: estimate[name] for kind, estimate in zip(kinds, estimates, strict=True)}
                      for name in inside}


def _others(judged: Judged, calibrated: Apply) -> dict[str, Statistic]:
    """Figures that are no shares of films."""
    if not judged.scores.is_binary:
        return {"macro_auc": judged.statistic("macro_auc")}
    return {"auc": judged.statistic("auc"), "brier": Judged(calibrated(judged.scores)).statistic("brier")}


def _newcombe(here: Estimate, there: Estimate) -> Estimate:
    """The second share less the first."""
    about = {"method": "Newcombe 1998, method 10", "films": there["of"], "patients": there["patients"]}
    if None in (here["value"], there["value"]):
        return {"value": None, "low": None, "high": None, "why": "one_class_only", **about}
    value = there["value"] - here["value"]
    less = np.hypot(there["value"] - there["low"], here["high"] - here["value"])
    more = np.hypot(there["high"] - there["value"], here["value"] - here["low"])
    return {"value": value, "low": value - float(less), "high": value + float(more), **about}


def recalibration(films: Scores, labelled: int, *, threshold: float, calibrated: Apply,
                  fix: Callable[[Scores], float | None], repeats: int = REPEATS,
                  seed: int = 42) -> dict[str, Any]:
    """What so many labelled films from elsewhere would buy, ready for JSON.

    In each repeat whole patients are drawn until so many films are labelled; on these a line is fitted to the
    logits (Platt) and the threshold fixed anew, and both are judged on the films of all other patients,
    beside the run's own. Repeats share films, so that their range is no confidence interval.

    Args:
        films: Uncalibrated scores of two classes.
        threshold: The run's own.
        calibrated: The run's own calibrator.
        fix: Labelled films to a threshold, by the run's rule.

    Returns:
        `figures`: log_loss, brier, sensitivity and specificity, each with the means `before` and `after`,
        `low` and `high`, between which 95 % of the repeats' values lie, and `improved`, the share of repeats
        that it helped; `repeats`, and of these the `skipped`, in which either side lacked a class or the
        films didn't allow the run's rule.

    Raises:
        ScoreError: As `check_labelled`.
    """
    check_labelled([films.classes[index] for index in films.labels], films.classes, labelled)
    generator, pairs = np.random.default_rng(seed), []
    for _ in range(repeats):
        drawn = _drawn(films, labelled, generator)
        if min(len(np.unique(films.labels[side])) for side in (drawn, ~drawn)) < 2:
            continue
        known, rest = (films.take(np.flatnonzero(side)) for side in (drawn, ~drawn))
        try:
            anew = fix(known)
        except LabelError:  # so few films don't allow the run's rule
            continue
        pairs.append((_judged(rest, calibrated(rest), threshold),
                      _judged(rest, Platt.fit(known).apply(rest), anew)))
    return {"labelled": labelled, "repeats": repeats, "skipped": repeats - len(pairs),
            "figures": _summary(pairs), "films": len(films.ids)}


def check_labelled(labels: Sequence[str], classes: Sequence[str], labelled: int) -> None:
    """Refuse what can't be recalibrated by the labels of its films, before any film is scored.

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


def _judged(films: Scores, probabilities: Scores, threshold: float | None) -> dict[str, float]:
    sure, called = Judged(probabilities), Judged(films, threshold)
    return {**{name: sure.value(name) for name in ("log_loss", "brier")},
            **{name: called.value(name) for name in ("sensitivity", "specificity")}}


def _summary(pairs: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, dict[str, Any]]:
    """Means and ranges over the repeats; nothing where every repeat was skipped."""
    content = {}
    for name in pairs[0][0] if pairs else ():
        before, after = (np.array([pair[side][name] for pair in pairs]) for side in (0, 1))
        better = after < before if FIGURES[name].kind == "loss" else after > before
        low, high = np.percentile(after, [2.5, 97.5])
        content[name] = {"before": float(before.mean()), "after": float(after.mean()), "low": float(low),
                         "high": float(high), "improved": float(better.mean())}
    return content
