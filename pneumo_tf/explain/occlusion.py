"""Occlusion: how far a score falls while a patch of the film is covered. No gradients, no surrogate.

Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import OptionError
from pneumo_tf.explain.lime import log_odds
from pneumo_tf.explain.superpixels import BATCH, Film, Scorer, check_film, filling


def occlusion_map(film: Film, scorer: Scorer, *, explained: int, patch: float = 0.2, step: float = 0.5,
                  absent: str = "mean") -> NDArray[np.float32]:
    """How far the log-odds of a class fall on average while a pixel is covered, float32 (H, W), signed.

    Args:
        film: uint8 (H, W, 3).
        scorer: Films to scores.
        explained: Index of the class.
        patch: Side of the square patch, as a share of the film's shorter side.
        step: Between two places of the patch, as a share of its side.
        absent: What the patch shows: "zero", "mean" (of the film) or "blur".

    Raises:
        FilmError: Another shape or dtype.
        OptionError: A patch or step that isn't a share.
    """
    check_film(film)
    if not (0 < patch <= 1 and 0 < step <= 1):
        raise OptionError("The patch and its step are shares above 0, at most 1.",
                          received=f"patch {patch}, step {step}")
    side = max(1, round(patch * min(film.shape[:2])))
    corners = list(_corners(film.shape[0], film.shape[1], side=side, step=max(1, round(step * side))))
    fill = filling(film, absent)
    before = log_odds(scorer(film[None])[:, explained].astype(np.float64))
    fallen, covered = np.zeros(film.shape[:2]), np.zeros(film.shape[:2])
    for start in range(0, len(corners), BATCH):
        places = corners[start : start + BATCH]
        after = log_odds(scorer(_covered(film, fill, places, side))[:, explained].astype(np.float64))
        for (row, column), fall in zip(places, before - after, strict=True):
            fallen[row : row + side, column : column + side] += fall
            covered[row : row + side, column : column + side] += 1
    return (fallen / covered).astype(np.float32)


def _corners(height: int, width: int, *, side: int, step: int) -> Iterator[tuple[int, int]]:
    """Upper left corners of patches that together cover the film, the last ones flush with its edge."""
    for row in sorted({*range(0, height - side, step), height - side}):
        for column in sorted({*range(0, width - side, step), width - side}):
            yield row, column


def _covered(film: Film, fill: Film, places: list[tuple[int, int]], side: int) -> NDArray[np.uint8]:
    films = np.repeat(film[None], len(places), axis=0)
    for each, (row, column) in zip(films, places, strict=True):
        patch = np.s_[row : row + side, column : column + side]
        each[patch] = fill[patch]
    return films
