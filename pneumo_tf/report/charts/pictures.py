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
# Sides of an enlarged film; of a film that compresses badly the first that fits is taken, so that the page
# stays below 5 MB.
_LARGE_SIDES, _LARGE_CHARACTERS = (640, 512, 384, 256), 45_000
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
        large: The picture to enlarge it to, where there is one.
        overlay: A picture of where the network looked, with its words, where the film was explained.
    """

    id: str
    picture: str | None
    alt: str
    title: str = ""
    lines: Sequence[str] = ()
    is_wrong: bool = False
    large: str | None = None
    overlay: tuple[str, str] | None = None


def thumbnails(run: RunFolder, names: Iterable[str]) -> dict[str, str | None]:
    """Films by their ids, as data URIs; None where a film is gone or unreadable."""
    return {name: _small(path, (_SIDE, _SIDE)) if path else None for name, path in _paths(run, names).items()}


def large_pictures(run: RunFolder, names: Iterable[str]) -> dict[str, str | None]:
    """The same films, large enough to be read."""
    return {name: large_picture(path) if path else None for name, path in _paths(run, names).items()}


def large_picture(path: Path) -> str | None:
    """A film or its overlay, large enough to be read, as a data URI; None where it is gone or unreadable."""
    pictures = (_small(path, (side, side), quality=72) for side in _LARGE_SIDES)
    return next((picture for picture in pictures if len(picture or "") <= _LARGE_CHARACTERS), None)


def panel_picture(path: Path) -> str | None:
    """A panel of explanations, made smaller, as a data URI; None where it is gone."""
    return _small(path, (_PANEL_WIDTH, 2 * _PANEL_WIDTH), quality=72)


def stored_picture(path: Path) -> str | None:
    """A JPEG as it is, as a data URI; None where it is gone."""
    try:
        return _data_uri(path.read_bytes())
    except OSError:
        return None


def spread_indices(length: int, size: int) -> list[int]:
    """At most `size` of so many places, evenly spread."""
    return np.unique(np.linspace(0, length - 1, min(size, length)).round().astype(int)).tolist()


def _paths(run: RunFolder, names: Iterable[str]) -> dict[str, Path | None]:
    wanted = list(names)
    found = {film.id: run.film_path(film.file) for film in run.cohort if film.id in wanted}
    return {name: found.get(name) for name in wanted}


def _small(path: Path, size: tuple[int, int], *, quality: int = 78) -> str | None:
    try:
        return _data_uri(thumbnail(path, size, quality=quality))
    except FilmError:
        return None  # the page shows a placeholder: one broken film mustn't cost the report


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
