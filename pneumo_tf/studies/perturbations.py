"""What may happen to a film on its way, with the disease left as it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.training.views import View, apply_view

Film = NDArray[np.uint8]
Perturbation = Callable[[Film], Film]

_BORDER, _CORNER = 0.08, 0.18  # of the side
_BLUR = 1 / 150  # of the side: 2 pixels of 299, 1.5 of 224


def rescaled(film: Film, factor: float) -> Film:
    """Made smaller by `factor` and brought back to its size, as by a system that stores small films."""
    height, width = film.shape[:2]
    small = cv2.resize(film, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    restored = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(restored, dtype=np.uint8).reshape(film.shape)


def without_border(film: Film) -> Film:
    """Black along all four sides, where collimation, letters and the scanner's edge lie."""
    rows, columns = (round(side * _BORDER) for side in film.shape[:2])
    masked = np.zeros_like(film)
    masked[rows:-rows, columns:-columns] = film[rows:-rows, columns:-columns]
    return masked


def without_corners(film: Film) -> Film:
    """Black in the four corners, where the markers of side and hospital lie."""
    rows, columns = (round(side * _CORNER) for side in film.shape[:2])
    masked = film.copy()
    for down in (slice(None, rows), slice(-rows, None)):
        for across in (slice(None, columns), slice(-columns, None)):
            masked[down, across] = 0
    return masked


def perturbations(size: int) -> dict[str, Perturbation]:
    """Every perturbation by its name, for films of `size` pixels.

    Two JPEG qualities, blur, half the resolution, small rotations, brightness, contrast, left and right
    exchanged, borders and corners masked, and the negative that a program shows which doesn't know that 0
    means white.
    """
    views = {"jpeg_60": View(jpeg_quality=60), "jpeg_30": View(jpeg_quality=30),
             "blur": View(blur=size * _BLUR),
             **{f"rotate_{degrees:+d}": View(rotation=degrees) for degrees in (-10, -5, 5, 10)},
             "brighter": View(brightness=1.2), "darker": View(brightness=0.8),
             "more_contrast": View(contrast=1.3), "less_contrast": View(contrast=0.7),
             "flip": View(flip=True)}
    return {**{name: partial(_seen, view=view) for name, view in views.items()},
            "half_size": partial(rescaled, factor=0.5), "border": without_border,
            "corners": without_corners, "negative": lambda film: 255 - film}


def _seen(film: Film, view: View) -> Film:
    return apply_view(film, view)
