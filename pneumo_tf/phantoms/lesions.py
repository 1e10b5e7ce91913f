"""Pneumonia as water in place of air: one dense lobe (bacteria) or streaks and patches in both (virus)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.phantoms.anatomy import Patient, branches
from pneumo_tf.phantoms.shapes import Frame, Plane, smoothstep, texture, tubes

Kind = Literal["normal", "bacteria", "virus"]


@dataclass(frozen=True)
class Lobe:
    """Where a consolidation sits: x in body units, y as a share of the lung's height, and its fissure."""

    x: float
    y: float
    fissure: float | None
    above: bool = False


LOBES = (Lobe(-0.55, 0.28, 0.5, above=True), Lobe(-0.45, 0.75, 0.53), Lobe(-0.55, 0.85, None),
         Lobe(0.52, 0.3, None), Lobe(0.56, 0.66, None), Lobe(0.45, 0.87, None))


def fluid(kind: Kind, patient: Patient, frame: Frame, *, air: Plane, lung_height: float) -> Plane:
    """Path length of air replaced by fluid, body units, float32 (H, W); at most `air`, all zero if normal."""
    if kind == "normal":
        return np.zeros_like(air)
    rng = np.random.default_rng([patient.seed, 2])
    draw = _consolidation if kind == "bacteria" else _interstitial
    return np.minimum(draw(rng, patient, frame, air=air, lung_height=lung_height), air)


def lesion_mask(lost: Plane, frame: Frame, *, share: float = 0.12) -> NDArray[np.bool_]:
    """Where the lesion takes more than `share` of the most that it takes anywhere, bool (H, W).

    It is looked at through a blur of a fiftieth of a body unit (2 mm), which closes the gaps that open
    airways leave.
    """
    seen = cv2.GaussianBlur(lost, (0, 0), 0.02 * frame.scale)
    return (seen > max(share * float(seen.max()), 1e-6)) & (lost > 0)


def _consolidation(rng: np.random.Generator, patient: Patient, frame: Frame, *, air: Plane,
                   lung_height: float) -> Plane:
    lobe = LOBES[rng.choice(len(LOBES), p=[0.2, 0.15, 0.22, 0.13, 0.1, 0.2])]
    x, y = frame.grid
    centre = lobe.x + rng.normal(0, 0.06), (lobe.y + rng.normal(0, 0.05)) * lung_height
    radius = rng.uniform(0.32, 0.6)
    squeeze, tilt = rng.uniform(0.8, 1.25), rng.uniform(-0.6, 0.6)
    dx, dy = x - centre[0], (y - centre[1])
    cosine, sine = math.cos(tilt), math.sin(tilt)
    along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
    clouds = frame.sample(texture(rng, coarsest=0.35, octaves=4, fade=0.6))
    fine = frame.sample(texture(rng, coarsest=0.12, octaves=3, fade=0.8))
    inside = 1 - np.hypot(along * squeeze, across / squeeze) / radius + 0.16 * clouds
    side = math.copysign(1, lobe.x)
    field = smoothstep(inside - 0.15, rng.uniform(0.35, 0.75)) * smoothstep(x * side - 0.05, 0.08)
    if lobe.fissure is not None and rng.random() < 0.6:
        below = y - lobe.fissure * lung_height - 0.06 * np.abs(x)
        field *= smoothstep(-below if lobe.above else below, 0.03)
    fill = 0.28 + 0.7 * rng.beta(2.1, 1.1)
    return air * field * fill * np.clip(0.9 + 0.12 * fine, 0.4, 1) * _bronchogram(rng, patient, frame, lobe)


def _bronchogram(rng: np.random.Generator, patient: Patient, frame: Frame, lobe: Lobe) -> Plane:
    """Share of the fluid left beside the airways that stay open: dark branching lines."""
    side = -1 if lobe.x < 0 else 1
    height = patient.lung_height
    tree = branches(rng, (side * 0.2, patient.hilum * height), side=side, height=height, trunks=7,
                    radius=0.026)
    open_share = tubes(frame, *tree) / 0.04
    return 1 - 0.42 * np.clip(open_share, 0, 1)


def _interstitial(rng: np.random.Generator, patient: Patient, frame: Frame, *, air: Plane,
                  lung_height: float) -> Plane:
    x, y = frame.grid
    severity = 0.4 + 0.75 * rng.beta(2.0, 1.4)
    hilum = patient.hilum * lung_height
    away = np.hypot((np.abs(x) - 0.27) / 0.46, (y - hilum - 0.12) / (0.44 * lung_height))
    near = np.exp(-(away**2)) * (1 + rng.uniform(-0.3, 0.3) * np.sign(x))
    clouds = frame.sample(texture(rng, coarsest=0.32, octaves=4, fade=0.55))
    fine = frame.sample(texture(rng, coarsest=0.08, octaves=2, fade=0.8))
    patches = smoothstep(clouds - 0.5, 3.2) * (1 + 0.2 * fine)
    streaks = sum(tubes(frame, *branches(rng, (side * 0.2, hilum), side=side, height=lung_height, trunks=10,
                                        radius=0.03), hollow=0.6) for side in (-1, 1))
    return severity * near * (0.72 * air * np.clip(patches, 0, 1) + 2.4 * np.minimum(streaks, 0.5 * air))
