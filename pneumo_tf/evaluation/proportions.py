"""Shares of films as metrics.json holds them: counts, value, and an interval that knows of patients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.evaluation.intervals import effective_films, wilson

Estimate = dict[str, Any]
Flags = NDArray[np.bool_]


def proportion(hits: Flags, groups: NDArray[np.str_], *, why: str) -> Estimate:
    """The share of hits with Wilson's interval, as wide as the patients are few.

    Args:
        hits: (n,) bool, one for each film that counts.
        groups: (n,) the patient of each film.
        why: The reason where no film counts.

    Returns:
        {"value", "low", "high", "count", "of", "patients", "effective", "method"}, `effective` the number of
        independent films that tell as much; null with "why" where no film counts.
    """
    count, of, patients = int(hits.sum()), len(hits), len(np.unique(groups))
    made = {"count": count, "of": of, "patients": patients,
            "method": "Wilson" if patients == of else "Wilson by patient"}
    if not of:
        return {"value": None, "low": None, "high": None, **made, "why": why}
    effective = effective_films(hits, groups)
    low, high = wilson(count / of * effective, effective)
    return {"value": count / of, "low": low, "high": high, **made, "effective": effective}


def two_by_two(is_own: Flags, is_called: Flags, groups: NDArray[np.str_]) -> dict[str, Estimate]:
    """Sensitivity, specificity and predictive values of one class against the others.

    Args:
        is_own: (n,) bool, whether each film is of the class.
        is_called: (n,) bool, whether it was called so.
        groups: (n,) the patient of each film.
    """
    right = is_own == is_called
    parts = {"sensitivity": (is_own, "no_positive_films"), "specificity": (~is_own, "no_negative_films"),
             "ppv": (is_called, "none_predicted_positive"), "npv": (~is_called, "none_predicted_negative")}
    return {name: proportion(right[rows], groups[rows], why=why) for name, (rows, why) in parts.items()}
