"""How far an explanation follows the network (faithfulness), and how far it repeats itself (stability).

A map is any float array (H, W), signed or not; the larger, the more a pixel is said to speak for the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import FilmError
from pneumo_tf.explain.lime import TOP, Explanation, log_odds
from pneumo_tf.explain.superpixels import BATCH, Film, Scorer, filling

Map = NDArray[np.floating]
Mask = NDArray[np.bool_]

STEPS = 20
TOLERANCE = 15 / 224  # pixels of the pointing game's authors, as a share of the film's side
# Two halves of the samples must agree on the ranks or, where most superpixels mean nothing, on the first 5.
LEAST_SPEARMAN, LEAST_OVERLAP = 0.6, 0.8
LEAST_R2 = 0.2
# Of what a map of one value has in the lungs; a coarse map that points nowhere has a few hundredths less.
LEAST_IN_LUNGS = 0.9


@dataclass(frozen=True)
class Curve:
    """The score of a class while pixels go or come, the most important first."""

    shares: NDArray[np.float64]  # (steps + 1,), of the pixels, from 0 to 1
    scores: NDArray[np.float64]  # (steps + 1,), in [0, 1]

    @property
    def area(self) -> float:
        """Area under the scores, in [0, 1]."""
        return float(np.trapezoid(self.scores, self.shares))

    @property
    def log_odds(self) -> float:
        """Mean log-odds along the curve; tells curves apart whose scores are all near 0 or 1."""
        return float(np.trapezoid(log_odds(self.scores), self.shares))


@dataclass(frozen=True)
class Stability:
    """How far explanations of the same film agree.

    Attributes:
        spearman: Mean rank correlation of the superpixels' weights, over all pairs; 0 where all are equal.
        overlap: Mean share of the five first superpixels that two have in common.
    """

    spearman: float
    overlap: float


def deletion(film: Film, importance: Map, scorer: Scorer, *, explained: int, absent: str = "blur",
             steps: int = STEPS) -> Curve:
    """Scores while pixels are deleted, the most important first; the faster they fall, the better.

    Petsiuk, Das and Saenko, RISE, BMVC 2018. The film is uint8 (H, W, 3), the map float (H, W); `absent` says
    what stands in place of a deleted pixel, `steps` how many films are scored beside the whole one.

    Raises:
        FilmError: A map of another size.
    """
    return _curve(film, filling(film, absent), importance, scorer, explained=explained, steps=steps)


def insertion(film: Film, importance: Map, scorer: Scorer, *, explained: int, absent: str = "blur",
              steps: int = STEPS) -> Curve:
    """Scores while pixels come into an empty film; the faster they rise, the better. As `deletion`."""
    return _curve(filling(film, absent), film, importance, scorer, explained=explained, steps=steps)


def stability(weights: Sequence[NDArray[np.floating]]) -> Stability:
    """Agreement of explanations of one film with the same superpixels, from two on."""
    from scipy.stats import spearmanr  # takes most of a second to import, and the parser imports this room

    leaders = [set(np.argsort(-np.abs(each), kind="stable")[:TOP].tolist()) for each in weights]
    spearman = [spearmanr(first, second).statistic if np.ptp(first) and np.ptp(second) else 0.0
                for first, second in combinations(weights, 2)]
    overlap = [len(first & second) / len(first) for first, second in combinations(leaders, 2)]
    return Stability(float(np.mean(spearman)), float(np.mean(overlap)))


def verdict(explanation: Explanation) -> str:
    """"shown", or why LIME's explanation isn't: "constant", "unstable" or "unfaithful"."""
    if explanation.r2 is None:
        return "constant"
    halves = stability(list(explanation.halves))
    if halves.spearman < LEAST_SPEARMAN and halves.overlap < LEAST_OVERLAP:
        return "unstable"
    return "shown" if explanation.r2 >= LEAST_R2 else "unfaithful"


def points_inside(importance: Map, lesion: Mask, *, tolerance: float = TOLERANCE) -> bool:
    """The pointing game: whether the most important place lies in the lesion, or as good as.

    Zhang et al., Top-Down Neural Attention by Excitation Backprop, ECCV 2016. Of a plateau the pixel nearest
    to its middle counts; a map without anything positive points nowhere. The tolerance is the distance from
    the lesion that still counts, as a share of the longer side.
    """
    if importance.max() <= 0:
        return False
    plateau = np.argwhere(importance == importance.max())
    row, column = plateau[((plateau - plateau.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return bool(near(lesion, tolerance)[row, column])


def near(lesion: Mask, tolerance: float = TOLERANCE) -> Mask:
    """The lesion and what lies within the tolerance; its share of the film is the chance of a blind guess."""
    distance = cv2.distanceTransform((~lesion).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= tolerance * max(lesion.shape)) if lesion.any() else lesion


def mass_inside(importance: Map, lesion: Mask) -> float | None:
    """The share of a map's positive weight that lies in the lesion; None where nothing is positive."""
    positive = np.maximum(importance, 0)
    return float(positive[lesion].sum() / positive.sum()) if positive.any() else None


def _curve(first: Film, last: Film, importance: Map, scorer: Scorer, *, explained: int, steps: int) -> Curve:
    """Scores on the way from one film to another, pixel by pixel in the order of importance."""
    if importance.shape != first.shape[:2]:
        raise FilmError("A map must have the size of its film.",
                        received=f"{importance.shape} for a film {first.shape[:2]}")
    rank = np.argsort(np.argsort(-importance.ravel(), kind="stable")).reshape(importance.shape)
    shares = np.linspace(0, 1, steps + 1)
    changed = rank < (shares * rank.size)[:, None, None]
    films = np.where(changed[..., None], last, first)
    scores = [scorer(films[start : start + BATCH])[:, explained] for start in range(0, len(films), BATCH)]
    return Curve(shares, np.concatenate(scores).astype(np.float64))
