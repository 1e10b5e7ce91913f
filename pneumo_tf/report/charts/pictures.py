"""Films and panels as small JPEGs that stand in the page itself."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pneumo_tf.data.images import thumbnail
from pneumo_tf.errors import FilmError
from pneumo_tf.runs.folder import RunFolder

_SIDE = 180
_PANEL_WIDTH = 1100


@dataclass(frozen=True)
class Captioned:
    """One film with what a section says of it.

    Attributes:
        id: Its name.
        picture: A data URI, or None where the film is gone or unreadable.
        alt: The picture in words.
        title: The first line below it.
        lines: The others.
        is_wrong: It is framed as an error.
    """

    id: str
    picture: str | None
    alt: str
    title: str = ""
    lines: Sequence[str] = ()
    is_wrong: bool = False


def thumbnails(run: RunFolder, names: Iterable[str]) -> dict[str, str | None]:
    """Films by their ids, as data URIs; None where a film is gone or unreadable."""
    paths = {film.id: run.film_path(film.file) for film in run.cohort}
    return {name: _small(path, (_SIDE, _SIDE)) if (path := paths.get(name)) else None for name in names}


def panel_picture(path: Path) -> str | None:
    """A panel of explanations, made smaller, as a data URI; None where it is gone."""
    return _small(path, (_PANEL_WIDTH, 2 * _PANEL_WIDTH), mode="RGB", quality=72)


def stored_picture(path: Path) -> str | None:
    """A JPEG as it is, as a data URI; None where it is gone."""
    try:
        return _data_uri(path.read_bytes())
    except OSError:
        return None


def spread_indices(length: int, size: int) -> list[int]:
    """At most `size` of so many places, evenly spread."""
    return np.unique(np.linspace(0, length - 1, min(size, length)).round().astype(int)).tolist()


def _small(path: Path, size: tuple[int, int], *, mode: str = "L", quality: int = 78) -> str | None:
    try:
        return _data_uri(thumbnail(path, size, mode=mode, quality=quality))
    except FilmError:
        return None  # the page shows a placeholder: one broken film mustn't cost the report


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
