"""Shapes on a film: where the body lies, tubes with their path lengths, outlines, smooth profiles, textures.

Everything is measured in body units: 1 is half the inner width of the thorax, x runs to the patient's left
(right on the film), y runs down from the apex of the lungs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator, splev, splprep

Plane = NDArray[Any]  # float32 (H, W)
_SPACING = 1.0  # pixels between points of a drawn centre line
_LEFT, _TOP, _SPAN = -1.8, -0.8, 3.6  # the square of the body that a texture covers


@dataclass(frozen=True)
class Frame:
    """How the body lies on the film: `matrix` (2, 3) takes body units to pixels."""

    height: int
    width: int
    matrix: NDArray[np.float64]

    @property
    def scale(self) -> float:
        """Pixels per body unit."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    @cached_property
    def grid(self) -> tuple[Plane, Plane]:
        """Body coordinates x and y of every pixel, float32 (H, W)."""
        inverse = cv2.invertAffineTransform(self.matrix)
        column, row = np.meshgrid(np.arange(self.width), np.arange(self.height))
        x, y = (inverse[i, 0] * column + inverse[i, 1] * row + inverse[i, 2] for i in (0, 1))
        return x.astype(np.float32), y.astype(np.float32)

    def to_film(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels (…, 2) of body points (…, 2)."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def halved(self) -> Frame:
        """The same view in half as many rows and columns, rounded up."""
        matrix = self.matrix / 2 - [[0, 0, 0.25], [0, 0, 0.25]]  # pixel centres, not corners, are the grid
        return Frame(-(-self.height // 2), -(-self.width // 2), matrix)

    def doubled(self, image: Plane) -> Plane:
        """What was drawn on the halved frame, brought to this frame's size, float32 (H, W)."""
        twice = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
        return twice[: self.height, : self.width]

    def sample(self, texture: Plane) -> Plane:
        """A texture laid on the body, seen on the film, float32 (H, W)."""
        x, y = self.grid
        cells = texture.shape[0] / _SPAN  # per body unit
        return cv2.remap(texture, (x - _LEFT) * cells, (y - _TOP) * cells, cv2.INTER_LINEAR,
                         borderMode=cv2.BORDER_REFLECT)


@dataclass(frozen=True)
class Curves:
    """Several curves of equally many points: `points` (C, P, 2), `radius` and `weight` (C, P)."""

    points: NDArray[np.float64]
    radius: NDArray[np.float64]
    weight: NDArray[np.float64]

    def mirrored(self) -> Curves:
        """The mirror image on the other side of the body."""
        return Curves(self.points * np.array([-1.0, 1.0]), self.radius, self.weight)


def curve(knots: list[tuple[float, float]], radius: float | list[float], *,
          weight: float | list[float] = 1.0) -> Curves:
    """One smooth curve through body points (x, y), with a radius and a weight that vary along it."""
    along = np.linspace(0, 1, 40)
    track, _ = splprep(np.array(knots).T, s=0, k=min(3, len(knots) - 1))
    spread = [np.interp(along, np.linspace(0, 1, np.size(v)), np.atleast_1d(v)) for v in (radius, weight)]
    return Curves(np.stack(splev(along, track), axis=-1)[None], spread[0][None], spread[1][None])


def tubes(frame: Frame, *bundles: Curves, hollow: float = 0.0, marrow: float = 0.0) -> Plane:
    """Path length of the beam through round tubes, in body units × weight, float32 (H, W).

    Where tubes overlap, the one with the nearest centre line counts; draw those that add up apart.

    Args:
        hollow: Inner radius as a fraction of the outer one.
        marrow: Density inside it, relative to the wall's.
    """
    film = np.zeros((frame.height, frame.width), np.float32)
    line = np.concatenate([_resampled(frame, bundle) for bundle in bundles])
    margin = int(line[:, 4].max()) + 2
    x, y = np.rint(line[:, 0]), np.rint(line[:, 1])
    # Beyond the film a centre line is followed as far as its tube may reach back in.
    inside = (x >= -margin) & (x < frame.width + margin) & (y >= -margin) & (y < frame.height + margin)
    if inside.any():
        _draw(film, line[inside], margin, hollow=hollow, marrow=marrow)
    film /= np.float32(frame.scale)
    return film


def mirrored_tubes(frame: Frame, *bundles: Curves, hollow: float = 0.0, marrow: float = 0.0) -> Plane:
    """Tubes on one side of the body and their mirror image on the other, as `tubes` gives them."""
    other = tubes(frame, *(bundle.mirrored() for bundle in bundles), hollow=hollow, marrow=marrow)
    return np.maximum(tubes(frame, *bundles, hollow=hollow, marrow=marrow), other)


def _resampled(frame: Frame, curves: Curves) -> Plane:
    """Points closer together than a pixel, one a row: centre (2) and normal (2), radius, weight."""
    points = frame.to_film(curves.points)
    length = np.hypot(*np.moveaxis(np.diff(points, axis=1), -1, 0)).sum(axis=1).max()
    count, last = max(int(length / _SPACING), 8), points.shape[1] - 1
    position = np.linspace(0, last, count)
    left = np.minimum(position.astype(int), last - 1)
    share = position - left

    def between(values: NDArray[np.float64]) -> Plane:
        part = share.reshape(1, -1, *[1] * (values.ndim - 2))
        return (values[:, left] * (1 - part) + values[:, left + 1] * part).astype(np.float32)

    tangent = between(np.gradient(points, axis=1))
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + np.float32(1e-9)
    normal = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)
    rest = between(curves.radius) * np.float32(frame.scale), between(curves.weight)
    return np.concatenate([between(points), normal, np.stack(rest, axis=-1)], axis=-1).reshape(-1, 6)


def _draw(film: Plane, line: Plane, margin: int, *, hollow: float, marrow: float) -> None:
    """Draw tubes onto the film, in place; only their bounding box and a margin are looked at."""
    cell = np.rint(line[:, :2].T).astype(int)
    left, top = (int(axis.min()) - margin for axis in cell)
    wide, high = (int(axis.max() - axis.min()) + 2 * margin + 1 for axis in cell)
    at = cell[1] - top, cell[0] - left
    empty = np.ones((high, wide), np.uint8)
    empty[at] = 0
    distance, label = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = np.zeros(int(label.max()) + 1, dtype=np.int32)
    nearest[label[at]] = np.arange(len(line), dtype=np.int32)
    seen = slice(max(-top, 0), film.shape[0] - top), slice(max(-left, 0), film.shape[1] - left)
    row, column = (distance[seen] < 1.05 * line[:, 4].max() + 1).nonzero()
    x, y, across, down, radius, weight = line[nearest[label[seen][row, column]]].T
    row, column = row + max(top, 0), column + max(left, 0)
    right, below = column.astype(np.float32) - x, row.astype(np.float32) - y
    # Near the centre line its points are coarse and the distance to the tangent is the smoother one.
    away = np.sqrt(right * right + below * below)
    slack = np.minimum(1, 5 / (away + 1))
    offset = np.clip(np.abs(right * across + below * down), away - slack, away + slack)
    film[row, column] = weight * _chord(radius, offset, hollow=hollow, marrow=marrow)


def _chord(radius: Plane, offset: Plane, *, hollow: float, marrow: float) -> Plane:
    square = offset * offset
    outer = np.sqrt(np.maximum(radius * radius - square, 0))
    if not hollow:
        return 2 * outer
    inner = np.sqrt(np.maximum(hollow**2 * radius * radius - square, 0))
    return 2 * outer - 2 * (1 - marrow) * inner


def outlined(frame: Frame, knots: list[tuple[float, float]], *, rounding: float) -> Plane:
    """A cushion over a smooth closed outline: 0 at its edge, 1 from `rounding` inwards, float32 (H, W)."""
    track, _ = splprep(np.array([*knots, knots[0]]).T, s=0, per=True)
    outline = frame.to_film(np.stack(splev(np.linspace(0, 1, 120), track), axis=-1))
    mask = np.zeros((frame.height + 2, frame.width + 2), np.uint8)
    cv2.fillPoly(mask, [np.rint((outline + 1) * 16).astype(np.int32)], 1, shift=4)
    # Beyond the film's edge the organ goes on: only a border inside the film is an edge.
    depth = cv2.distanceTransform(cv2.copyMakeBorder(mask, 80, 80, 80, 80, cv2.BORDER_REPLICATE),
                                  cv2.DIST_L2, 5)[81:-81, 81:-81]
    share = np.minimum(depth / (rounding * frame.scale), 1)
    return np.sqrt(share * (2 - share))


def ellipsoid(frame: Frame, centre: tuple[float, float], radii: tuple[float, float], *,
              tilt: float = 0.0) -> Plane:
    """Relative path length (0 to 1) through an ellipsoid, `tilt` in radians, float32 (H, W)."""
    x, y = frame.grid
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    cosine, sine = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    along, across = (dx * cosine + dy * sine) / radii[0], (dy * cosine - dx * sine) / radii[1]
    return np.sqrt(np.maximum(1 - along**2 - across**2, 0)).astype(np.float32)


def profile(values: Plane, knots: list[tuple[float, float]]) -> Plane:
    """A smooth function of one coordinate, monotone between its knots and constant beyond its ends."""
    at, value = np.array(knots).T
    steps = 2048
    table = PchipInterpolator(at, value)(np.linspace(at[0], at[-1], steps)).astype(np.float32)
    index = (values - at[0]) * (steps / (at[-1] - at[0]))
    return table[np.clip(index, 0, steps - 1).astype(np.int32)]


def texture(rng: np.random.Generator, *, coarsest: float, octaves: int, fade: float = 0.5) -> Plane:
    """Cloudy noise of zero mean and unit deviation on the body's square, float32 (256, 256).

    Args:
        coarsest: Size of the largest clouds in body units; each octave halves it.
        fade: Strength of an octave relative to the one before.
    """
    size = 256
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        cells = max(round(_SPAN / coarsest * 2**octave), 3)
        noise = rng.standard_normal((cells, cells)).astype(np.float32)
        total += fade**octave * cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / total.std()


def smoothstep(values: Plane, width: float) -> Plane:
    """A smooth rise from 0 to 1 around zero, `width` wide."""
    share = np.clip(values / width + 0.5, 0, 1)
    return share * share * (3 - 2 * share)
