"""What several splits of the same films say together: how far one split's figures hang on its luck."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import t

from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import auc_of, confusion_of, macro_auc, recalls

METHOD = "corrected resampled t (Nadeau and Bengio 2003)"


def split_figures(scores: Scores, threshold: float | None) -> dict[str, float | None]:
    """The figures of one split's test films, each a share from 0 to 1.

    Args:
        scores: Uncalibrated, of films of every class.
        threshold: On the positive's score; None for several classes.

    Returns:
        For two classes auc, sensitivity, specificity, accuracy and brier; for several macro_auc,
        balanced_accuracy and accuracy. None where a class has no films.

    Raises:
        OptionError: Two classes and no threshold.
    """
    predicted = scores.predicted(threshold)
    count = confusion_of(scores.labels, predicted, len(scores.classes))
    found = recalls(count(np.ones((1, len(predicted)))))[0]
    accuracy = float(np.mean(predicted == scores.labels))
    if not scores.is_binary:
        return {"macro_auc": _existing(area(scores)), "balanced_accuracy": _existing(found.mean()),
                "accuracy": accuracy}
    is_positive = scores.labels == scores.positive_index
    return {"auc": _existing(area(scores)), "sensitivity": _existing(found[scores.positive_index]),
            "specificity": _existing(found[1 - scores.positive_index]), "accuracy": accuracy,
            "brier": float(np.mean((scores.positive_scores - is_positive) ** 2))}


def area(scores: Scores) -> float:
    """The area under the ROC curve; of several classes the mean of each against the rest.

    NaN where a class has no films.
    """
    if scores.is_binary:
        every = auc_of(scores.labels == scores.positive_index, scores.positive_scores)
        return float(every(np.ones((1, len(scores.ids))))[0])
    mean = macro_auc(scores.labels, scores.values)
    return float("nan") if mean is None else mean


def _existing(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def over_splits(values: Sequence[float], *, ratio: float) -> dict[str, Any]:
    """Mean, spread and interval of one figure over several splits of the same films, ready for JSON.

    Splits that share films aren't independent: the standard deviation divided by the root of their number
    is far too small. Nadeau and Bengio (2003, Machine Learning 52:239) take the variance of the mean as
    (1 / splits + test / rest) times that of the splits; the interval is Student's with it.

    Args:
        values: One per split, at least two, each from 0 to 1.
        ratio: Number of test patients for each patient of the rest.

    Returns:
        `value` (the mean), `sd`, `least`, `most`, `low` and `high` (95 %; None where all splits gave the
        same, which tells nothing of a width), `method` and `n` (splits).
    """
    found = np.asarray(values, dtype=float)
    splits, mean, sd = len(found), float(found.mean()), float(found.std(ddof=1))
    reach = t.ppf(0.975, splits - 1) * sd * np.sqrt(1 / splits + ratio)
    has_width = found.min() < found.max()
    return {"value": mean, "sd": sd, "least": float(found.min()), "most": float(found.max()),
            "low": float(max(mean - reach, 0)) if has_width else None,
            "high": float(min(mean + reach, 1)) if has_width else None, "method": METHOD, "n": splits}
