"""The parameters of a view, and its geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Range = tuple[float, float]
Box = tuple[float, float, float, float]
Border = Literal["black", "nearest", "constant"]

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class View:
    """The parameters of one view, in the order in which they act. The default is the film itself.

    One affine warp (crop, flips, scale and aspect, shear, rotation, shift), then the grey levels (gamma,
    contrast, brightness, offset), blur, multiplicative and additive noise, a JPEG, an erased box.

    Attributes:
        rotation: Degrees, counter-clockwise about the centre.
        scale: Magnification.
        aspect: Width over height of the magnification.
        shift_x, shift_y: To the right and down, as fractions of the width and of the height.
        gamma: Exponent of the grey scale.
        contrast: Factor about the film's mean.
        brightness: Factor.
        blur: Standard deviation of a Gaussian, in pixels.
        noise: Standard deviation of Gaussian noise in grey levels, one draw for all channels of a pixel.
        noise_seed: What both noises are drawn from.
        jpeg_quality: Quality of a JPEG requantisation, from 1; 100 and above leave it out.
        flip: Left to right.
        flip_vertical: Top to bottom.
        shear: Degrees that upright lines lean to the right, as italics do.
        crop: Left, top, width and height of what fills the view, as fractions of the film.
        multiply: Ends of the factors; each channel of each pixel is multiplied by its own.
        erase: Box of the view that becomes black, as fractions.
        border: What comes into the frame from outside: "black", like a collimated border, into which the
            film's edge fades over one pixel; the "nearest" pixel; or "constant", black without fading, as in
            SciPy and Keras.
        offset: Grey levels added after brightness.
    """

    rotation: float = 0.0
    scale: float = 1.0
    aspect: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    noise_seed: int = 0
    jpeg_quality: float = 100.0
    flip: bool = False
    flip_vertical: bool = False
    shear: float = 0.0
    crop: Box = WHOLE
    multiply: Range = (1.0, 1.0)
    erase: Box | None = None
    border: Border = "black"
    offset: float = 0.0


CLEAN = View()


def affine_matrix(view: View, height: int, width: int) -> np.ndarray:
    """The 2×3 matrix that maps pixels (x, y) of the film to pixels of the view, about the centre."""
    angle, lean = np.deg2rad(view.rotation), np.tan(np.deg2rad(view.shear))
    cos, sin = np.cos(angle), np.sin(angle)
    across = view.scale * np.sqrt(view.aspect) * (-1 if view.flip else 1)
    down = view.scale / np.sqrt(view.aspect) * (-1 if view.flip_vertical else 1)
    linear = np.array([[cos * across, (sin - cos * lean) * down], [-sin * across, (cos + sin * lean) * down]])
    size = np.array([width, height])
    centre = (size - 1) / 2
    matrix = np.empty((2, 3))
    matrix[:, 2] = centre - linear @ centre + np.array([view.shift_x, view.shift_y]) * size
    matrix[:, :2] = linear
    return matrix if view.crop == WHOLE else matrix @ _crop_matrix(view.crop, size)


def _crop_matrix(crop: Box, size: np.ndarray) -> np.ndarray:
    """The 3×3 matrix by which a crop fills the film: pixel edges, not centres, meet the edges of the crop."""
    corner, share = np.array(crop[:2]), np.array(crop[2:])
    matrix = np.diag([*(1 / share), 1])
    matrix[:2, 2] = (0.5 - corner * size) / share - 0.5
    return matrix
