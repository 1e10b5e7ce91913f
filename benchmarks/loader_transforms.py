"""The assignment's five transforms in four libraries: the same parameters, RGB films of any size in.

Each function takes what the one before it gives; `LIBRARIES` has them in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

SIDE, TURN, LOW, HIGH = 224, 13.0, 1.2, 1.5
STEPS = ("resize", "scale", "flip", "rotate", "noise")
Steps = Mapping[str, Callable[[Any], Any]]


def pillow() -> Steps:
    """Pillow holds no fractions, so it scales and multiplies in NumPy at the end."""
    from PIL import Image, ImageOps

    rng, size = np.random.default_rng(0), (SIDE, SIDE)

    def noise(image: Image.Image) -> np.ndarray:
        film = np.asarray(image, np.float32) / 255
        return np.clip(film * rng.uniform(LOW, HIGH, film.shape).astype(np.float32), 0, 1)

    return {"resize": lambda film: Image.fromarray(film).resize(size, Image.Resampling.BILINEAR),
            "scale": lambda image: image, "flip": ImageOps.mirror,
            "rotate": lambda image: image.rotate(TURN, Image.Resampling.BILINEAR), "noise": noise}


def opencv() -> Steps:
    import cv2

    cv2.setNumThreads(1)  # the workers are what shares the films among the cores
    middle = ((SIDE - 1) / 2, (SIDE - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, TURN, 1.0)

    def noise(film: np.ndarray) -> np.ndarray:
        factors = np.empty_like(film)
        cv2.randu(factors, LOW, HIGH)
        return np.minimum(cv2.multiply(film, factors), 1)

    return {"resize": lambda film: cv2.resize(film, (SIDE, SIDE), interpolation=cv2.INTER_AREA),
            "scale": lambda film: film.astype(np.float32) * np.float32(1 / 255),
            "flip": lambda film: cv2.flip(film, 1),
            "rotate": lambda film: cv2.warpAffine(film, matrix, (SIDE, SIDE)), "noise": noise}


def scikit_image() -> Steps:
    """Its speckle is normal, not uniform; mean and variance are the assignment's."""
    from skimage import transform, util

    mean, variance = (LOW + HIGH) / 2 - 1, (HIGH - LOW) ** 2 / 12
    return {"resize": lambda film: transform.resize(film, (SIDE, SIDE), order=1, anti_aliasing=True),
            "scale": lambda film: film.astype(np.float32),  # resize has scaled already
            "flip": lambda film: np.ascontiguousarray(film[:, ::-1]),
            "rotate": lambda film: transform.rotate(film, TURN, order=1),
            "noise": lambda film: util.random_noise(film, "speckle", mean=mean, var=variance)}


def keras_operations() -> Steps:
    """On the backend's tensors; the last one comes back as an array."""
    import keras
    from keras import ops

    seed = keras.random.SeedGenerator(0)
    angle, half = np.deg2rad(TURN), (SIDE - 1) / 2
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.array([cosine, -sine, half - cosine * half + sine * half,
                       sine, cosine, half - sine * half - cosine * half, 0, 0], "float32")

    def noise(film: Any) -> np.ndarray:
        factors = keras.random.uniform(film.shape, LOW, HIGH, seed=seed)
        return ops.convert_to_numpy(ops.minimum(film * factors, 1))

    return {"resize": lambda film: ops.image.resize(film, (SIDE, SIDE), antialias=True),
            "scale": lambda film: ops.cast(film, "float32") / 255,
            "flip": lambda film: ops.flip(film, axis=1),
            "rotate": lambda film: ops.image.affine_transform(film, matrix), "noise": noise}


LIBRARIES: dict[str, Callable[[], Steps]] = {
    "Pillow": pillow, "OpenCV": opencv, "scikit-image": scikit_image, "Keras ops": keras_operations}


def all_steps(steps: Steps, film: np.ndarray) -> np.ndarray:
    """float (SIDE, SIDE, 3) of one RGB film."""
    value: Any = film
    for name in STEPS:
        value = steps[name](value)
    return np.asarray(value)
