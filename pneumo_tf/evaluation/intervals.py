"""How far a figure may be off: Wilson for proportions, a bootstrap over patients for everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from pneumo_tf.evaluation.statistics import Statistic, less

Weights = NDArray[np.float64]
Estimate = dict[str, Any]
"""A figure as metrics.json holds it: its value, the ends of its interval, its counts and its method."""

# Of fewer patients a resample repeats nearly the same films: its spread says nothing of other patients.
FEWEST_PATIENTS = 10
# Resamples drawn at a time: bounds the memory to 100 × n floats, whatever the number of resamples.
_CHUNK = 100
# Blocks that a jackknife leaves out: the acceleration is known to 0.65 / 200, and costs a fifth of a thousand
# resamples however many patients there are.
_BLOCKS = 200


@dataclass(frozen=True)
class Interval:
    """A 95 % interval; None where no resample gave a number, or the patients are too few for any.

    Attributes:
        skipped: How many resamples had no value, e.g. because one class was missing.
    """

    low: float | None = None
    high: float | None = None
    skipped: int = 0


def wilson(count: float, of: float) -> tuple[float, float]:
    """The 95 % Wilson interval of `count` out of `of` independent trials (Wilson 1927, JASA 22:209).

    Both may be fractions, as effective numbers are.
    """
    share, z = count / of, norm.ppf(0.975)
    middle = share + z**2 / (2 * of)
    reach = z * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    low, high = (middle + np.array([-reach, reach])) / (1 + z**2 / of)
    # On paper the ends are 0 and 1 where none or all succeed.
    return (float(low) if count else 0.0), (float(high) if count < of else 1.0)


def effective_films(hits: NDArray[np.bool_], groups: NDArray[np.str_]) -> float:
    """How many independent films tell as much of a share as these, of which some belong to one patient.

    The films over the design effect, that is the variance of the share with patients drawn over that with
    films drawn (Rao and Scott 1992, Biometrics 48:577), at least 1, and with Student's t of the patients'
    degrees of freedom (Korn and Graubard 1998, Surv Methodol 24:193). Where all films agree the data show no
    resemblance within patients, and each patient counts once.

    Args:
        hits: (n,) bool, n at least 1.
        groups: (n,) the patient of each film.
    """
    _, member = np.unique(groups, return_inverse=True)
    films, patients = len(hits), int(member.max()) + 1
    residuals = hits - hits.mean()
    if films == patients or patients == 1 or not residuals.any():
        return float(patients)
    by_patient = (np.bincount(member, residuals) ** 2).sum() * patients / (patients - 1)
    by_film = (residuals**2).sum() * films / (films - 1)
    freedom = t.ppf(0.975, films - 1) / t.ppf(0.975, patients - 1)
    return float(films / max(by_patient / by_film, 1.0) * freedom**2)


def proportion(hits: NDArray[np.bool_], groups: NDArray[np.str_], *, why: str) -> Estimate:
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


def bootstrap(statistics: Mapping[str, Statistic], groups: NDArray[np.str_], *, seed: int,
              resamples: int) -> dict[str, Interval]:
    """95 % intervals of several statistics over the same resamples of patients.

    BCa intervals (Efron 1987, JASA 82:171), whose acceleration comes from leaving out blocks of patients.
    Films of one patient resemble each other, so patients are drawn, not films. A statistic takes weights
    (b, n), how often each film occurs in each of b resamples, and returns (b,) values, NaN where it is
    undefined. Fewer than 10 patients have no interval.

    Plain percentiles of figures near 1 promise too much: of areas of 0.97 measured on 200 patients the truth
    lay below 6 intervals of 100 and above 1 (benchmarks/coverage.py).
    """
    keys, member = np.unique(groups, return_inverse=True)
    if len(keys) < FEWEST_PATIENTS:
        return dict.fromkeys(statistics, Interval())
    once = np.ones((1, len(groups)))
    drawn = _over(statistics, _resamples(len(keys), member, seed=seed, resamples=resamples))
    without = _over(statistics, _left_out(len(keys), member))
    return {name: _ends(drawn[name], without[name], float(statistic(once)[0]))
            for name, statistic in statistics.items()}


def resampled(statistics: Mapping[str, Statistic], groups: NDArray[np.str_], *, seed: int, resamples: int,
              why: str = "missing_class") -> dict[str, Estimate]:
    """Statistics of all films, with intervals over resamples of patients.

    Args:
        statistics: By name, each a function of weights (b, n) -> (b,), NaN where it is undefined.
        groups: (n,) the patient of each film.
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


def changes(pairs: Mapping[str, tuple[Statistic, Statistic]], groups: NDArray[np.str_], *, seed: int,
            resamples: int) -> dict[str, Estimate]:
    """The second figure of each pair less the first, both on the same resamples of patients.

    What both share, such as a hard film, drops out, so that the interval is narrower than those of the two
    figures let expect.

    Args:
        pairs: Before and after, by name.
        groups: (n,) the patient of each film.

    Returns:
        Figures as `resampled` gives them; no ends where every resample gave the same.
    """
    differences = {name: less(after, before) for name, (before, after) in pairs.items()}
    return resampled(differences, groups, seed=seed, resamples=resamples, why="one_class_only")


def _over(statistics: Mapping[str, Statistic], chunks: Iterator[Weights]) -> dict[str, Weights]:
    """Every statistic of every row of weights."""
    found: dict[str, list[Weights]] = {name: [] for name in statistics}
    for weights in chunks:
        for name, statistic in statistics.items():
            found[name].append(statistic(weights))
    return {name: np.concatenate(values) for name, values in found.items()}


def _resamples(patients: int, member: NDArray[np.intp], *, seed: int, resamples: int) -> Iterator[Weights]:
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        counts = generator.multinomial(patients, np.full(patients, 1 / patients), size=rows)
        yield counts[:, member].astype(np.float64)


def _left_out(patients: int, member: NDArray[np.intp]) -> Iterator[Weights]:
    """The films without each block of patients in turn; few patients are a block each."""
    blocks = min(patients, _BLOCKS)
    for start in range(0, blocks, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, blocks))
        yield (member % blocks != rows[:, None]).astype(np.float64)


def _ends(drawn: Weights, without: Weights, value: float) -> Interval:
    """The ends among the resamples that have a value."""
    valid = drawn[np.isfinite(drawn)]
    skipped = len(drawn) - len(valid)
    if not len(valid):
        return Interval(skipped=skipped)
    shares = _shares(valid, without[np.isfinite(without)], value)
    # The k-th of b ordered values stands for the share k / (b + 1).
    low, high = np.percentile(valid, 100 * shares, method="weibull")
    return Interval(float(low), float(high), skipped)


def _shares(drawn: Weights, without: Weights, value: float) -> Weights:
    """The shares of resamples below the two ends, (2,): 0.025 and 0.975, moved by the bias of the resamples
    and by how much the spread changes with the value (acceleration, by the jackknife).
    """
    plain = np.array([0.025, 0.975])
    below = (drawn < value).mean() + (drawn == value).mean() / 2
    bias = norm.ppf(np.clip(below, 1 / (len(drawn) + 1), len(drawn) / (len(drawn) + 1)))
    pulls = without.mean() - without if len(without) else np.zeros(1)
    spread = (pulls**2).sum()
    acceleration = (pulls**3).sum() / (6 * spread**1.5) if spread else 0.0
    moved = bias + norm.ppf(plain)
    scale = 1 - acceleration * moved
    return norm.cdf(bias + moved / scale) if (scale > 0).all() else plain
