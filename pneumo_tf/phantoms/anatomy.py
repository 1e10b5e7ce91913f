"""A child's chest as the beam sees it: how much tissue, air and bone lies along every ray.

A line-integral model: soft tissue is a body of elliptical cross-section, the lungs are air within it, and
whatever displaces that air (heart, vessels, diaphragm, a consolidation) shows for that reason alone. So
silhouettes appear and vanish as they do on a real film.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.phantoms.bones import Bones, draw_bones
from pneumo_tf.phantoms.shapes import (
    Curves,
    Frame,
    Plane,
    curve,
    ellipsoid,
    mirrored_tubes,
    outlined,
    profile,
    smoothstep,
    texture,
    tubes,
)

WATER = 1.8  # attenuation per body unit: about 0.2 per cm at 60–70 keV, and 9 cm to the unit
AIR_SHARE = 0.76  # of an inflated lung's volume
_HALF_DEPTH = 0.62  # of the thorax, inside
_VISIBLE = 0.3  # body units of air that blacken a film as lung


@dataclass(frozen=True)
class Patient:
    """What stays the same on every film of a child; lengths in body units, counts and shares plain."""

    lung_height: float
    wall: float
    depth: float
    heart: float
    apex_drop: float
    thymus: float
    thymus_side: int
    hilum: float
    vessels: float
    bubble: tuple[float, float, float]
    bones: Bones
    seed: int


@dataclass(frozen=True)
class Pose:
    """What differs between two films of a child.

    Attributes:
        inspiration: Lung height as a share of the deepest breath's.
        turn: Rotation about the long axis, -1 to 1; the front of the chest moves sideways.
        arms: Angle of the upper arms below the horizontal, in radians.
        chin: Height of the chin in body units; above the film it stays unseen.
        tilt: Of the head, sideways.
    """

    inspiration: float
    turn: float
    arms: float
    chin: float
    tilt: float


@dataclass(frozen=True)
class Body:
    """A drawn child, all float32 (H, W).

    Attributes:
        attenuation: Optical depth along every ray; 0 outside the body.
        air: Path length through aerated lung, in body units.
        lung_height: Of this breath, in body units.
    """

    attenuation: Plane
    air: Plane
    lung_height: float


def sample_patient(seed: int) -> Patient:
    """Draw a child at random; thymus, scoliosis and strong vessels come in any class."""
    rng = np.random.default_rng([seed, 1])
    thymus = rng.uniform(0.3, 1.0) if rng.random() < 0.22 else 0.0
    height = rng.uniform(1.1, 1.42)
    return Patient(
        lung_height=height, wall=rng.uniform(0.07, 0.17), depth=rng.uniform(0.66, 0.78),
        heart=rng.uniform(0.88, 1.08), apex_drop=rng.uniform(-0.05, 0.05), thymus=thymus,
        thymus_side=int(rng.choice([-1, 1])), hilum=rng.uniform(0.44, 0.52), vessels=rng.gamma(9, 1 / 8),
        bubble=(rng.uniform(0.35, 0.65), rng.uniform(0.16, 0.3), rng.uniform(0.0, 0.5)),
        bones=Bones.sample(rng, lung_height=height), seed=seed)


def draw_body(patient: Patient, pose: Pose, frame: Frame) -> Body:
    """Add up everything that the beam crosses in a healthy child."""
    height = patient.lung_height * pose.inspiration
    air = _lungs(frame, height)
    solid = _heart(frame, patient, pose, height) + _midline(frame, patient) + _domes(frame, height)
    vessels = patient.vessels * _vessels(frame, patient, height)
    air = np.maximum(air - solid, 0)
    air = np.maximum(air - np.minimum(vessels, air) - air * _haze(frame, patient), 0)
    flesh = frame.doubled(_soft_tissue(frame.halved(), patient, pose))  # too smooth to need every pixel
    tissue = np.maximum(flesh - AIR_SHARE * air - _gas(frame, patient, pose, height), 0)
    bone = draw_bones(patient.bones, frame, turn=pose.turn, arms=pose.arms, chin=pose.chin)
    return Body(WATER * tissue + bone, air, height)


def lung_mask(air: Plane, frame: Frame) -> NDArray[np.bool_]:
    """Where the beam crosses enough air to see lung, bool (H, W).

    Vessels and hila, which cut holes of less than a tenth of a body unit (9 mm) into the air, belong to the
    lungs; slivers of air behind heart and diaphragm don't.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, [2 * round(0.05 * frame.scale) + 1] * 2)
    aerated = (air > _VISIBLE).astype(np.uint8)
    closed = cv2.morphologyEx(aerated, cv2.MORPH_CLOSE, disc)
    return cv2.morphologyEx(closed, cv2.MORPH_OPEN, disc).astype(bool)


