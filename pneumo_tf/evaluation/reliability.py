"""Whether a score of 0.9 means nine times out of ten: Brier, calibration error, slope, intercept, diagram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from pneumo_tf.evaluation.calibration import EDGE
from pneumo_tf.evaluation.intervals import Interval, Statistic, bootstrap, wilson
from pneumo_tf.evaluation.scores import Scores

Floats = NDArray[np.float64]

BINS = 15
_STEPS, _SETTLED = 25, 1e-6


def reliability(scores: Scores, *, seed: int = 42, resamples: int = 1000) -> dict[str, Any]:
    """How well the positive's scores serve as probabilities, ready for JSON.

    `figures` holds brier, ece, slope and intercept; `bins` the diagram: films, mean score, share of positive
    films and its Wilson interval. A figure that doesn't exist is null, with the reason as `why`. The
    calibration error has no interval: in a resample chance adds to it, so that it would lie above its own
    value.

    Slope and intercept are those of a logistic regression of the label on the logit (Cox 1958, Biometrika
    45:562): 1 and 0 where the scores are probabilities; a slope below 1 where they are too sure.
    """
    is_positive, values = scores.labels == scores.positive_index, scores.positive_scores
    summaries: dict[str, Statistic] = {"brier": _brier(is_positive, values)}
    if is_positive.any() and not is_positive.all():
        line = calibration_line(is_positive, values)
        summaries |= {"slope": lambda weights: line(weights)[:, 1],
                      "intercept": lambda weights: line(weights)[:, 0]}
    once = np.ones((1, len(values)))
    intervals = bootstrap(summaries, scores.groups, seed=seed, resamples=resamples)
    figures = {name: _figure(float(summary(once)[0]), intervals[name])
               for name, summary in summaries.items()}
    bins = equal_mass_bins(is_positive, values)
    ece = sum(part["films"] * abs(part["mean_score"] - part["share"]) for part in bins) / len(values)
    absent = _absent("one_class_only")
    return {"figures": {"brier": figures["brier"], "ece": {"value": ece, "low": None, "high": None},
                        "slope": figures.get("slope", absent), "intercept": figures.get("intercept", absent)},
            "bins": bins}


def equal_mass_bins(is_positive: NDArray[np.bool_], values: Floats) -> list[dict[str, Any]]:
    """At most 15 bins with as many films each, by rising score (Nixon et al. 2019, arXiv 1904.01685)."""
    order = np.argsort(values, kind="stable")
    content = []
    for part in np.array_split(order, min(BINS, len(order))):
        found = int(is_positive[part].sum())
        low, high = wilson(found, len(part))
        content.append({"films": len(part), "mean_score": float(values[part].mean()),
                        "share": found / len(part), "low": low, "high": high})
    return content


def calibration_line(is_positive: NDArray[np.bool_], values: Floats) -> Statistic:
    """Intercept and slope as a function of weights: (b, n) -> (b, 2), NaN where the films are separated.

    Newton's method on all resamples at once; no penalty.
    """
    x, y = logit(np.clip(values, EDGE, 1 - EDGE)), is_positive.astype(np.float64)
    design = np.column_stack([np.ones_like(x), x])

    def line(weights: Floats) -> Floats:
        fitted = step = np.zeros((len(weights), 2))
        for _ in range(_STEPS):
            chance = expit(fitted @ design.T)
            slopes = (weights * (y - chance)) @ design
            step = _solved(weights * chance * (1 - chance), x, slopes)
            fitted = fitted + np.clip(step, -3, 3)
            if (np.abs(step) < _SETTLED).all():
                break
        settled = np.all(np.abs(step) < _SETTLED, axis=1, keepdims=True)
        return np.where(settled, fitted, np.nan)

    return line


def _solved(curvature: Floats, x: Floats, slopes: Floats) -> Floats:
    """Newton's step, (b, 2): the 2×2 systems in closed form."""
    a, b, c = curvature.sum(axis=1), curvature @ x, curvature @ x**2
    determinant = a * c - b * b
    with np.errstate(divide="ignore", invalid="ignore"):
        first = (c * slopes[:, 0] - b * slopes[:, 1]) / determinant
        second = (a * slopes[:, 1] - b * slopes[:, 0]) / determinant
    return np.nan_to_num(np.column_stack([first, second]), nan=np.inf, posinf=np.inf, neginf=-np.inf)


def _brier(is_positive: NDArray[np.bool_], values: Floats) -> Statistic:
    losses = (values - is_positive) ** 2
    return lambda weights: weights @ losses / weights.sum(axis=1)


def _figure(value: float, interval: Interval) -> dict[str, Any]:
    if not np.isfinite(value):
        return _absent("separated")
    return {"value": value, "low": interval.low, "high": interval.high, "resamples": interval.resamples,
            "skipped": interval.skipped}


def _absent(why: str) -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "why": why}
