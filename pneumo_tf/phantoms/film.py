"""From optical depth to a film: scatter, blur, quantum noise, processing, borders, markers and leads.

Everything here is drawn without knowing the class, so none of it can give the class away.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.phantoms.anatomy import Pose
from pneumo_tf.phantoms.shapes import Frame, Plane, curve, tubes

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)


@dataclass(frozen=True)
class Shot:
    """One exposure: how the child lay, and what the machine and the radiographer did."""

    frame: Frame
    pose: Pose
    scatter: float
    blur: float
    photons: float
    local_contrast: float
    gamma: float
    lung_tone: float
    spine_tone: float
    seed: int


def sample_shot(seed: int) -> Shot:
    """Draw an exposure at random, the same way for every class."""
    rng = np.random.default_rng([seed, 3])
    height = int(rng.integers(380, 521))
    width = int(np.clip(height * rng.uniform(1.12, 1.5), 480, 680))
    pose = Pose(inspiration=1 - 0.16 * rng.beta(1, 2), turn=rng.uniform(-0.7, 0.7),
                arms=rng.uniform(-0.9, 1.35), chin=rng.uniform(-0.5, -0.1), tilt=rng.normal(0, 0.06))
    scale = min(width / rng.uniform(2.2, 2.6), height / rng.uniform(1.6, 1.85))
    return Shot(
        frame=_frame(rng, height, width, scale), pose=pose, scatter=rng.uniform(0.15, 0.4),
        blur=rng.uniform(0.6, 1.1), photons=float(np.exp(rng.uniform(np.log(1e4), np.log(8e4)))),
        local_contrast=rng.uniform(0.2, 0.9), gamma=rng.uniform(0.8, 1.25), lung_tone=rng.uniform(0.12, 0.3),
        spine_tone=rng.uniform(0.78, 0.93), seed=seed)


def _frame(rng: np.random.Generator, height: int, width: int, scale: float) -> Frame:
    angle = np.clip(rng.normal(0, 0.035), -0.12, 0.12)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([rng.normal(0, 0.05), height / scale / 2 - rng.uniform(0.16, 0.32)])
    shift = np.array([width / 2, height / 2]) - turn @ middle
    return Frame(height, width, np.column_stack([turn, shift]))


def expose(shot: Shot, attenuation: Plane, *, healthy: Plane) -> NDArray[np.uint8]:
    """Develop a film, uint8 (H, W).

    Args:
        attenuation: Optical depth, float32 (H, W).
        healthy: The same child's without the lesion. It sets the grey scale, so that a lesion changes
            the film where it lies and not elsewhere.
    """
    rng = np.random.default_rng([shot.seed, 7])
    extra = _attachments(rng, shot.frame)
    small = cv2.resize(healthy, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    plain = _processed(_transmitted(small, shot, shrink=4), shot, shrink=4)
    dark, bright = np.percentile(plain[small > 0.3], [8, 96])
    light = _transmitted(attenuation + extra, shot, shrink=1)
    light = np.maximum(light + np.sqrt(light / shot.photons) * _grain(rng, light.shape), 1e-3)
    depth = _processed(light, shot, shrink=1)
    tone = shot.lung_tone + (shot.spine_tone - shot.lung_tone) * (depth - dark) / (bright - dark)
    tone *= np.clip(depth / 0.5, 0.03, 1)  # the machine blackens what the beam reaches unhindered
    film = 255 * _response(tone, shot.gamma)
    _mark(rng, film)
    return np.clip(_collimated(rng, film), 0, 255).astype(np.uint8)


def _grain(rng: np.random.Generator, shape: tuple[int, ...]) -> Plane:
    noise = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), 0.6)
    return noise * np.float32(2.1)  # the blur took that much of its deviation


def _transmitted(depth: Plane, shot: Shot, *, shrink: int) -> Plane:
    """Share of the beam that arrives, with scatter from the neighbourhood and the focal spot's blur."""
    light = np.exp(-depth)
    glare = _wide_blur(np.minimum(light, 0.35), 0.2 * shot.frame.scale / shrink)
    light = (1 - shot.scatter) * light + shot.scatter * glare
    return light if shrink > 1 else cv2.GaussianBlur(light, (0, 0), shot.blur)


