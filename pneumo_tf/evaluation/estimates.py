"""Figures as metrics.json holds them, with intervals by resampling patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.evaluation.intervals import Statistic, bootstrap

Estimate = dict[str, Any]


def resampled(statistics: Mapping[str, Statistic], groups: NDArray[np.str_], *, seed: int, resamples: int,
              why: str = "missing_class") -> dict[str, Estimate]:
    """Statistics of all films, with intervals over resamples of patients.

    Args:
        statistics: By name, each a function of weights (b, n) -> (b,), NaN where it is undefined.
        groups: (n,) the patient of each film.
        seed: Of the resamples, which all statistics share.
        resamples: Number of them.
        why: The reason of a statistic that doesn't exist on all films.

    Returns:
        By name {"value", "low", "high", "films", "patients", "resamples", "skipped", "method"}. No ends where
        every resample gave the same, since then nothing was learnt of the width.
    """
    once = np.ones((1, len(groups)))
    values = {name: float(statistic(once)[0]) for name, statistic in statistics.items()}
    intervals = bootstrap({name: statistics[name] for name, value in values.items() if np.isfinite(value)},
                          groups, seed=seed, resamples=resamples)
    made = {"films": len(groups), "patients": len(np.unique(groups)), "resamples": resamples,
            "method": f"patient bootstrap (BCa), {resamples} resamples"}
    figures: dict[str, Estimate] = {}
    for name, value in values.items():
        found = intervals.get(name)
        if found is None:
            figures[name] = {"value": None, "low": None, "high": None, **made, "why": why}
            continue
        ends = (None, None) if found.low == found.high else (found.low, found.high)
        figures[name] = {"value": value, "low": ends[0], "high": ends[1], **made, "skipped": found.skipped}
    return figures
