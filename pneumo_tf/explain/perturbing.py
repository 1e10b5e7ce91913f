"""Films of which some superpixels are absent, made a batch at a time so that memory doesn't grow."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import OptionError
from pneumo_tf.explain.superpixels import Film, Labels

Presence = NDArray[np.bool_]
Films = NDArray[np.uint8]
Scorer = Callable[[Films], NDArray[np.float32]]
"""uint8 films (n, H, W, 3) to the scores of their classes (n, K)."""

ABSENT = ("zero", "mean", "blur")
BATCH = 32


def filling(film: Film, absent: str, labels: Labels | None = None) -> Film:
    """What stands where a superpixel is absent, uint8 (H, W, 3).

    Args:
        film: uint8 (H, W, 3).
        absent: "zero" for black, "mean" for the mean colour of each superpixel (of the film, without
            labels), "blur" for the film without detail: a Gaussian of a tenth of its longer side.
        labels: int (H, W).

    Raises:
        OptionError: Another word.
    """
    if absent not in ABSENT:
        raise OptionError("Absent superpixels must be filled in a way that this program knows.",
                          received=absent, remedy=f"Choose one of: {', '.join(ABSENT)}.")
    if absent == "zero":
        return np.zeros_like(film)
    if absent == "blur":
        return np.asarray(cv2.GaussianBlur(film, (0, 0), max(film.shape) / 10), dtype=np.uint8)
    regions = np.zeros(film.shape[:2], np.int32) if labels is None else labels
    sizes = np.bincount(regions.ravel())
    sums = [np.bincount(regions.ravel(), film[..., channel].ravel()) for channel in range(3)]
    return np.rint(np.stack(sums, axis=-1) / sizes[:, None]).astype(np.uint8)[regions]


def perturbed(film: Film, fill: Film, labels: Labels, presence: Presence) -> Films:
    """One film per row of `presence`: its own pixels where the superpixel is present, else the filling.

    Args:
        film, fill: uint8 (H, W, 3).
        labels: int (H, W).
        presence: bool (n, superpixels).

    Returns:
        uint8 (n, H, W, 3).
    """
    mask = np.repeat(labels.ravel(), 3)
    shown = np.take(255 * presence.view(np.uint8), mask, axis=1).reshape(-1, *film.shape)
    shown &= film ^ fill  # 255 lets the film through, 0 the filling: bits are faster than comparisons
    shown ^= fill
    return shown


def scores_of(film: Film, fill: Film, labels: Labels, presence: Presence, *, scorer: Scorer,
              advance: Callable[[int], None] = lambda _: None) -> NDArray[np.float32]:
    """Scores (n, K) of the perturbed films; never more than a batch of them exists."""
    parts = []
    for start in range(0, len(presence), BATCH):
        rows = presence[start : start + BATCH]
        parts.append(scorer(perturbed(film, fill, labels, rows)))
        advance(len(rows))
    return np.concatenate(parts)
