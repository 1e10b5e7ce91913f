"""Whether a score of 0.9 means nine times out of ten: Brier, calibration error, slope, intercept, diagram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from pneumo_tf.evaluation.figures import Judged
from pneumo_tf.evaluation.intervals import FEWEST_PATIENTS, Estimate, chunks, resampled, wilson
from pneumo_tf.evaluation.scores import EDGE, Scores
from pneumo_tf.evaluation.statistics import Statistic, columns_of

Floats = NDArray[np.float64]

BINS = 15
_STEPS, _SETTLED = 25, 1e-6


def reliability(scores: Scores, *, seed: int = 42, resamples: int = 1000) -> dict[str, Any]:
    """How well scores serve as probabilities, ready for JSON.

    Two classes are judged by the positive's score. Several are judged by the highest score of each film and
    whether that class is right (top-label calibration, Guo et al. 2017); their Brier score is the squared
    distance over all classes, from 0 to 2 (Brier 1950, Mon Weather Rev 78:1), and they have no slope.

    Slope and intercept are those of a logistic regression of the label on the logit (Cox 1958, Biometrika
    45:562): 1 and 0 where the scores are probabilities; a slope below 1 where they are too sure.

    Returns:
        `figures`: log_loss, brier, ece, and of two classes slope and intercept; null with a reason as `why`
        where they don't exist. `bins`, the diagram: films, mean score, share of positive (or right) films and
        its Wilson interval. `judged` is "positive" or "top_label". The calibration error has no interval,
        since in a resample chance adds to it, so that it would lie above its own value; `chance` instead is
        the range where it would lie if the scores were probabilities.
    """
    # What the scores give a chance for, whether it is so, and that chance; (n,) each.
    if scores.is_binary:
        happened, values = scores.labels == scores.positive_index, scores.positive_scores
    else:
        happened = scores.values.argmax(axis=1) == scores.labels
        values = scores.values.max(axis=1).astype(np.float64)
    summaries = {name: Judged(scores).statistic(name) for name in ("log_loss", "brier")}
    if scores.is_binary:
        summaries |= dict(zip(("intercept", "slope"), columns_of(calibration_line(happened, values), 2),
                              strict=True))
    has_both = happened.any() and not happened.all()
    why_no_line = "one_class_only" if not has_both else "separated" if np.ptp(values) else "tied_scores"
    figures = resampled(summaries, scores.groups, seed=seed, resamples=resamples, why=why_no_line)
    bins = equal_mass_bins(happened, values)
    order = ("log_loss", "brier", "ece", "slope", "intercept")
    figures["ece"] = _calibration_error(scores, values, bins, seed=seed, resamples=resamples)
    return {"judged": "positive" if scores.is_binary else "top_label",
            "figures": {name: figures[name] for name in order if name in figures}, "bins": bins}


def _calibration_error(scores: Scores, values: Floats, bins: list[dict[str, Any]], *, seed: int,
                       resamples: int) -> Estimate:
    """The mean distance of the bins from the diagonal, and where chance alone would put it."""
    value = sum(part["films"] * abs(part["mean_score"] - part["share"]) for part in bins) / len(values)
    _, member = np.unique(scores.groups, return_inverse=True)
    patients = int(member.max()) + 1
    figure = {"value": value, "low": None, "high": None, "films": len(values), "patients": patients,
              "method": f"{BINS} groups of equal size"}
    if patients < FEWEST_PATIENTS:
        return figure
    low, high = np.percentile(_chance_errors(values, member, seed=seed, resamples=resamples), [2.5, 97.5])
    return figure | {"chance": {"low": float(low), "high": float(high), "resamples": resamples}}


def _chance_errors(values: Floats, member: NDArray[np.intp], *, seed: int, resamples: int) -> Floats:
    """(b,) float: the calibration error where each film is positive as often as its score says (consistency
    resampling, Broecker and Smith 2007, Weather Forecast 22:651), a patient's films by one draw.
    """
    order = np.argsort(values, kind="stable")
    starts = [part[0] for part in np.array_split(np.arange(len(order)), min(BINS, len(order)))]
    generator, patients = np.random.default_rng(seed), int(member.max()) + 1
    errors = []
    for rows in chunks(resamples, len(values)):
        draws = generator.random((len(rows), patients))
        gaps = (draws[:, member[order]] < values[order]) - values[order]
        errors.append(np.abs(np.add.reduceat(gaps, starts, axis=1)).sum(axis=1) / len(values))
    return np.concatenate(errors)


def equal_mass_bins(is_positive: NDArray[np.bool_], values: Floats) -> list[dict[str, Any]]:
    """At most 15 bins with as many films each, by rising score (Nixon et al. 2019, arXiv 1904.01685)."""
    order = np.argsort(values, kind="stable")
    content = []
    for part in np.array_split(order, min(BINS, len(order))):
        positives = int(is_positive[part].sum())
        low, high = wilson(positives, len(part))
        content.append({"films": len(part), "mean_score": float(values[part].mean()),
                        "share": positives / len(part), "low": low, "high": high})
    return content


def calibration_line(is_positive: NDArray[np.bool_], values: Floats) -> Statistic:
    """Intercept and slope as a function of weights: (b, n) -> (b, 2), NaN where the films are separated or
    all score alike.

    Newton's method on all resamples at once, from the line of all films; no penalty.
    """
    x, y = logit(np.clip(values, EDGE, 1 - EDGE)), is_positive.astype(np.float64)
    design = np.column_stack([np.ones_like(x), x])

    def line(weights: Floats, start: Floats) -> Floats:
        fitted = np.repeat(start, len(weights), axis=0)
        step = np.zeros_like(fitted)
        for _ in range(_STEPS):
            chance = expit(fitted @ design.T)
            slopes = (weights * (y - chance)) @ design
            step = _solved(weights * chance * (1 - chance), x, slopes)
            fitted = fitted + np.clip(step, -3, 3)
            if (np.abs(step) < _SETTLED).all():
                break
        settled = np.all(np.abs(step) < _SETTLED, axis=1, keepdims=True) & (np.ptp(x) > 0)
        return np.where(settled, fitted, np.nan)

    of_all = np.nan_to_num(line(np.ones((1, len(x))), np.zeros((1, 2))))
    return lambda weights: line(weights, of_all)


def _solved(curvature: Floats, x: Floats, slopes: Floats) -> Floats:
    """Newton's step, (b, 2): the 2×2 systems in closed form."""
    a, b, c = curvature.sum(axis=1), curvature @ x, curvature @ x**2
    determinant = a * c - b * b
    with np.errstate(divide="ignore", invalid="ignore"):
        first = (c * slopes[:, 0] - b * slopes[:, 1]) / determinant
        second = (a * slopes[:, 1] - b * slopes[:, 0]) / determinant
    return np.nan_to_num(np.column_stack([first, second]), nan=np.inf, posinf=np.inf, neginf=-np.inf)
