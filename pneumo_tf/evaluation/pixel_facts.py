"""Four plain facts of a film's pixels, in which no disease can be seen."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Film = NDArray[np.uint8]

NAMES = ("brightness", "contrast", "border", "sharpness")
# JPEG's ringing lifts black by a few grey levels; a row of film still has a corner or a letter that is lit.
_BLACK, _DARK_SHARE = 16, 0.98


def pixel_facts(films: Iterable[Film]) -> dict[str, Floats]:
    """Facts of every film, one film in memory at a time.

    Args:
        films: uint8 (H, W), (H, W, 1) or (H, W, 3) each, of any sizes.

    Returns:
        (n,) float64 by name: `brightness`, the mean grey level, and `contrast`, its standard deviation, both
        in 0–255; `border`, the share of the picture in near-black rows and columns at its edges, in 0–1;
        `sharpness`, the logarithm of 1 + the variance of the Laplacian (Pech-Pacheco et al. 2000, ICPR).
    """
    rows = [_facts(_grey(film)) for film in films]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(NAMES))
    return {name: table[:, column] for column, name in enumerate(NAMES)}


def _facts(grey: Film) -> tuple[float, float, float, float]:
    mean, deviation = cv2.meanStdDev(grey)
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    return float(mean[0, 0]), float(deviation[0, 0]), _border(grey), float(np.log1p(edges.var()))


def _grey(film: Film) -> Film:
    if film.ndim == 2:
        return film
    if film.shape[2] == 1:
        return film[:, :, 0]
    return np.asarray(cv2.cvtColor(film, cv2.COLOR_RGB2GRAY), np.uint8)


def _border(grey: Film) -> float:
    """1 less the share of the smallest box that holds every row and column with something on it."""
    dark = grey <= _BLACK
    lit = [np.flatnonzero(dark.mean(axis=axis) < _DARK_SHARE) for axis in (0, 1)]
    if not all(map(len, lit)):
        return 1.0
    width, height = (int(places[-1] - places[0]) + 1 for places in lit)
    return 1 - width * height / grey.size
