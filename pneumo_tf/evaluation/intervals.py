"""How far a figure may be off: Wilson for proportions, a bootstrap over patients for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import binomtest, norm

Weights = NDArray[np.float64]
Statistic = Callable[[Weights], Weights]

# Resamples drawn at a time: bounds the memory to 100 × n floats, whatever the number of resamples.
_CHUNK = 100


@dataclass(frozen=True)
class Interval:
    """A 95 % interval; None where no resample gave a number.

    Attributes:
        low: 2.5th percentile.
        high: 97.5th percentile.
        resamples: How many were drawn.
        skipped: How many of them had no value, e.g. because one class was missing.
    """

    low: float | None
    high: float | None
    resamples: int
    skipped: int


def wilson(count: int, of: int) -> tuple[float, float]:
    """The 95 % Wilson interval of `count` out of `of` independent trials (Wilson 1927, JASA 22:209)."""
    interval = binomtest(count, of).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def newcombe_auc(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """The 95 % interval of an area under the ROC curve that holds at 0 and 1 too.

    Newcombe 2006, Stat Med 25:559, method 5: the areas whose distance from `area` is at most 1.96 of their
    own standard errors. A bootstrap finds no width where every resample separates the classes as well.
    """
    extra = (positives + negatives) / 2 - 1

    def beyond(candidate: float) -> float:
        spread = 1 + extra * ((1 - candidate) / (2 - candidate) + candidate / (1 + candidate))
        variance = candidate * (1 - candidate) * spread / (positives * negatives)
        return float((area - candidate) ** 2 - norm.ppf(0.975) ** 2 * variance)

    edge = 1e-12
    low = brentq(beyond, edge, area - edge) if area > edge else 0.0
    high = brentq(beyond, area + edge, 1 - edge) if area < 1 - edge else 1.0
    return float(low), float(high)


def bootstrap(statistics: Mapping[str, Statistic], groups: NDArray[np.str_], *, seed: int,
              resamples: int) -> dict[str, Interval]:
    """95 % percentile intervals of several statistics over the same resamples of patients.

    Films of one patient resemble each other, so patients are drawn, not films. A statistic takes weights
    (b, n), how often each film occurs in each of b resamples, and returns (b,) values, NaN where it is
    undefined.
    """
    drawn: dict[str, list[Weights]] = {name: [] for name in statistics}
    for weights in _resamples(groups, seed=seed, resamples=resamples):
        for name, statistic in statistics.items():
            drawn[name].append(statistic(weights))
    return {name: _percentiles(np.concatenate(values)) for name, values in drawn.items()}


def _resamples(groups: NDArray[np.str_], *, seed: int, resamples: int) -> Iterator[Weights]:
    keys, member = np.unique(groups, return_inverse=True)
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        counts = generator.multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=rows)
        yield counts[:, member].astype(np.float64)


def _percentiles(values: Weights) -> Interval:
    valid = values[np.isfinite(values)]
    skipped = len(values) - len(valid)
    if not len(valid):
        return Interval(None, None, len(values), skipped)
    low, high = np.percentile(valid, [2.5, 97.5])
    return Interval(float(low), float(high), len(values), skipped)
