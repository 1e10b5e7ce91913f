"""Intervals of the area under the ROC curve: DeLong's, by ranks alone, and Newcombe's for perfect ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

Floats = NDArray[np.float64]


def placements(is_positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """DeLong's structural components, by midranks (Sun and Xu 2014, IEEE Signal Process Lett 21:1389).

    Args:
        is_positive: (n,) bool.
        scores: (n,) float, higher for the positives.

    Returns:
        For each of the m positives the share of negatives below it, and for each of the n − m negatives the
        share of positives above it, ties half. The mean of either is the area.
    """
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
    reach = norm.ppf(0.975) * np.sqrt(spread) / (area * (1 - area))
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
        return float((area - candidate) ** 2 - norm.ppf(0.975) ** 2 * variance)

    edge = 1e-12
    low = brentq(beyond, edge, area - edge) if area > edge else 0.0
    high = brentq(beyond, area + edge, 1 - edge) if area < 1 - edge else 1.0
    return float(low), float(high)
