"""What a decision by the scores is worth: net benefit by threshold, predictive values by prevalence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pneumo_tf.errors import OptionError
from pneumo_tf.evaluation.intervals import Estimate, bootstrap
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import columns_of

THRESHOLDS = np.arange(5, 96) / 100
PREVALENCES = (0.01, 0.05, 0.10, 0.30)


def decision_curve(probabilities: Scores, *, seed: int = 42, resamples: int = 1000) -> dict[str, Any]:
    """Net benefit at thresholds 0.05, 0.06 … 0.95 (Vickers and Elkin 2006, Med Decis Making 26:565).

    Someone who acts from a probability t on holds a missed film (1 − t) / t times as bad as a false alarm;
    the net benefit is the share of true positives less that of false alarms, weighed by t / (1 − t).

    Args:
        probabilities: Of two classes, calibrated.

    Returns:
        `threshold`; the net benefit of the `network`, with the 95 % interval at each threshold as `low` and
        `high`, and of calling `all` films positive, in positives per film; calling none is 0.
    """
    is_positive = probabilities.labels == probabilities.positive_index
    called = probabilities.positive_scores[:, None] >= THRESHOLDS
    odds = THRESHOLDS / (1 - THRESHOLDS)
    gains = called * np.where(is_positive[:, None], 1, -odds)
    figures = columns_of(lambda weights: weights @ gains / weights.sum(axis=1, keepdims=True),
                         len(THRESHOLDS))
    intervals = bootstrap({str(index): figure for index, figure in enumerate(figures)},
                          probabilities.groups, seed=seed, resamples=resamples)
    share = is_positive.mean()
    return {"threshold": THRESHOLDS.tolist(), "network": gains.mean(axis=0).tolist(),
            "low": [interval.low for interval in intervals.values()],
            "high": [interval.high for interval in intervals.values()],
            "all": (share - (1 - share) * odds).tolist(),
            "films": len(is_positive), "patients": len(np.unique(probabilities.groups)),
            "method": f"patient bootstrap (BCa) at each threshold, {resamples} resamples"}


def predictive_values(sensitivity: Estimate, specificity: Estimate,
                      prevalences: Sequence[float] = PREVALENCES) -> list[dict[str, Any]]:
    """Predictive values where the positive class is as frequent as given (Bayes).

    They hang on a ratio of two independent shares, such as false alarms to hits, so the ends of the two
    Wilson intervals give theirs (MOVER-R: Newcombe 2016, Stat Methods Med Res 25:1774), at shares of 0 and 1
    too. The prevalence is taken as known.

    Args:
        sensitivity: As `evaluate` gives it: {"value", "low", "high", "of"}.
        specificity: The same.
        prevalences: Shares of positives, in (0, 1).

    Returns:
        {"prevalence", "ppv", "npv"} for each, the latter two figures with "value", "low", "high", "method",
        and "of", the positive and the negative films; null where nothing would be called so.

    Raises:
        OptionError: A prevalence outside (0, 1).
    """
    check_prevalences(prevalences)
    missed, alarms = _rest(sensitivity), _rest(specificity)
    return [{"prevalence": share,
             "ppv": _reliance(sensitivity, alarms, (1 - share) / share, why="none_predicted_positive"),
             "npv": _reliance(specificity, missed, share / (1 - share), why="none_predicted_negative")}
            for share in prevalences]


def check_prevalences(prevalences: Sequence[float]) -> None:
    """Raises OptionError where one isn't a share of positives in (0, 1)."""
    outside = [share for share in prevalences if not 0 < share < 1]
    if outside:
        raise OptionError("A prevalence must lie between 0 and 1 (neither included).",
                          received=", ".join(map(str, outside)), remedy="Give shares such as 0.02.")


def _rest(figure: Estimate) -> Estimate:
    """The share of the others."""
    if figure["value"] is None:
        return figure
    return figure | {"value": 1 - figure["value"], "low": 1 - figure["high"], "high": 1 - figure["low"]}


def _reliance(right: Estimate, wrong: Estimate, odds: float, *, why: str) -> Estimate:
    """How many of the films called so are so: `right` of them, and `odds` times `wrong` others."""
    made = {"method": "MOVER-R of Wilson's ends", "of": [right["of"], wrong["of"]]}
    absent = {"value": None, "low": None, "high": None, **made}
    for share in (right, wrong):
        if share["value"] is None:
            return absent | {"why": share["why"]}
    called = right["value"] + odds * wrong["value"]
    if not called:
        return absent | {"why": why}
    least = _least_ratio(right, wrong)
    return {"value": right["value"] / called, "low": least / (least + odds),
            "high": 1 / (1 + odds * _least_ratio(wrong, right)), **made}


def _least_ratio(one: Estimate, other: Estimate) -> float:
    """The lower end of the ratio of two independent shares, from the ends of both.

    Equation 5 of the source, multiplied out so that it holds where `other` is 0.
    """
    product = one["value"] * other["value"]
    lower = one["low"] * (2 * one["value"] - one["low"])
    upper = other["high"] * (2 * other["value"] - other["high"])
    root = np.sqrt(max(product**2 - lower * upper, 0.0))
    return float(lower / (product + root)) if lower else 0.0
