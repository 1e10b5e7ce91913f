"""Cohort -> pixels: every film decoded once into one array of bytes on disk, from which batches are cut.

The array is kept for as long as the files have the same bytes. Memory stays flat whatever the number of
films, because the operating system keeps only the pages in use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
from PIL import Image

from pneumo_tf.cohort import Cohort, Dropped, Step
from pneumo_tf.data.audit import file_sha256, shallower
from pneumo_tf.data.images import film_depth, in_mode, open_film, read_film, read_film_file, refuse_blank
from pneumo_tf.data.shards import open_file, read_bytes
from pneumo_tf.errors import FilmError
from pneumo_tf.progress import progress_bar
from pneumo_tf.training.store import Cache, Rows, Stored, digest, open_rows, read_rows

_CHUNK = 64
_DECODER = 2  # raised whenever the same file would give other pixels
INTERPOLATION = "bilinear"
_COLOUR = ("RGB", "RGBA", "CMYK", "P", "PA", "YCbCr", "LAB", "HSV")


@dataclass(frozen=True)
class Pixels:
    """The films of a cohort, in its order.

    Attributes:
        store: uint8 (M, H, W, C), mapped from disk; one channel where every film is grey.
        positions: int (N,), the position of each film in the store.
        key: Hash over everything that the store depends on; "" where it is unknown, and nothing that is
            computed from the films can be kept.
        depth: Bits of grey that films of more than 8 were scaled from; None where there were none.
    """

    store: Stored
    positions: np.ndarray
    key: str = ""
    depth: int | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def at(self, rows: np.ndarray) -> Pixels:
        """The films of some rows, in their order."""
        return replace(self, positions=self.positions[rows])

    def film(self, row: int) -> np.ndarray:
        """uint8 (H, W, C)."""
        return self.stored(self.positions[row])

    def batch(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """uint8 (len(rows), H, W, 3); grey is repeated in all three channels."""
        return as_three_channels(self.stored(self.positions[np.asarray(rows, dtype=int)]))

    def stored(self, positions: int | np.ndarray) -> np.ndarray:
        """uint8 (H, W, C) or (len(positions), H, W, C): films by their position in the store."""
        return read_rows(self.store, positions)


def as_three_channels(films: np.ndarray) -> np.ndarray:
    """uint8 or float32 (…, W, C) with C of 1 or 3 as (…, W, 3)."""
    if films.shape[-1] == 3:
        return films
    if not films.size:
        return np.repeat(films, 3, axis=-1)
    # One image of all rows: NumPy's repeat was measured to take forty times as long.
    rows = cv2.cvtColor(films.reshape(-1, films.shape[-2]), cv2.COLOR_GRAY2RGB)
    return rows.reshape(*films.shape[:-1], 3)


def load_film(path: Path, size: int, *, channels: int = 3, depth: int | None = None) -> np.ndarray:
    """One film as the network meets it.

    For 8-bit films without orientation these are the pixels of
    `keras.utils.load_img(path, target_size=(size, size), interpolation="bilinear")`.

    Args:
        path: Any film that `images.read_film_file` reads.
        size: Height and width in pixels.
        channels: 1 for grey, 3 for colour.
        depth: Bits of grey that a film of more than 8 is scaled from; None takes its own.

    Returns:
        uint8 (size, size, channels).

    Raises:
        FilmError: The file is no image, or only a part of one.
    """
    return resized(read_film_file(path, depth=depth), size, channels=channels)


def resized(film: Image.Image, size: int, *, channels: int = 3) -> np.ndarray:
    """A film of `images.read_film` at the network's size, uint8 (size, size, channels)."""
    # A grey film stays grey until it has the size, which gives the same pixels in half the time.
    image = film if film.mode == "L" else in_mode(film, "L" if channels == 1 else "RGB")
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)).reshape(size, size, -1)
    return pixels if channels == 1 else as_three_channels(pixels)


@dataclass(frozen=True, slots=True)
class _File:
    """A film's file as it was when the training began; the hash is "" where it can't be read."""

    path: Path
    sha256: str = ""
    colour: bool = False
    depth: int | None = None


