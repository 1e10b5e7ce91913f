"""Which films the report shows, and their thumbnails."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pneumo_tf.cohort import Radiograph
from pneumo_tf.data.images import thumbnail
from pneumo_tf.errors import FilmError
from pneumo_tf.runs.folder import RunFolder

_SIDE = 180
_GRID = 25
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


@dataclass(frozen=True)
class Captioned:
    """One film with what a section says of it.

    Attributes:
        id: Its name.
        picture: As of a Shown.
        alt: The picture in words.
        title: The first line below it.
        lines: The others.
        is_wrong: It is framed as an error.
    """

    id: str
    picture: str | None
    alt: str
    title: str
    lines: Sequence[str]
    is_wrong: bool = False


def sample(run: RunFolder) -> dict[str, list[Shown]]:
    """A few films of each class, evenly spread over the table."""
    size = max(2, min(_SAMPLE, _SAMPLE_IN_ALL // len(run.classes)))
    by_class = {name: [film for film in run.cohort if film.label == name] for name in run.classes}
    return {name: [Shown(film.id, film.label, _picture(run, film)) for film in _spread(films, size)]
            for name, films in by_class.items()}


def grid(run: RunFolder) -> list[Shown]:
    """25 test films as they come, evenly spread over all, so that errors are as frequent among them."""
    table = _tested(run).sort_values("id")
    return _shown(run, table.iloc[_spread_indices(len(table), _GRID)])


def right_ones(run: RunFolder, size: int) -> list[Shown]:
    """At most `size` test films that were called rightly, spread over the range of scores."""
    table = _tested(run)
    right = table[table["label"] == table["predicted"]].sort_values(["shown_score", "id"])
    return _shown(run, right.iloc[_spread_indices(len(right), size)])


def pictures(run: RunFolder, names: Iterable[str]) -> dict[str, str | None]:
    """Thumbnails of films by their ids, as data URIs; None where a film is gone or unreadable."""
    films = {film.id: film for film in run.cohort}
    return {name: _picture(run, films.get(name)) for name in names}


def _shown(run: RunFolder, table: pd.DataFrame) -> list[Shown]:
    columns = zip(table["id"], table["label"], table["predicted"], table["shown_score"], strict=True)
    thumbnails = pictures(run, table["id"])
    return [Shown(name, label, thumbnails[name], predicted, float(score))
            for name, label, predicted, score in columns]


def _tested(run: RunFolder) -> pd.DataFrame:
    """The test films with the score to show: of the positive for two classes, else of the highest."""
    table = run.predictions[run.predictions["split"] == "test"].copy()
    scores = table[[f"p_{name}" for name in run.classes]]
    table["shown_score"] = table[f"p_{run.positive}"] if run.is_binary else scores.max(axis=1)
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
        encoded = thumbnail(path, (_SIDE, _SIDE))
    except FilmError:
        return None  # the page shows a placeholder: one broken film mustn't cost the report
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode("ascii")