def _processed(light: Plane, shot: Shot, *, shrink: int) -> Plane:
    """Logarithm and the local contrast that digital radiography adds."""
    depth = -np.log(light)
    wide = _wide_blur(np.maximum(depth, 0.6), 0.16 * shot.frame.scale / shrink)
    return depth + shot.local_contrast * (depth - wide) * np.clip(depth, 0, 1)


def _wide_blur(image: Plane, sigma: float) -> Plane:
    shrink = max(int(sigma / 3), 1)
    small = cv2.resize(image, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _response(tone: Plane, gamma: float) -> Plane:
    """The film's curve: straight in the middle, with a toe and a shoulder."""
    at, soft = np.linspace(-0.5, 1.5, 2001), 0.05
    toe = soft * np.logaddexp(0, at / soft)
    response = np.clip(toe - soft * np.logaddexp(0, (toe - 0.95) / soft), 0, 1) ** gamma
    return response.astype(np.float32)[np.clip((tone + 0.5) * 1000, 0, 2000).astype(np.int32)]


def _attachments(rng: np.random.Generator, frame: Frame) -> Plane:
    """Optical depth of what lies on or in some children: leads with electrodes, a stomach tube."""
    extra = np.zeros((frame.height, frame.width), np.float32)
    if rng.random() < 0.2:
        for _ in range(rng.integers(1, 4)):
            x, y = rng.uniform(-0.9, 0.9), rng.uniform(0.1, 1.2)
            bend = rng.normal(0, 0.25, 4)
            knots = [(x, y), (x + bend[0], y + 0.3), (x + bend[0] + bend[1], y + 0.8),
                     (x + bend.sum(), y + 1.7)]
            extra += 60 * tubes(frame, curve(knots, 0.006), hollow=0.5)
            extra += 6 * tubes(frame, curve([(x - 0.01, y), (x, y), (x + 0.01, y)], 0.045), hollow=0.75)
    if rng.random() < 0.1:
        knots = [(0.02, -0.7), (0.01, 0.0), (0.03, 0.6), (0.08, 1.15), (0.3, 1.4)]
        extra += 32 * tubes(frame, curve(knots, 0.01), hollow=0.6)
    return extra


def _mark(rng: np.random.Generator, film: Plane) -> None:
    if rng.random() < 0.2:
        return
    height, width = film.shape
    left = rng.random() < 0.85
    text, size = ("R" if left else "L"), rng.uniform(0.6, 1.4)
    column = rng.uniform(0.01, 0.1) * width if left else rng.uniform(0.86, 0.94) * width
    corner = int(column), int(rng.uniform(0.1, 0.45) * height)
    thick = max(round(size * rng.uniform(1, 2)), 1)
    ink = np.zeros(film.shape, np.uint8)
    cv2.putText(ink, text, corner, _FONTS[rng.integers(3)], size, 255, thick, cv2.LINE_AA)
    film += (np.float32(rng.uniform(215, 255)) - film) * (ink / np.float32(255))


def _collimated(rng: np.random.Generator, film: Plane) -> Plane:
    """Shutters: black or light strips along some edges, slightly soft."""
    height, width = film.shape
    shut = np.zeros_like(film)
    for axis, length in ((0, height), (0, -height), (1, width), (1, -width)):
        if rng.random() < 0.16:
            wide = max(int(abs(length) * rng.uniform(0.005, 0.05)), 1)
            strip = slice(0, wide) if length > 0 else slice(abs(length) - wide, None)
            shut[(strip, slice(None)) if axis == 0 else (slice(None), strip)] = 1
    shut = cv2.GaussianBlur(shut, (0, 0), 0.8)
    return film * (1 - shut) + shut * (rng.uniform(0, 12) if rng.random() < 0.75 else rng.uniform(200, 250))
