"""How far a figure may be off: Wilson for shares, DeLong and Newcombe for areas, a bootstrap of patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtr, ndtri, stdtrit

from pneumo_tf.evaluation.statistics import Statistic, less

Floats = NDArray[np.float64]
Estimate = dict[str, Any]
"""A figure as metrics.json holds it: its value, the ends of its interval, its counts and its method."""

# Of fewer patients a resample repeats nearly the same films: its spread says nothing of other patients.
FEWEST_PATIENTS = 10
# Weights held at a time, of 8 bytes each: at most 100 resamples, and fewer of a million films.
_CHUNK, _WEIGHTS = 100, 4_000_000
# Blocks that a jackknife leaves out: the acceleration is known to 0.65 / 200, and costs a fifth of a thousand
# resamples however many patients there are.
_BLOCKS = 200


class Interval(NamedTuple):
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
    share, z = count / of, ndtri(0.975)
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
    freedom = stdtrit(films - 1, 0.975) / stdtrit(patients - 1, 0.975)
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
        if name not in intervals:
            figures[name] = {"value": None, "low": None, "high": None, **made, "why": why}
            continue
        low, high, skipped = intervals[name]
        low, high = (None, None) if low == high else (low, high)
        figures[name] = {"value": value, "low": low, "high": high, **made, "skipped": skipped}
    return figures


def changes(pairs: Mapping[str, tuple[Statistic, Statistic]], groups: NDArray[np.str_], *, seed: int,
            resamples: int) -> dict[str, Estimate]:
    """The second figure of each pair less the first, both on the same resamples of patients.

    What both share, such as a hard film, drops out, so that the interval is narrower than those of the two
    figures let expect.

    Args:
        pairs: Before and after, by name.

    Returns:
        Figures as `resampled` gives them.
    """
    differences = {name: less(after, before) for name, (before, after) in pairs.items()}
    return resampled(differences, groups, seed=seed, resamples=resamples, why="one_class_only")


def chunks(resamples: int, films: int) -> Iterator[range]:
    """Numbers of resamples, a few at a time, so that memory stays flat whatever the number of films."""
    step = max(1, min(_CHUNK, _WEIGHTS // films))
    return (range(start, min(start + step, resamples)) for start in range(0, resamples, step))


def _over(statistics: Mapping[str, Statistic], chunks: Iterator[Floats]) -> dict[str, Floats]:
    """Every statistic of every row of weights."""
    values: dict[str, list[Floats]] = {name: [] for name in statistics}
    for weights in chunks:
        for name, statistic in statistics.items():
            values[name].append(statistic(weights))
    return {name: np.concatenate(parts) for name, parts in values.items()}


def _resamples(patients: int, member: NDArray[np.intp], *, seed: int, resamples: int) -> Iterator[Floats]:
    generator = np.random.default_rng(seed)
    for rows in chunks(resamples, len(member)):
        counts = generator.multinomial(patients, np.full(patients, 1 / patients), size=len(rows))
        yield counts[:, member].astype(np.float64)


def _left_out(patients: int, member: NDArray[np.intp]) -> Iterator[Floats]:
    """The films without each block of patients in turn; few patients are a block each."""
    blocks = min(patients, _BLOCKS)
    for rows in chunks(blocks, len(member)):
        yield (member % blocks != np.array(rows)[:, None]).astype(np.float64)


def _ends(drawn: Floats, without: Floats, value: float) -> Interval:
    """The ends among the resamples that have a value."""
    valid = drawn[np.isfinite(drawn)]
    skipped = len(drawn) - len(valid)
    if not len(valid):
        return Interval(skipped=skipped)
    shares = _shares(valid, without[np.isfinite(without)], value)
    # The k-th of b ordered values stands for the share k / (b + 1).
    low, high = np.percentile(valid, 100 * shares, method="weibull")
    return Interval(float(low), float(high), skipped)


def _shares(drawn: Floats, without: Floats, value: float) -> Floats:
    """The shares of resamples below the two ends, (2,): 0.025 and 0.975, moved by the bias of the resamples
    and by how much the spread changes with the value (acceleration, by the jackknife).
    """
    plain = np.array([0.025, 0.975])
    below = (drawn < value).mean() + (drawn == value).mean() / 2
    bias = ndtri(np.clip(below, 1 / (len(drawn) + 1), len(drawn) / (len(drawn) + 1)))
    pulls = without.mean() - without if len(without) else np.zeros(1)
    spread = (pulls**2).sum()
    acceleration = (pulls**3).sum() / (6 * spread**1.5) if spread else 0.0
    moved = bias + ndtri(plain)
    scale = 1 - acceleration * moved
    return ndtr(bias + moved / scale) if (scale > 0).all() else plain




def placements(is_positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """DeLong's structural components, by midranks (Sun and Xu 2014, IEEE Signal Process Lett 21:1389).

    Args:
        is_positive: (n,) bool.
        scores: (n,) float, higher for the positives.

    Returns:
        For each of the m positives the share of negatives below it, and for each of the n − m negatives the
        share of positives above it, ties half. The mean of either is the area.
    """
    from scipy.stats import rankdata  # half a second that an answer to one film needn't wait

    positives, negatives = scores[is_positive], scores[~is_positive]
    ranks = rankdata(np.concatenate([positives, negatives]))
    m, n = len(positives), len(negatives)
    above = (ranks[:m] - rankdata(positives)) / n
    below = 1 - (ranks[m:] - rankdata(negatives)) / m
    return above, below


def variance(is_positive: NDArray[np.bool_], scores: NDArray[np.floating],
             groups: NDArray[np.str_] | None = None) -> float:
    """The variance of the area (DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837).

    Args:
        is_positive: (n,) bool.
        scores: (n,) float.
        groups: (n,) the patient of each film, whose films may resemble each other (Obuchowski 1997,
            Biometrics 53:567); None takes films as independent, which is the same with one film a patient.

    Returns:
        NaN with fewer than two patients of a class.
    """
    keys = np.arange(len(scores)) if groups is None else groups
    _, member = np.unique(keys, return_inverse=True)
    patients = int(member.max()) + 1
    sides = (is_positive, ~is_positive)
    counts = [len(np.unique(member[side])) for side in sides]
    if min(counts) < 2:
        return float("nan")
    sums = [np.bincount(member[side], (share - share.mean()) / len(share), minlength=patients)
            for side, share in zip(sides, placements(is_positive, scores), strict=True)]
    own = sum(count / (count - 1) * (part**2).sum() for count, part in zip(counts, sums, strict=True))
    return float(own + 2 * patients / (patients - 1) * (sums[0] * sums[1]).sum())


def delong(is_positive: NDArray[np.bool_], scores: NDArray[np.floating],
           groups: NDArray[np.str_] | None = None) -> tuple[float, float] | None:
    """The 95 % interval of the area, symmetric on the logit so that it stays within 0 and 1.

    None where it doesn't exist: fewer than two films (or patients, with `groups`) of a class, or an area of 0
    or 1, of which the data show no spread.
    """
    spread = variance(is_positive, scores, groups)
    if not spread > 0:
        return None
    area = float(placements(is_positive, scores)[0].mean())
    # The delta method: the logit's derivative is 1 / (area · (1 − area)).
    reach = ndtri(0.975) * np.sqrt(spread) / (area * (1 - area))
    low, high = expit(logit(area) + np.array([-reach, reach]))
    return float(low), float(high)


def newcombe_auc(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """The 95 % interval of an area under the ROC curve that holds at 0 and 1 too.

    Newcombe 2006, Stat Med 25:559, method 5: the areas whose distance from `area` is at most 1.96 of their
    own standard errors. A bootstrap finds no width where every resample separates the classes as well.
    """
    extra = (positives + negatives) / 2 - 1

    def beyond(candidate: float) -> float:
        spread = 1 + extra * ((1 - candidate) / (2 - candidate) + candidate / (1 + candidate))
        variance = candidate * (1 - candidate) * spread / (positives * negatives)
        return float((area - candidate) ** 2 - ndtri(0.975) ** 2 * variance)

    edge = 1e-12
    low = brentq(beyond, edge, area - edge) if area > edge else 0.0
    high = brentq(beyond, area + edge, 1 - edge) if area < 1 - edge else 1.0
    return float(low), float(high)