def decode_cohort(cohort: Cohort, films_folder: Path, *, size: int, cache: Cache | None,
                  workers: int) -> tuple[Cohort, Pixels]:
    """The pixels of every film, from the cache or decoded into it.

    Films that can't be read are dropped and noted in the cohort's history.

    Args:
        cohort: Rows whose `file` is relative to `films_folder`.
        films_folder: Where the films lie.
        size: Height and width in pixels.
        cache: Where the pixels are kept; None keeps them in memory.
        workers: Threads.

    Raises:
        FilmError: Not one film can be read, or one changed or vanished in the meantime.
        StorageError: No room for the pixels, or no permission.
    """
    with ThreadPoolExecutor(workers) as pool:
        files = _look_at(cohort, films_folder, pool)
        channels = 3 if any(file.colour for file in files) else 1
        depth = max((file.depth for file in files if file.depth), default=None)
        key = _key(files, size, channels, depth)
        what = f"{len(files):,} {'colour' if channels == 3 else 'grey'} films of {size} pixels"
        with open_rows(cache, "pixels", key, shape=(len(files), size, size, channels), dtype="uint8",
                       what=what) as rows:
            _decode_missing(rows, files, pool, size=size, channels=channels, depth=depth)
    failed = rows.blank()
    if len(failed) == len(files):
        raise FilmError("At least one film must be readable.",
                        received=f"{len(files)} files in {films_folder}, none of them a complete image",
                        remedy="Prepare the films again with prepare_pict.py.")
    kept = np.setdiff1d(np.arange(len(files)), failed)
    return _without(cohort, failed, files), Pixels(rows.values(), kept, digest(key), depth)


def _look_at(cohort: Cohort, folder: Path, pool: ThreadPoolExecutor) -> list[_File]:
    files = []
    with progress_bar("Checking films", len(cohort)) as advance:
        for file in pool.map(lambda film: _look(folder / film.file, film.file_sha256), cohort):
            files.append(file)
            advance(1)
    return files


def _look(path: Path, sha256: str) -> _File:
    """Hash of a film's bytes where the audit hasn't taken it, whether its header says colour, bits beyond 8.

    Damage is found out when the film is decoded.
    """
    try:
        sha256 = sha256 or file_sha256(path)
        with open_file(path) as file:
            mode = open_film(file, decode=False).mode
            depth = film_depth(open_film(file)) if mode.startswith("I") else None
            return _File(path, sha256, mode in _COLOUR, depth)
    except (OSError, FilmError):
        return _File(path, sha256)


def _key(files: list[_File], size: int, channels: int, depth: int | None) -> dict[str, Any]:
    """Everything that the pixels depend on."""
    return {"films": digest([file.sha256 for file in files]), "size": size, "channels": channels,
            "depth": depth, "interpolation": INTERPOLATION, "decoder": _DECODER, "pillow": PIL.__version__}


def _decode_missing(rows: Rows, files: list[_File], pool: ThreadPoolExecutor, *, size: int,
                    channels: int, depth: int | None) -> None:
    missing = rows.claim(range(len(files)))
    with progress_bar("Reading films", len(missing)) as advance:
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            films = list(pool.map(lambda row: _unchanged_film(files[row], size, channels, depth), chunk))
            whole = [row for row, film in zip(chunk, films, strict=True) if film is not None]
            if whole:
                rows.write(whole, np.stack([film for film in films if film is not None]))
            rows.write_blank([row for row, film in zip(chunk, films, strict=True) if film is None])
            advance(len(chunk))


def _unchanged_film(file: _File, size: int, channels: int, depth: int | None) -> np.ndarray | None:
    """uint8 (size, size, channels); None where the file is no complete image."""
    try:
        content = read_bytes(file.path)
    except OSError as failure:
        if file.sha256:
            raise _inconstant(file, "vanished") from failure
        return None
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise _inconstant(file, "changed")
    try:
        return resized(refuse_blank(read_film(content, depth=depth)), size, channels=channels)
    except FilmError:
        return None


def _why(path: Path) -> str:
    """The reason against a film that couldn't be read."""
    try:
        refuse_blank(read_film(read_bytes(path)))
    except FilmError as failure:
        return failure.received
    except OSError:
        pass
    return "unreadable"


def _inconstant(file: _File, what: str) -> FilmError:
    return FilmError("Films must stay as they are while they are read.",
                     received=f"{file.path}, which {what} in the meantime", remedy="Run the command again.")


def _without(cohort: Cohort, failed: list[int], files: list[_File]) -> Cohort:
    left_out = set(failed)
    dropped = tuple(Dropped(cohort.radiographs[row].file, _why(files[row].path)) for row in failed)
    kept = tuple(film for row, film in enumerate(cohort) if row not in left_out)
    noted = shallower({film.file: file.depth for film, file in zip(cohort, files, strict=True)})
    return Cohort(kept, cohort.history).with_step(Step("decoded films", len(kept), dropped, noted))
