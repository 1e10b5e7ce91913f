"""What a decision by the scores is worth: net benefit by threshold, predictive values by prevalence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pneumo_tf.evaluation.scores import Scores

THRESHOLDS = np.arange(5, 96) / 100
PREVALENCES = (0.01, 0.05, 0.10, 0.30)


def decision_curve(probabilities: Scores) -> dict[str, Any]:
    """Net benefit at thresholds 0.05, 0.06 … 0.95 (Vickers and Elkin 2006, Med Decis Making 26:565).

    Someone who acts from a probability t on holds a missed film (1 − t) / t times as bad as a false alarm;
    the net benefit is the share of true positives less that of false alarms, weighed by t / (1 − t).

    Args:
        probabilities: Of two classes, calibrated.

    Returns:
        `threshold`, and the net benefit of the `network` and of calling `all` films positive, in positives
        per film; calling none is 0.
    """
    is_positive = probabilities.labels == probabilities.positive_index
    called = probabilities.positive_scores[:, None] >= THRESHOLDS
    odds = THRESHOLDS / (1 - THRESHOLDS)
    hits, alarms = ((called & wanted[:, None]).mean(axis=0) for wanted in (is_positive, ~is_positive))
    share = is_positive.mean()
    return {"threshold": THRESHOLDS.tolist(), "network": (hits - alarms * odds).tolist(),
            "all": (share - (1 - share) * odds).tolist()}


def predictive_values(sensitivity: float | None, specificity: float | None,
                      prevalences: Sequence[float] = PREVALENCES) -> list[dict[str, float | None]]:
    """Predictive values where the positive class is as frequent as given (Bayes).

    Args:
        sensitivity: In [0, 1]; None where it doesn't exist, and so don't they.
        specificity: In [0, 1]; None as above.
        prevalences: Shares of positives, in (0, 1).

    Returns:
        {"prevalence", "ppv", "npv"} for each; None where nothing would be called so.
    """
    return [{"prevalence": share, **_values(sensitivity, specificity, share)} for share in prevalences]


def _values(sensitivity: float | None, specificity: float | None, share: float) -> dict[str, float | None]:
    if sensitivity is None or specificity is None:
        return {"ppv": None, "npv": None}
    hits, alarms = share * sensitivity, (1 - share) * (1 - specificity)
    missed, rejected = share * (1 - sensitivity), (1 - share) * specificity
    return {"ppv": hits / (hits + alarms) if hits + alarms else None,
            "npv": rejected / (rejected + missed) if rejected + missed else None}