def _soft_tissue(frame: Frame, patient: Patient, pose: Pose) -> Plane:
    x, y = frame.grid
    wall = 1.0 + patient.wall
    half = profile(y, [(-0.7, 0.3), (-0.32, 0.29), (-0.14, 0.36), (-0.02, 0.56), (0.1, 0.84), (0.28, 1.0),
                       (0.5, wall + 0.03), (0.9, wall), (1.6, wall), (2.2, wall - 0.05)])
    depth = profile(y, [(-0.7, 0.27), (-0.15, 0.29), (0.0, 0.4), (0.2, 0.58), (0.5, 0.97 * patient.depth),
                        (0.9, patient.depth), (1.6, 1.08 * patient.depth)])
    trunk = 2 * depth * np.sqrt(np.maximum(1 - np.square(x / half), 0))
    reach = np.array([np.cos(pose.arms), np.sin(pose.arms)])
    elbow = (1.16 + 0.75 * reach[0], 0.2 + 0.75 * reach[1])
    arm = curve([(0.5, 0.1), (0.82, 0.14), (1.14, 0.2), elbow], [0.16, 0.23, 0.24, 0.18, 0.17, 0.16])
    head = 0.62 * ellipsoid(frame, (pose.tilt, pose.chin - 0.4), (0.44, 0.44))
    parts = trunk, mirrored_tubes(frame, arm), head
    # A high norm is a maximum without creases: parts that overlap are one body, not two.
    return np.sqrt(np.sqrt(sum(np.square(np.square(part)) for part in parts)))


def _lungs(frame: Frame, height: float) -> Plane:
    x, y = frame.grid
    half = profile(y, [(-0.09, 0.38), (-0.07, 0.44), (0.0, 0.56), (0.1, 0.68), (0.22, 0.78), (0.42, 0.88),
                       (0.75, 0.97), (1.1, 1.0), (1.7, 0.97)])
    medial = profile(y, [(-0.09, 0.34), (-0.08, 0.25), (-0.05, 0.19), (0.05, 0.155), (0.3, 0.12)])
    depth = profile(y, [(-0.09, 0.0), (-0.075, 0.16), (-0.02, 0.29), (0.1, 0.42), (0.3, 0.56),
                        (0.55, _HALF_DEPTH), (1.7, _HALF_DEPTH)])
    across = np.abs(x)
    share = across / half
    chord = 2 * depth * np.sqrt(np.maximum(1 - share * share * share, 0))  # flatter than an ellipse
    return chord * smoothstep(across - medial, 0.03)


def _domes(frame: Frame, height: float) -> Plane:
    x, y = frame.grid
    dome = profile(x, [(-1.05, 0.36), (-0.95, 0.16), (-0.8, 0.055), (-0.5, 0.0), (-0.2, 0.045), (0.05, 0.09),
                       (0.25, 0.1), (0.5, 0.06), (0.8, 0.1), (0.95, 0.19), (1.05, 0.38)]) + height
    return 2 * _HALF_DEPTH * np.sqrt(np.maximum(y - dome, 0) / 0.26)


def _heart(frame: Frame, patient: Patient, pose: Pose, height: float) -> Plane:
    size, slide, drop = patient.heart, 0.07 * pose.turn, patient.apex_drop
    right = [(-0.16, 0.08), (-0.17, 0.3), (-0.2, 0.46), (-0.29, 0.6), (-0.34, 0.78), (-0.29, 0.97)]
    below = [(0.0, 1.08), (0.36, 1.09 + drop)]
    left = [(0.58, 1.0 + drop), (0.65, 0.87 + drop), (0.57, 0.69), (0.42, 0.53), (0.29, 0.44), (0.22, 0.36),
            (0.23, 0.27), (0.18, 0.19), (0.14, 0.08)]
    knots = [(x * size + slide, y * height) for x, y in right + below + left]
    heart = 0.95 * outlined(frame, knots, rounding=0.3)
    if not patient.thymus:
        return heart
    side = patient.thymus_side
    sail = [(0.05, 0.08), (0.2, 0.1), (0.2 + 0.3 * patient.thymus, 0.36),
            (0.22 + 0.32 * patient.thymus, 0.47), (0.1, 0.5)]
    thymus = outlined(frame, [(side * x + slide, y * height) for x, y in sail], rounding=0.12)
    return np.maximum(heart, 0.6 * thymus)


