"""A reader that needs no network: the score of a film is its mean grey level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pneumo_tf.evaluation.calibration.calibrators import Temperature
from pneumo_tf.reading.predict import Reader
from pneumo_tf.report.words import language
from pneumo_tf.runs.predictor import FilmReader, Predictor

SIDE = 24
CLASSES = ("NORMAL", "PNEUMONIA")


class Brightness:
    """An engine: scores (n, 2), the mean grey as the only feature, and what `members` networks say."""

    input_shape, dtype = (SIDE, SIDE, 3), "float32"

    def __init__(self, members: int = 0) -> None:
        self.members = members

    def __call__(self, films: np.ndarray) -> np.ndarray:
        grey = films.mean(axis=(1, 2, 3)) / 255
        scores = np.stack([1 - grey, grey], axis=1)
        others = [np.stack([1 - grey**power, grey**power], axis=1) for power in range(1, self.members + 1)]
        return np.concatenate([scores, grey[:, None], *others], axis=1).astype(np.float32)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    films = FilmReader(SIDE, None, tmp_path / "home")
    predictor = Predictor(CLASSES, "PNEUMONIA", 0.5, Temperature(0.5), films,
                          Brightness(), workers=2)  # type: ignore[arg-type]
    return Reader(predictor=predictor, words=language("en"))


@pytest.fixture
def ensemble(reader: Reader) -> Reader:
    """The same as an ensemble of two, the second of which always scores lower."""
    engine: Any = Brightness(members=2)
    return replace(reader, predictor=replace(reader.predictor, engine=engine, members=2))


@pytest.fixture
def film_bytes() -> Callable[..., bytes]:
    """Makes a film of about one grey level, with some structure, in a format of Pillow's."""
    def make(level: int, form: str = "PNG", *, seed: int = 0, side: int = 40) -> bytes:
        noise = np.random.default_rng(seed).normal(level, 12, (side, side))
        file = BytesIO()
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(file, form)
        return file.getvalue()

    return make
