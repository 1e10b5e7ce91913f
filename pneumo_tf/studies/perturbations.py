"""What may happen to a film on its way, with the disease left as it is: a table by kind and strength."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.training.views import CLEAN, STRONG, Mark, View, apply_view, sample_view, view_rng

Film = NDArray[np.uint8]
Perturbation = Callable[[Film], Film]

_CORNER, _REST = 0.18, 1 - 0.18  # of the side
_CORNERS: tuple[Mark, ...] = tuple(((left, top, _CORNER, _CORNER), 0)
                                   for left in (0, _REST) for top in (0, _REST))


@dataclass(frozen=True, slots=True)
class Stress:
    """A row of the table.

    Attributes:
        kind: What changes.
        view: Its parameters, for a film of the network's size. On a larger one blur and noise grow with it,
            so that the network meets the same.
        resolution: Of the network's own, that is left.
        negative: Whether black and white change places.
        brief: Whether a training, which has little time, tries it too.
    """

    kind: str
    view: View = CLEAN
    resolution: float = 1.0
    negative: bool = False
    brief: bool = False


# Hospitals that never were: each changes all films by one and the same draw of all changes together. A single
# change was measured to cost a frozen network a few points at most, all together what other hospitals do, so
# these rows rank recipes and carry the forecast.
_HOSPITALS = 6
_ELSEWHERE = replace(STRONG, scale=(0.8, 1.4), aspect=(0.8, 1.25), flip=0.0)


def _hospital(number: int) -> Stress:
    view = sample_view(_ELSEWHERE, view_rng(0, 0, number))
    return Stress("hospital", replace(view, blur=view.blur / 224), brief=True)


# How strong: as far as films of other hospitals were seen to differ, and where a radiologist would still read
# them without a second thought. A new row is a line here and a name in the report's catalogues.
STRESSES: dict[str, Stress] = {
    "zoom_0.8": Stress("magnification", View(scale=0.8), brief=True),
    "zoom_0.9": Stress("magnification", View(scale=0.9)),
    "zoom_1.2": Stress("magnification", View(scale=1.2)),
    "zoom_1.4": Stress("magnification", View(scale=1.4), brief=True),
    "shift_right": Stress("shift", View(shift_x=0.08)),
    "shift_down": Stress("shift", View(shift_y=0.08)),
    "rotate_-10": Stress("rotation", View(rotation=-10)),
    "rotate_+10": Stress("rotation", View(rotation=10)),
    "crop": Stress("crop", View(crop=(0.1, 0.1, 0.8, 0.8))),
    "crop_sides": Stress("crop", View(crop=(0.12, 0, 0.76, 1)), brief=True),
    "border": Stress("mask", View(frame=(0.08, 0.08, 0.08, 0.08))),
    "corners": Stress("mask", View(marks=_CORNERS)),
    "wider": Stress("aspect", View(aspect=1.25)),
    "taller": Stress("aspect", View(aspect=0.8)),
    "gamma_0.6": Stress("gamma", View(gamma=0.6)),
    "gamma_1.6": Stress("gamma", View(gamma=1.6)),
    "more_contrast": Stress("contrast", View(contrast=1.4)),
    "less_contrast": Stress("contrast", View(contrast=0.7)),
    "brighter": Stress("brightness", View(brightness=1.2)),
    "darker": Stress("brightness", View(brightness=0.8)),
    "clahe": Stress("equalisation", View(clahe=3), brief=True),
    "blur": Stress("blur", View(blur=1 / 150)),  # of the side: 2 pixels of 299, 1.5 of 224
    "sharpen": Stress("sharpening", View(sharpen=1.2)),
    "noise": Stress("noise", View(noise=10)),
    "jpeg_60": Stress("JPEG", View(jpeg_quality=60)),
    "jpeg_30": Stress("JPEG", View(jpeg_quality=30)),
    "half_size": Stress("resolution", resolution=1 / 2),
    "third_size": Stress("resolution", resolution=1 / 3, brief=True),
    "flip": Stress("mirror", View(flip=True)),
    **{f"hospital_{number}": _hospital(number) for number in range(1, _HOSPITALS + 1)},
    "negative": Stress("negative", negative=True),
}
HOSPITALS = frozenset(name for name, row in STRESSES.items() if row.kind == "hospital")
# Shown by a program that doesn't know that 0 means white. No film for a network, so its mean leaves it out.
APART = frozenset({"negative"})


def perturbations(size: int, *, brief: bool = False) -> dict[str, Perturbation]:
    """Every perturbation by its name, for a network of `size` pixels and films of any size.

    Args:
        brief: Only those that a training tries.
    """
    return {name: partial(_perturbed, stress=row, size=size) for name, row in STRESSES.items()
            if row.brief or not brief}


def rescaled(film: Film, factor: float) -> Film:
    """Made smaller by `factor` and brought back to its size, as by a system that stores small films."""
    height, width = film.shape[:2]
    small = cv2.resize(film, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    restored = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(restored, dtype=np.uint8).reshape(film.shape)


def _perturbed(film: Film, *, stress: Stress, size: int) -> Film:
    side = max(film.shape[:2])
    if stress.negative:
        return np.asarray(255 - film, dtype=np.uint8)
    if stress.resolution < 1:
        return rescaled(film, min(stress.resolution * size / side, 1.0))
    # A network averages side / size pixels along each side, and the noise of n pixels falls by their root.
    return apply_view(film, replace(stress.view, blur=stress.view.blur * side,
                                    noise=stress.view.noise * max(side / size, 1.0)))