def _midline(frame: Frame, patient: Patient) -> Plane:
    x, y = frame.grid
    return 1.3 * smoothstep(0.092 - np.abs(x - patient.bones.bend(y)), 0.13)


def _vessels(frame: Frame, patient: Patient, height: float) -> Plane:
    rng = np.random.default_rng([patient.seed, 4])
    lift = {-1: 0.0, 1: -0.04}
    trees = sum(tubes(frame, *branches(rng, (side * 0.2, (patient.hilum + lift[side]) * height), side=side,
                                      height=height)) for side in (-1, 1))
    hila = sum(ellipsoid(frame, (side * 0.21, (patient.hilum + lift[side]) * height), (0.1, 0.16),
                         tilt=-side * 0.25) for side in (-1, 1))
    return np.asarray(2.6 * trees + 0.2 * hila)


def branches(rng: np.random.Generator, hilum: tuple[float, float], *, side: int, height: float,
             trunks: int = 9, radius: float = 0.024) -> list[Curves]:
    """A tree of vessels or airways that fans out from the hilum over one lung, by generation."""
    angle = np.linspace(-1.35, 1.3, trunks) + rng.normal(0, 0.1, trunks)
    start = np.array(hilum) + rng.normal(0, 0.035, (trunks, 2))
    reach = 0.85 * np.hypot(0.72 * np.cos(angle), 0.52 * height * np.sin(angle))
    generations: list[Curves] = []
    thick = np.full(trunks, radius)
    for _ in range(3):
        grown = _grow(rng, start, angle, reach=reach, radius=thick, side=side)
        generations.append(grown)
        parent = np.repeat(np.arange(len(start)), 3)
        at = rng.integers(3, 10, parent.size)
        start = grown.points[parent, at]
        along = grown.points[parent, at + 1] - start
        turn = rng.choice([-1, 1], parent.size) * rng.uniform(0.3, 0.9, parent.size)
        angle = np.arctan2(along[:, 1], side * along[:, 0]) + turn
        reach, thick = 0.5 * reach[parent], 0.75 * grown.radius[parent, at]
    return generations


def _grow(rng: np.random.Generator, start: np.ndarray, angle: np.ndarray, *, reach: np.ndarray,
          radius: np.ndarray, side: int) -> Curves:
    heading = angle[:, None] + np.cumsum(rng.normal(0, 0.1, (len(start), 12)), axis=1)
    steps = np.stack([side * np.cos(heading), np.sin(heading)], axis=-1) * (reach[:, None, None] / 12)
    points = start[:, None] + np.cumsum(steps, axis=1)
    taper = np.linspace(1, 0.35, 12)
    return Curves(points, radius[:, None] * taper, np.ones((len(start), 12)))


def _haze(frame: Frame, patient: Patient) -> Plane:
    """Share of the air taken by what is too fine to draw: small vessels and septa."""
    rng = np.random.default_rng([patient.seed, 5])
    return np.clip(0.06 + 0.03 * frame.sample(texture(rng, coarsest=0.12, octaves=3, fade=0.8)), 0, 0.3)


def _gas(frame: Frame, patient: Patient, pose: Pose, height: float) -> Plane:
    """Air that is not in the lungs: windpipe, main bronchi, stomach and bowel."""
    slide, fork = 0.05 * pose.turn - 0.01, patient.hilum * height - 0.08
    windpipe = curve([(slide, -0.7), (slide, -0.2), (slide - 0.01, 0.1), (slide - 0.015, fork)], 0.055,
                     weight=[1.0, 1.0, 1.0, 0.6])
    fork_x = slide - 0.015
    right = curve([(fork_x, fork), (slide - 0.1, fork + 0.1), (slide - 0.2, fork + 0.22)], [0.042, 0.03])
    left = curve([(fork_x, fork), (slide + 0.1, fork + 0.09), (slide + 0.24, fork + 0.14)], [0.042, 0.03])
    airways = 1.5 * tubes(frame, windpipe) + 1.1 * np.maximum(tubes(frame, right), tubes(frame, left))
    centre, size, fullness = patient.bubble
    top = height + 0.12
    stomach = fullness * ellipsoid(frame, (centre, top + size * 0.8), (1.25 * size, 0.8 * size), tilt=0.2)
    _, y = frame.grid
    rng = np.random.default_rng([patient.seed, 6])
    bowel = np.maximum(frame.sample(texture(rng, coarsest=0.3, octaves=3)) - 1.0, 0)
    below = np.clip((y - top - 0.15) / 0.2, 0, 1)
    return airways + stomach + 0.3 * bowel * below
