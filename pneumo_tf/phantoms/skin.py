"""Synthetic photographs of skin lesions in colour, benign and malignant, with their masks.

Skin is a reflecting ground under two dyes, melanin and blood, that absorb each colour by the law of Lambert
and Beer. A benign lesion is even: in outline, edge and dye. A malignant one has the signs of the ABCD rule
(asymmetry, border, colours, diameter; Stolz et al. 1994, Eur J Dermatol 4:521) in part. Everything else is
drawn without knowing the class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.phantoms.shapes import Plane, smoothstep, texture

SkinKind = Literal["benign", "malignant"]
_GROUND = np.array([0.93, 0.86, 0.80], np.float32)  # reflected by skin without dyes: red, green, blue
_MELANIN = np.array([0.55, 0.95, 1.35], np.float32)  # absorbed by one unit of each dye
_BLOOD = np.array([0.12, 0.95, 0.75], np.float32)
_VEIL = np.array([0.36, 0.41, 0.50], np.float32)  # melanin deep in the skin looks blue


@dataclass(frozen=True)
class SkinPhantom:
    """A drawn photograph, uint8 (H, W, 3) in RGB, and where its lesion lies, bool (H, W)."""

    film: NDArray[np.uint8]
    lesion: NDArray[np.bool_]


def draw_skin(kind: SkinKind, *, patient_seed: int, film_seed: int) -> SkinPhantom:
    """Draw one photograph, always the same for the same arguments.

    Args:
        kind: "benign" or "malignant".
        patient_seed: Fixes skin, hairs and lesion.
        film_seed: Fixes size, distance, place, angle, light, focus and noise, whatever the kind.
    """
    view = np.random.default_rng([film_seed, 21])
    x, y = _grid(view)
    patient = np.random.default_rng([patient_seed, 22])
    melanin, blood = patient.uniform(0.08, 0.75), patient.uniform(0.12, 0.4)
    ground = 1 + 0.06 * _clouds(patient, x, y, coarsest=0.9, octaves=6)
    disease = np.random.default_rng([patient_seed, 23])
    depth, edge = _lesion(disease, x, y, malignant=kind == "malignant")
    dye = edge * _pigment(disease, x, y, malignant=kind == "malignant")
    red, veil = _other_colours(disease, x, y, malignant=kind == "malignant")
    brown, blushed = melanin * ground + dye, blood * ground + edge * red
    light = _GROUND * np.exp(-brown[..., None] * _MELANIN - blushed[..., None] * _BLOOD)
    light += (edge * veil)[..., None] * (_VEIL - light)
    _grow_hairs(patient, light, scale=x.shape[0] / 2)
    return SkinPhantom(_photographed(view, light, x, y), depth > 0)


def _grid(view: np.random.Generator) -> tuple[Plane, Plane]:
    """Coordinates of every pixel, float32 (H, W); 1 is half the height of the middlemost photograph."""
    height = int(view.integers(300, 421))
    width = round(height * view.uniform(1.2, 1.4))
    angle, zoom, flip = view.uniform(0, 2 * np.pi), view.uniform(0.85, 1.25), view.choice([-1, 1])
    column, row = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    across = (2 * column - width) / height * zoom + view.normal(0, 0.08)
    down = (2 * row - height) / height * zoom + view.normal(0, 0.08)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (flip * (cosine * across + sine * down)).astype(np.float32), \
        (cosine * down - sine * across).astype(np.float32)


def _clouds(rng: np.random.Generator, x: Plane, y: Plane, *, coarsest: float, octaves: int) -> Plane:
    """Cloudy noise of unit deviation, laid on the skin."""
    noise = texture(rng, coarsest=coarsest, octaves=octaves)
    cells = noise.shape[0] / 3.6
    return cv2.remap(noise, (x + 1.8) * cells, (y + 1.8) * cells, cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REFLECT)


def _lesion(rng: np.random.Generator, x: Plane, y: Plane, *, malignant: bool) -> tuple[Plane, Plane]:
    """Depth inside the outline, above 0 within the lesion, and how far it has set in, 0 to 1."""
    radius = rng.uniform(0.3, 0.62) if malignant else rng.uniform(0.22, 0.52)
    long = rng.uniform(1.0, 1.35)
    angle = np.arctan2(y * long, x)
    uneven = rng.uniform(0.05, 0.16) if malignant else rng.uniform(0.0, 0.08)
    outline = np.full_like(x, radius)
    for order in range(2, 9):
        swing = uneven * rng.normal() / (order - 1) ** (0.9 if malignant else 1.2)
        outline *= 1 + swing * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    frayed = rng.uniform(0.006, 0.035) if malignant else rng.uniform(0.0, 0.02)
    outline += frayed * _clouds(rng, x, y, coarsest=0.25, octaves=3)
    depth = outline - np.hypot(x, y * long)
    return depth, smoothstep(depth, rng.uniform(0.03, 0.12) if malignant else rng.uniform(0.06, 0.22))


def _pigment(rng: np.random.Generator, x: Plane, y: Plane, *, malignant: bool) -> Plane:
    """Melanin of the lesion, of one brown or of several."""
    strength = rng.uniform(0.55, 1.5)
    if not malignant:
        middle = rng.uniform(-0.25, 0.25) * (1 - 4 * (x**2 + y**2))  # a darker or a lighter middle
        return np.maximum(strength * (1 + middle + 0.1 * _clouds(rng, x, y, coarsest=0.3, octaves=4)), 0.1)
    side = rng.uniform(0, 2 * np.pi)
    lopsided = rng.uniform(0.3, 1.2) * (x * np.cos(side) + y * np.sin(side))
    patchy = rng.uniform(0.2, 0.5) * _clouds(rng, x, y, coarsest=0.45, octaves=4)
    return np.maximum(strength * (1 + lopsided + patchy), 0.08)


def _other_colours(rng: np.random.Generator, x: Plane, y: Plane, *, malignant: bool) -> tuple[Plane, Plane]:
    """Blood and blue veil within the lesion, both 0 and above; a benign one is a little red at most."""
    red = np.full_like(x, rng.uniform(0, 0.25))
    veil = np.zeros_like(x)
    if malignant:
        for plane, most in ((red, 1.1), (veil, 0.9)):
            if rng.random() < 0.7:
                centre = rng.normal(0, 0.2, 2)
                spot = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / rng.uniform(0.08, 0.25) ** 2)
                plane += (rng.uniform(0.4, 1) * most * spot).astype(np.float32)
    return red, np.minimum(veil, 1)


def _grow_hairs(rng: np.random.Generator, light: Plane, *, scale: float) -> None:
    """Dark hairs across a third of all skins, drawn into the picture."""
    if rng.random() > 0.35:
        return
    height, width = light.shape[:2]
    shadow = np.zeros((height, width), np.uint8)
    along = rng.uniform(0, np.pi)
    for _ in range(rng.integers(4, 22)):
        start, bend = rng.uniform(-0.2, 1.2, 2) * (width, height), rng.normal(0, 0.25)
        steps = np.linspace(0, rng.uniform(0.5, 1.6), 24)
        way = along + rng.normal(0, 0.2) + bend * steps
        points = start + scale * np.cumsum(np.stack([np.cos(way), np.sin(way)], axis=-1), axis=0) * steps[1]
        cv2.polylines(shadow, [np.rint(points * 8).astype(np.int32)], False, 255, int(rng.integers(1, 3)),
                      cv2.LINE_AA, shift=3)
    light *= 1 - 0.75 * (shadow / np.float32(255))[..., None]


def _photographed(view: np.random.Generator, light: Plane, x: Plane, y: Plane) -> NDArray[np.uint8]:
    """Light, white balance, the lens's shade, focus and noise; uint8 (H, W, 3)."""
    height, width = light.shape[:2]
    column, row = np.linspace(-1, 1, width)[None], np.linspace(-1, 1, height)[:, None]
    slope = 1 + view.normal(0, 0.06) * column + view.normal(0, 0.06) * row
    shade = slope * (1 - view.uniform(0, 0.35) * (column**2 + row**2) / 2)
    if view.random() < 0.15:  # the round end of a dermatoscope
        shade *= smoothstep(view.uniform(1.05, 1.25) - np.hypot(column * width / height, row), 0.04)
    picture: Plane = light * (view.uniform(0.9, 1.15) * view.normal(1, 0.03, 3)) * shade[..., None]
    picture = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), view.uniform(0.5, 1.3))
    picture = np.clip(picture, 0, 1) ** view.uniform(0.85, 1.1)
    return np.clip(255 * picture + view.normal(0, view.uniform(1, 4), picture.shape), 0, 255).astype(np.uint8)
