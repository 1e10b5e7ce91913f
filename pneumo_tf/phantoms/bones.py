"""The skeleton of a child's chest: spine, ribs, clavicles, shoulder blades, upper arms, jaw.

Ribs are rings round the chest that slope down to the front. Seen from the front each gives a bright
posterior arc, a fainter anterior one, and a dense edge where it runs along the beam.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pneumo_tf.phantoms.shapes import Curves, Frame, Plane, curve, mirrored_tubes, profile, smoothstep, tubes

_BONE = 5.7  # attenuation of cortical bone per body unit, beyond the water that it displaces


@dataclass(frozen=True)
class Bones:
    """A child's skeleton in body units; `sideways` and `phase` are the bend of a scoliosis."""

    pitch: float
    slope: float
    rib: float
    density: float
    sideways: float
    phase: float
    clavicle: float
    blade: float
    uneven: tuple[float, ...]

    @classmethod
    def sample(cls, rng: np.random.Generator, *, lung_height: float) -> Bones:
        """Draw a skeleton for lungs of that height; about one spine in eight is visibly bent."""
        bent = rng.random() < 0.12
        return cls(pitch=(lung_height + 0.1) / rng.uniform(8.8, 9.8), slope=rng.uniform(0.75, 1.2),
                   rib=rng.uniform(0.034, 0.043), density=rng.uniform(0.8, 1.2),
                   sideways=rng.uniform(0.05, 0.11) if bent else rng.uniform(-0.02, 0.02),
                   phase=rng.uniform(-1.5, 1.5), clavicle=rng.uniform(-0.06, 0.08),
                   blade=rng.uniform(-0.04, 0.1), uneven=tuple(rng.normal(0, 0.06, 11)))

    def bend(self, y: Plane) -> Plane:
        """How far the spine lies sideways at height y, in body units."""
        return self.sideways * np.sin(np.float32(2.2) * y + np.float32(self.phase))


def draw_bones(bones: Bones, frame: Frame, *, turn: float, arms: float, chin: float) -> Plane:
    """Attenuation by bone beyond water's, float32 (H, W)."""
    posterior, anterior = _ribs(bones)
    path = tubes(frame, posterior, hollow=0.78, marrow=0.25) + tubes(frame, anterior, hollow=0.8, marrow=0.3)
    path += _clavicles(bones, frame, turn) + _blades(bones, frame) + _upper_arms(frame, arms)
    path += _spine(bones, frame) + _jaw(frame, chin)
    return _BONE * bones.density * path


def _ribs(bones: Bones) -> tuple[Curves, Curves]:
    rib = np.arange(11)
    root = -0.1 + bones.pitch * (rib + np.array(bones.uneven))
    slope = bones.slope * np.interp(rib, [0, 1, 3, 7, 10], [0.2, 0.33, 0.48, 0.58, 0.5])
    half = np.interp(root + 0.5 * slope, [-0.05, 0.02, 0.1, 0.22, 0.42, 0.75, 1.1, 1.8],
                     [0.44, 0.57, 0.69, 0.79, 0.89, 0.98, 1.01, 0.97])
    # Round the side one arc hands over to the other, so that no end of either shows.
    back, front = np.linspace(-1.45, 0.5, 48), np.linspace(-0.15, 1.05, 48)
    strengths = (np.interp(back, [-1.45, -1.25, -0.05, 0.5], [0.2, 1, 1, 0]),
                 0.45 * np.interp(front, [-0.15, 0.4, 0.9, 1.05], [0, 1, 0.9, 0]))
    floating = np.interp(rib, [7, 10], [1.0, 0.55])  # the last ribs are thin
    arcs = []
    for angle, strength in zip((back, front), strengths, strict=True):
        x = half[:, None] * np.cos(angle)
        deep = np.sign(angle) * (1 - np.cos(angle) ** 1.6) ** 0.8
        deep = deep + 0.4 * np.exp(-((x / 0.3) ** 2)) * (angle < 0)  # beside the spine it lies deeper in
        y = root[:, None] + slope[:, None] * (deep + 1) / 2
        arcs.append(_both_sides(bones, x, y, deep=deep, strength=strength * floating[:, None]))
    return arcs[0], arcs[1]


def _both_sides(bones: Bones, x: Plane, y: Plane, *, deep: Plane, strength: Plane) -> Curves:
    flat = np.hypot(np.gradient(x, axis=1), np.gradient(y, axis=1))
    along_beam = 0.62 * np.gradient(deep, axis=1)
    longer = np.clip(np.hypot(flat, along_beam) / (flat + 1e-9), 1, 1.45)
    # The spine carries the ribs with it; at the side the chest stays where it is.
    carried = bones.bend(y) * np.exp(-((x / 0.5) ** 2))
    points = np.concatenate([np.stack([sign * x + carried, y], axis=-1) for sign in (-1, 1)])
    width = np.full_like(x, bones.rib)
    return Curves(points, np.tile(width, (2, 1)), np.tile(strength * longer, (2, 1)))


