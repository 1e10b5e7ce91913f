"""Views: variants of a film as another room, another machine or another day would have taken it.

Two steps, never one: `sample_view` draws the parameters, `apply_view` acts on them. So a view can be written
down, repeated and compared, and the pixels never depend on the number of workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

Range = tuple[float, float]


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


FILMS = Augmentation(rotation=(-12, 12), scale=(0.85, 1.25), aspect=(0.9, 1.1), shift=(-0.06, 0.06),
                     gamma=(0.75, 1.35), contrast=(0.75, 1.3), brightness=(0.85, 1.15), blur=(0, 1.2),
                     noise=(0, 6), jpeg_quality=(35, 100))


@dataclass(frozen=True, slots=True)
class View:
    """The parameters of one view; units as in Augmentation. The default is the film itself."""

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


CLEAN = View()


def sample_view(augmentation: Augmentation, rng: np.random.Generator) -> View:
    """Draw the parameters of one view."""

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
        flip=bool(rng.random() < ranges.flip))


def view_rng(seed: int, film: int, repeat: int) -> np.random.Generator:
    """The random stream of one film in one repeat (view number or epoch), whatever worker draws it."""
    return np.random.default_rng((seed, film, repeat))


def apply_view(image: np.ndarray, view: View) -> np.ndarray:
    """One affine warp and one pixel transform.

    Args:
        image: uint8 (H, W, C); left unchanged.
        view: What to do; `CLEAN` is the identity.

    Returns:
        uint8 (H, W, C). What comes into the frame from outside is black, like a collimated border.
    """
    if view == CLEAN:
        return image.copy()
    return _requantise(_filter(_warp(image, view), view), view)


def affine_matrix(view: View, height: int, width: int) -> np.ndarray:
    """The 2×3 matrix that maps pixels (x, y) of the film to pixels of the view, about the centre."""
    angle = np.deg2rad(view.rotation)
    stretch = np.diag([view.scale * np.sqrt(view.aspect), view.scale / np.sqrt(view.aspect)])
    if view.flip:
        stretch[0, 0] *= -1
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    linear = rotation @ stretch
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = centre - linear @ centre + np.array([view.shift_x * width, view.shift_y * height])
    return np.column_stack([linear, offset])


def _warp(image: np.ndarray, view: View) -> np.ndarray:
    height, width = image.shape[:2]
    matrix = affine_matrix(view, height, width)
    warped = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR,
                            borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0))
    return warped.reshape(image.shape)  # OpenCV drops a single channel


def _filter(image: np.ndarray, view: View) -> np.ndarray:
    """Grey scale by a table of 256 values, then blur and noise."""
    levels = np.linspace(0, 1, 256) ** view.gamma * 255
    mean = cv2.LUT(image, levels).mean()
    levels = (mean + (levels - mean) * view.contrast) * view.brightness
    pixels = cv2.LUT(image, levels.astype(np.float32)).reshape(image.shape)
    if view.blur > 0.1:  # a narrower kernel is the identity on whole pixels
        pixels = cv2.GaussianBlur(pixels, (0, 0), view.blur).reshape(image.shape)
    if view.noise > 0:
        rng = np.random.default_rng(view.noise_seed)
        noise = rng.standard_normal((*image.shape[:2], 1), dtype=np.float32)
        pixels = pixels + view.noise * noise
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _requantise(image: np.ndarray, view: View) -> np.ndarray:
    """Through a JPEG and back, as films are sent from one system to another."""
    if view.jpeg_quality >= 100:
        return image
    buffer = BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, "JPEG", quality=int(view.jpeg_quality))
    with Image.open(buffer) as reopened:
        return np.asarray(reopened).reshape(image.shape)
