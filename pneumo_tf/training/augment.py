"""Augmentations: what views of a film are drawn from, as another room, machine or day would have taken it.

Two steps, never one: `sample_view` draws the parameters, `apply_view` acts on them. So a view can be written
down, repeated and compared, and the pixels never depend on the number of workers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pneumo_tf.errors import OptionError, choose_from
from pneumo_tf.training.view import CLEAN, WHOLE, Border, Box, Range, View
from pneumo_tf.training.warp import apply_view

__all__ = ["CLEAN", "FILMS", "PRESETS", "Augmentation", "View", "apply_view", "get_preset", "sample_view",
           "view_rng"]

_ATTEMPTS = 10  # to place a box, as in torchvision


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Ranges that each parameter of a view is drawn from, uniformly; equal ends leave it as it is.

    Attributes:
        rotation: Degrees, counter-clockwise.
        scale: Magnification; drawn uniformly in its logarithm.
        aspect: Width over height of the magnification, likewise.
        shift: Fraction of the width and of the height.
        gamma: Exponent of the grey scale, likewise logarithmic.
        contrast: Factor about the film's mean.
        brightness: Factor.
        blur: Standard deviation of a Gaussian, in pixels.
        noise: Standard deviation of added Gaussian noise, in grey levels.
        jpeg_quality: Quality of a JPEG requantisation; 100 and above leave it out.
        flip: Probability of a left-right flip. 0 for chest films: the heart lies on the left.
        flip_vertical: Probability of a top-bottom flip.
        shear: Degrees that upright lines lean to the right.
        crop_area: Share of the film that a random resized crop keeps, as torchvision draws it.
        crop_aspect: Width over height of the crop, relative to the film's own; logarithmic.
        multiply: Ends of the factors that each channel of each pixel draws its own from.
        erase: Probability of an erased rectangle.
        erase_area: Its share of the view.
        erase_aspect: Its width over height, relative to the view's own; logarithmic.
        border: What comes into the frame from outside, as in View.
    """

    rotation: Range = (0, 0)
    scale: Range = (1, 1)
    aspect: Range = (1, 1)
    shift: Range = (0, 0)
    gamma: Range = (1, 1)
    contrast: Range = (1, 1)
    brightness: Range = (1, 1)
    blur: Range = (0, 0)
    noise: Range = (0, 0)
    jpeg_quality: Range = (100, 100)
    flip: float = 0.0
    flip_vertical: float = 0.0
    shear: Range = (0, 0)
    crop_area: Range = (1, 1)
    crop_aspect: Range = (1, 1)
    multiply: Range = (1, 1)
    erase: float = 0.0
    erase_area: Range = (0.02, 0.33)
    erase_aspect: Range = (0.3, 3.3)
    border: Border = "black"


FILMS = Augmentation(rotation=(-12, 12), scale=(0.85, 1.25), aspect=(0.9, 1.1), shift=(-0.06, 0.06),
                     gamma=(0.75, 1.35), contrast=(0.75, 1.3), brightness=(0.85, 1.15), blur=(0, 1.2),
                     noise=(0, 6), jpeg_quality=(35, 100))

PRESETS = {
    "none": Augmentation(),
    "films": FILMS,
    "tutorial": Augmentation(rotation=(-30, 30), shift=(-0.2, 0.2), flip=0.5, border="nearest"),
    "skin": Augmentation(crop_area=(0.08, 1), crop_aspect=(3 / 4, 4 / 3), flip=0.5, border="nearest"),
    "assignment": Augmentation(flip=0.5, rotation=(-20, 20), multiply=(1.2, 1.5)),
}


def get_preset(name: str) -> Augmentation:
    """An augmentation by its name.

    - `none`: the film as it is.
    - `films`: another room, machine and day; mild, and never flipped.
    - `tutorial`: rotation up to 30°, shifts up to a fifth, half of the films flipped, borders continued.
    - `skin`: a random resized crop of 8 to 100 % of the image, half of them flipped.
    - `assignment`: half of the films flipped, rotation up to 20°, each channel of each pixel times its own
      factor between 1.2 and 1.5, clipped at 255. The assignment's flip "en el eje horizontal" is read as
      left to right: positions along the horizontal axis are reversed, as torchvision, which it works with,
      calls a horizontal flip. Mirrored about that axis instead, the patient would stand on the head.

    Raises:
        OptionError: Unknown name.
    """
    if name not in PRESETS:
        raise OptionError("An augmentation is known by one of its names.", received=name,
                          remedy=choose_from(PRESETS, name))
    return PRESETS[name]


def sample_view(augmentation: Augmentation, rng: np.random.Generator) -> View:
    """Draw the parameters of one view.

    The first thirteen draws always take place and in this order; those that came later do only where they
    are asked for. So the views of an augmentation stay the same when the class learns another parameter.
    """

    def log_uniform(bounds: Range) -> float:
        return float(np.exp(rng.uniform(*np.log(bounds))))

    ranges = augmentation
    return View(
        rotation=rng.uniform(*ranges.rotation), scale=log_uniform(ranges.scale),
        aspect=log_uniform(ranges.aspect), shift_x=rng.uniform(*ranges.shift),
        shift_y=rng.uniform(*ranges.shift), gamma=log_uniform(ranges.gamma),
        contrast=rng.uniform(*ranges.contrast), brightness=rng.uniform(*ranges.brightness),
        blur=rng.uniform(*ranges.blur), noise=rng.uniform(*ranges.noise),
        noise_seed=int(rng.integers(2**32)), jpeg_quality=rng.uniform(*ranges.jpeg_quality),
        flip=bool(rng.random() < ranges.flip),
        flip_vertical=ranges.flip_vertical > 0 and bool(rng.random() < ranges.flip_vertical),
        shear=rng.uniform(*ranges.shear) if ranges.shear != (0, 0) else 0.0,
        crop=_sample_crop(ranges, rng), multiply=ranges.multiply, erase=_sample_erasing(ranges, rng),
        border=ranges.border)


def view_rng(seed: int, film: int, repeat: int) -> np.random.Generator:
    """The random stream of one film in one repeat (view number or epoch), whatever worker draws it."""
    return np.random.default_rng((seed, film, repeat))


def _sample_crop(ranges: Augmentation, rng: np.random.Generator) -> Box:
    """The box of a random resized crop; where none fits, the largest in the middle, as in torchvision."""
    if ranges.crop_area == ranges.crop_aspect == (1, 1):
        return WHOLE
    box = _sample_box(rng, ranges.crop_area, ranges.crop_aspect)
    if box is not None:
        return box
    aspect = float(np.clip(1, *ranges.crop_aspect))
    width, height = min(aspect, 1.0), min(1 / aspect, 1.0)
    return (1 - width) / 2, (1 - height) / 2, width, height


def _sample_erasing(ranges: Augmentation, rng: np.random.Generator) -> Box | None:
    if ranges.erase == 0 or rng.random() >= ranges.erase:
        return None
    return _sample_box(rng, ranges.erase_area, ranges.erase_aspect)


def _sample_box(rng: np.random.Generator, area: Range, aspect: Range) -> Box | None:
    """A box inside the unit square: its area and logarithmic aspect uniform, then its place."""
    for _ in range(_ATTEMPTS):
        share, ratio = rng.uniform(*area), float(np.exp(rng.uniform(*np.log(aspect))))
        width, height = float(np.sqrt(share * ratio)), float(np.sqrt(share / ratio))
        if width <= 1 and height <= 1:
            return rng.uniform(0, 1 - width), rng.uniform(0, 1 - height), width, height
    return None