def _clavicles(bones: Bones, frame: Frame, turn: float) -> Plane:
    path = np.zeros((frame.height, frame.width), np.float32)
    for side in (-1, 1):
        end = side * 0.11 + 0.07 * turn
        knots = [(end, 0.13), (side * 0.3 + 0.05 * turn, 0.06 + bones.clavicle / 2),
                 (side * 0.62, -0.02 + bones.clavicle), (side * 0.84, -0.04 + bones.clavicle),
                 (side * 1.04, 0.03 + bones.clavicle)]
        bone = curve(knots, [0.044, 0.031, 0.027, 0.028, 0.034])
        path = np.maximum(path, tubes(frame, bone, hollow=0.7, marrow=0.4))
    return path


def _blades(bones: Bones, frame: Frame) -> Plane:
    drop = bones.blade
    lateral = curve([(1.0, 0.17 + drop), (0.99, 0.36 + drop), (0.93, 0.6 + drop)], [0.034, 0.024, 0.016],
                    weight=[0.7, 0.8, 0.3])
    spine = curve([(0.62, 0.2 + drop), (0.8, 0.1 + drop), (1.0, 0.05 + drop)], [0.014, 0.022, 0.03],
                  weight=[0.3, 0.8, 1.0])
    medial = curve([(0.66, 0.06 + drop), (0.74, 0.3 + drop), (0.93, 0.6 + drop)], 0.016,
                   weight=[0.3, 0.6, 0.4])
    return mirrored_tubes(frame, lateral, spine, medial, hollow=0.5, marrow=0.6)


def _upper_arms(frame: Frame, arms: float) -> Plane:
    reach = np.array([np.cos(arms), np.sin(arms)])
    knots = [(1.15 + s * reach[0], 0.16 + s * reach[1]) for s in (0.0, 0.12, 0.3, 0.8)]
    shaft = curve(knots, [0.09, 0.095, 0.07, 0.062, 0.06, 0.06], weight=[0.5, 0.9, 1.0, 1.0, 1.0, 1.0])
    head = curve([(1.11, 0.14), (1.13, 0.15), (1.15, 0.16)], 0.1)
    shafts = mirrored_tubes(frame, shaft, hollow=0.7, marrow=0.2)
    return shafts + 0.5 * mirrored_tubes(frame, head, hollow=0.8, marrow=0.6)


def _spine(bones: Bones, frame: Frame) -> Plane:
    path = np.zeros((frame.height, frame.width), np.float32)
    near = np.abs(frame.grid[0] - bones.bend(frame.grid[1])) < 0.2
    x, y = (values[near] for values in frame.grid)
    half = profile(y, [(-0.7, 0.105), (0.0, 0.1), (0.8, 0.108), (1.8, 0.125)])
    across = (x - bones.bend(y)) / half
    level = (y + 0.1) / bones.pitch + 0.5
    phase = level - np.floor(level)  # 0 and 1 in the disc, 0.5 in the middle of the vertebra
    plate = np.abs(phase - 0.5)
    waist = 1 - 0.1 * np.cos(2 * np.pi * phase) ** 2 * (plate < 0.25)
    body = smoothstep(waist - np.abs(across), 0.18) * (0.35 + 0.65 * smoothstep(0.41 - plate, 0.1))
    rim = np.exp(-(((plate - 0.37) / 0.045) ** 2)) * smoothstep(0.95 - np.abs(across), 0.2)
    pedicle = np.hypot((np.abs(across) - 0.62) / 0.2, (phase - 0.38) / 0.17)
    ring = np.exp(-(((pedicle - 0.9) / 0.35) ** 2))
    process = np.hypot(across / 0.16, (phase - 0.7) / 0.2)
    spike = np.exp(-(((process - 0.8) / 0.4) ** 2))
    path[near] = 0.026 * body + 0.011 * rim + 0.015 * ring + 0.01 * spike
    return path


def _jaw(frame: Frame, chin: float) -> Plane:
    bow = curve([(-0.4, chin - 0.45), (-0.36, chin - 0.2), (-0.18, chin - 0.06), (0, chin - 0.03),
                 (0.18, chin - 0.06), (0.36, chin - 0.2), (0.4, chin - 0.45)], 0.06)
    return tubes(frame, bow, hollow=0.6, marrow=0.6)
