"""Which films the report shows, and their thumbnails."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError

from pneumo_tf.cohort import Radiograph
from pneumo_tf.report.run_folder import RunFolder

_SIDE = 180
_GRID = 25
_ERRORS = 15
_SAMPLE = 8
_SAMPLE_IN_ALL = 48


@dataclass(frozen=True)
class Shown:
    """One film of the report; `picture` is a data URI, or None where the film is gone or unreadable."""

    id: str
    label: str
    picture: str | None
    predicted: str = ""
    score: float = float("nan")

    @property
    def is_right(self) -> bool:
        return self.label == self.predicted


def sample(run: RunFolder) -> dict[str, list[Shown]]:
    """A few films of each class, evenly spread over the table."""
    size = max(2, min(_SAMPLE, _SAMPLE_IN_ALL // len(run.classes)))
    by_class = {name: [film for film in run.cohort if film.label == name] for name in run.classes}
    return {name: [Shown(film.id, film.label, _picture(run, film)) for film in _spread(films, size)]
            for name, films in by_class.items()}


def grid(run: RunFolder) -> list[Shown]:
    """25 test films, the gravest errors first, then right ones spread over the range of scores."""
    table = _tested(run)
    is_right = table["label"] == table["predicted"]
    wrong = table[~is_right].sort_values(["gravity", "id"], ascending=[False, True])
    right = table[is_right].sort_values(["shown_score", "id"])
    errors = wrong.head(min(_GRID, max(_ERRORS, _GRID - len(right))))
    chosen = pd.concat([errors, right.iloc[_spread_indices(len(right), _GRID - len(errors))]])
    films = {film.id: film for film in run.cohort}
    columns = zip(chosen["id"], chosen["label"], chosen["predicted"], chosen["shown_score"], strict=True)
    return [Shown(name, label, _picture(run, films.get(name)), predicted, float(score))
            for name, label, predicted, score in columns]


def _tested(run: RunFolder) -> pd.DataFrame:
    """The test films with the score to show: of the positive for two classes, else of the highest."""
    table = run.predictions[run.predictions["split"] == "test"].copy()
    scores = table[[f"p_{name}" for name in run.classes]]
    table["shown_score"] = table[f"p_{run.positive}"] if run.is_binary else scores.max(axis=1)
    table["gravity"] = (table["shown_score"] - (run.threshold or 0.0)).abs()
    return table


def _spread(films: Sequence[Radiograph], size: int) -> list[Radiograph]:
    return [films[index] for index in _spread_indices(len(films), size)]


def _spread_indices(length: int, size: int) -> list[int]:
    return np.unique(np.linspace(0, length - 1, min(size, length)).round().astype(int)).tolist()


def _picture(run: RunFolder, film: Radiograph | None) -> str | None:
    path = run.film_path(film.file) if film else None
    if path is None:
        return None
    try:
        with Image.open(path) as image:
            encoded = _thumbnail(image)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None  # the page shows a placeholder: one broken film mustn't cost the report
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode("ascii")


def _thumbnail(image: Image.Image) -> bytes:
    image.draft("L", (2 * _SIDE, 2 * _SIDE))
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        upright = _stretched(upright)
    grey = upright.convert("L")
    grey.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    grey.save(buffer, "JPEG", quality=78, optimize=True)
    return buffer.getvalue()


def _stretched(image: Image.Image) -> Image.Image:
    """More than 8 bits, stretched from darkest to brightest: Pillow would clip them to white."""
    pixels = np.asarray(image, dtype=np.float64)
    span = max(float(np.ptp(pixels)), 1.0)
    return Image.fromarray(((pixels - pixels.min()) * (255 / span)).astype(np.uint8))
