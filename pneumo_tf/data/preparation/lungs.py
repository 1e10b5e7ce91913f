"""Where the lungs lie on a chest film, found by a small U-Net that was learnt from phantoms.

`scripts/train_lung_finder.py` makes the network's file. OpenCV computes it, because films are prepared in
processes that would take longer to load Keras than to prepare.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 96
NETWORK = Path(__file__).with_name("lung_finder.tflite")
_SMALLEST = 0.04  # share of the film that both lungs fill at least
_UNEVEN = 0.25  # share of the lungs that lies in one half of their box, at least
_SPECK = 0.1  # size of a region that is no part of the lungs, over the largest one's
_SURE = 2.2  # logit of a probability of 0.9
_DOUBT = 1.5  # cells that the network is unsure of for one of lung, at most; 0.4 on the middlemost real film
# Films are spread over processes and threads, not the parts of one film.
cv2.setNumThreads(1)
_loaded = threading.local()  # an OpenCV network computes for one thread at a time

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a film, as fractions of its width and height from the upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    def widened(self, margin: float) -> Box:
        """The box with a margin, a fraction of its own width and height, as far as the film goes."""
        across, down = margin * (self.right - self.left), margin * (self.bottom - self.top)
        return Box(max(self.left - across, 0), max(self.top - down, 0),
                   min(self.right + across, 1), min(self.bottom + down, 1))

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom on a film of that size, at least a pixel apart."""
        left, top = (min(int(share * side), side - 1) for share, side in
                     ((self.left, width), (self.top, height)))
        return (left, top, max(round(self.right * width), left + 1),
                max(round(self.bottom * height), top + 1))


def lungs_box(film: NDArray[np.uint8]) -> Box | None:
    """The box of both lungs on a grey film (H, W); None where there are no plausible lungs."""
    lungs = lungs_mask(film)
    if lungs is None:
        return None
    rows, columns = np.nonzero(lungs)
    return Box(columns.min() / SIZE, rows.min() / SIZE, (columns.max() + 1) / SIZE, (rows.max() + 1) / SIZE)


def lungs_mask(film: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Which cells of a grey film (H, W) are lung, bool (96, 96); None where there are no plausible lungs.

    Plausible are two halves of like size that the network is sure of: where it takes anything for lung on a
    picture that is no chest, it is unsure of many more cells than that.
    """
    logits = lung_logits(film)
    lungs = _large_parts(logits > 0)
    _, columns = np.nonzero(lungs)
    unsure = int(np.count_nonzero(np.abs(logits) < _SURE))
    if len(columns) < max(_SMALLEST * SIZE**2, unsure / _DOUBT):
        return None
    left = np.mean(columns < (columns.min() + columns.max()) / 2)
    return lungs if min(left, 1 - left) >= _UNEVEN else None


def lung_logits(film: NDArray[np.uint8]) -> Plane:
    """How much each cell of a grey film (H, W) looks like lung, float32 (96, 96); above 0 it is lung.

    The mean over the film and its mirror image, so that both have the same lungs.
    """
    if not hasattr(_loaded, "network"):
        _loaded.network = cv2.dnn.readNetFromTFLite(str(NETWORK))
    small = standardised(film)
    seen = []
    for side in (small, small[:, ::-1]):
        _loaded.network.setInput(np.ascontiguousarray(side)[None, None])
        seen.append(_loaded.network.forward().reshape(SIZE, SIZE))
    return np.asarray((seen[0] + seen[1][:, ::-1]) / 2, np.float32)


def standardised(film: NDArray[np.uint8]) -> Plane:
    """A grey film (H, W) as the network meets it: float32 (96, 96), mean 0 and standard deviation 1."""
    small = cv2.resize(film, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return (small - small.mean()) / (small.std() + np.float32(1))


def _large_parts(lungs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the regions of less than a tenth of the largest."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(lungs.astype(np.uint8))
    area = np.where(np.arange(len(stats)) > 0, stats[:, cv2.CC_STAT_AREA], 0)  # the first is what is no lung
    return np.asarray((area > _SPECK * area.max())[labels])
