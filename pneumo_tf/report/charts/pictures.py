"""Films and panels as small JPEGs that stand in the page itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

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
    films = {film.id: film for film in run.cohort}
    return {name: _thumbnail(run.film_path(films[name].file)) if name in films else None for name in names}


def panel_picture(path: Path) -> str | None:
    """A panel of explanations, made smaller, as a data URI; None where it is gone."""
    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return None
    small.thumbnail((_PANEL_WIDTH, 2 * _PANEL_WIDTH), Image.Resampling.LANCZOS)
    return _encoded(small, quality=72)


def stored_picture(path: Path) -> str | None:
    """A JPEG as it is, as a data URI; None where it is gone."""
    try:
        return _data_uri(path.read_bytes())
    except OSError:
        return None


def spread_indices(length: int, size: int) -> list[int]:
    """At most `size` of so many places, evenly spread."""
    return np.unique(np.linspace(0, length - 1, min(size, length)).round().astype(int)).tolist()


def _thumbnail(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        with Image.open(path) as image:
            grey = _grey(image)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None  # the page shows a placeholder: one broken film mustn't cost the report
    grey.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return _encoded(grey, quality=78)


def _grey(image: Image.Image) -> Image.Image:
    image.draft("L", (2 * _SIDE, 2 * _SIDE))
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        # More than 8 bits, stretched from darkest to brightest: Pillow would clip them to white.
        pixels = np.asarray(upright, dtype=np.float64)
        span = max(float(np.ptp(pixels)), 1.0)
        upright = Image.fromarray(((pixels - pixels.min()) * (255 / span)).astype(np.uint8))
    return upright.convert("L")


def _encoded(image: Image.Image, *, quality: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return _data_uri(buffer.getvalue())


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
