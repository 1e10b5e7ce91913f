"""What several splits of the same films say together: how far one split's figures hang on its luck."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import t

from pneumo_tf.evaluation.figures import Judged
from pneumo_tf.evaluation.scores import Scores

METHOD = "corrected resampled t (Nadeau and Bengio 2003)"
FOR_TWO = ("auc", "sensitivity", "specificity", "accuracy", "brier")
FOR_SEVERAL = ("macro_auc", "balanced_accuracy", "accuracy")


def split_figures(scores: Scores, threshold: float | None) -> dict[str, float | None]:
    """The figures of one split's test films, each from 0 to 1; None where a class has no films.

    Args:
        scores: Uncalibrated.
        threshold: On the positive's score; None for several classes.

    Raises:
        OptionError: Two classes and no threshold.
    """
    judged = Judged(scores, threshold)
    values = {name: judged.value(name) for name in (FOR_TWO if scores.is_binary else FOR_SEVERAL)}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


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
