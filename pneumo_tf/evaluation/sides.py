"""Whether a film is mirrored, told by what a run's own films look like on their left and right.

A film less its mirror image, halved, is all that tells its sides apart. Fisher's linear discriminant of these
differences and their negatives is learnt from films that are taken to lie rightly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.evaluation.novelty import upper_bound

SIDE = 24  # pixels that a film is looked at in
_FEWEST = 20  # films
_WORTH = 0.5  # share of mirrored films that must be found for the question to be asked at all


@dataclass(frozen=True)
class Sides:
    """What tells left from right.

    Attributes:
        weights: float32 (24 · 12,), of the differences.
        threshold: At most 0; a film with a lower score is mirrored.
    """

    weights: NDArray[np.float32]
    threshold: float

    def scores(self, differences: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores of films by `side_differences`; those of their mirror images are the negatives."""
        return np.asarray(differences @ self.weights, np.float64)

    def is_mirrored(self, film: NDArray[np.uint8]) -> bool:
        """Whether a film, uint8 (H, W, C), as the network meets it, seems to be mirrored."""
        return bool(self.scores(side_differences([film]))[0] < self.threshold)


def side_differences(films: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What tells the sides of each film apart, float32 (n, 24 · 12), whatever its brightness and contrast."""
    rows = []
    for film in films:
        resized = cv2.resize(film, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        small = resized.reshape(SIDE, SIDE, -1).mean(axis=2)
        small = (small - small.mean()) / (small.std() + 1)
        rows.append(((small - small[:, ::-1]) / 2)[:, : SIDE // 2].ravel())
    return np.array(rows, np.float32).reshape(len(rows), SIDE * SIDE // 2)


def fit_sides(training: NDArray[np.float32], validation: NDArray[np.float32]) -> Sides | None:
    """Learn left and right from training films, and fix the threshold on validation films.

    Args:
        training, validation: As `side_differences` gives them.

    Returns:
        None where the films don't tell: there are few, or most mirrored ones would go unnoticed.
    """
    if min(len(training), len(validation)) < _FEWEST:
        return None
    from sklearn.covariance import ledoit_wolf  # only a training needs it

    covariance, _ = ledoit_wolf(training)
    weights = np.linalg.solve(covariance, training.mean(axis=0))
    scores = validation @ weights
    bound = min(-upper_bound(-scores), 0.0)
    sides = Sides(weights.astype(np.float32), bound)
    return sides if np.mean(-scores < bound) >= _WORTH else None
