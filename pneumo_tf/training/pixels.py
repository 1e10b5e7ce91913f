"""Cohort -> pixels: every film decoded once into one array of bytes on disk, from which batches are cut.

The array is kept for as long as the files have the same bytes. Memory stays flat whatever the number of
films, because the operating system keeps only the pages in use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import PIL
from PIL import Image

from pneumo_tf.cohort import Cohort, Dropped, Step
from pneumo_tf.data.audit import file_sha256
from pneumo_tf.data.images import in_mode, open_film, read_film, read_film_file
from pneumo_tf.errors import FilmError
from pneumo_tf.progress import progress_bar
from pneumo_tf.training.store import Cache, Rows, digest, open_rows, read_rows

_CHUNK = 64
_DECODER = 1  # raised whenever the same file would give other pixels
INTERPOLATION = "bilinear"
_COLOUR = ("RGB", "RGBA", "CMYK", "P", "PA", "YCbCr", "LAB", "HSV")


@dataclass(frozen=True)
class Pixels:
    """The films of a cohort, in its order.

    Attributes:
        store: uint8 (M, H, W, C), memory-mapped; one channel where every film is grey.
        positions: int (N,), the position of each film in the store.
        key: Hash over everything that the store depends on; "" where it is unknown, and nothing that is
            computed from the films can be kept.
    """

    store: np.ndarray
    positions: np.ndarray
    key: str = ""

    def __len__(self) -> int:
        return len(self.positions)

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


def load_film(path: Path, size: int) -> np.ndarray:
    """One film as the network meets it, uint8 (size, size, 3).

    For 8-bit films without orientation these are the pixels of
    `keras.utils.load_img(path, target_size=(size, size), interpolation="bilinear")`.

    Raises:
        FilmError: The file is no image, or only a part of one.
    """
    return resized(read_film_file(path), size)


def resized(film: Image.Image, size: int, *, channels: int = 3) -> np.ndarray:
    """A film of `images.read_film` at the network's size, uint8 (size, size, channels)."""
    image = in_mode(film, "L" if channels == 1 else "RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(size, size, channels)


@dataclass(frozen=True, slots=True)
class _File:
    """A film's file as it was when the training began; the hash is "" where it can't be read."""

    path: Path
    sha256: str = ""
    colour: bool = False


def decode_cohort(cohort: Cohort, films_folder: Path, *, size: int, cache: Cache | None,
                  workers: int) -> tuple[Cohort, Pixels]:
    """The pixels of every film, from the cache or decoded into it by so many threads.

    Films that can't be read are dropped and noted in the cohort's history. Without a cache the pixels are
    kept in memory.

    Raises:
        FilmError: Not one film can be read, or one changed or vanished in the meantime.
        StorageError: No room for the pixels, or no permission.
    """
    with ThreadPoolExecutor(workers) as pool:
        files = []
        with progress_bar("Checking films", len(cohort)) as advance:
            for file in pool.map(lambda film: _look(films_folder / film.file, film.file_sha256), cohort):
                files.append(file)
                advance(1)
        channels = 3 if any(file.colour for file in files) else 1
        key = {"films": digest([file.sha256 for file in files]), "size": size, "channels": channels,
               "interpolation": INTERPOLATION, "decoder": _DECODER, "pillow": PIL.__version__}
        what = f"{len(files):,} films of {size} pixels in {'colour' if channels == 3 else 'grey'}"
        with open_rows(cache, "pixels", key, shape=(len(files), size, size, channels), dtype="uint8",
                       what=what) as rows:
            _decode_missing(rows, files, pool, size=size, channels=channels)
    failed = rows.blank()
    if len(failed) == len(files):
        raise FilmError("At least one film must be readable.",
                        received=f"{len(files)} files in {films_folder}, none of them a complete image",
                        remedy="Prepare the films again with prepare_pict.py.")
    kept = np.setdiff1d(np.arange(len(files)), failed)
    dropped = tuple(Dropped(cohort.radiographs[row].file, "unreadable") for row in failed)
    left = Cohort(tuple(cohort.radiographs[row] for row in kept), cohort.history)
    return left.with_step(Step("decoded films", len(kept), dropped)), Pixels(rows.values(), kept, digest(key))


def _look(path: Path, sha256: str) -> _File:
    """Hash of a film's bytes where the audit hasn't taken it, and whether its header says colour.

    Damage is found out when the film is decoded.
    """
    try:
        sha256 = sha256 or file_sha256(path)
        with path.open("rb") as file:
            return _File(path, sha256, open_film(file, decode=False).mode in _COLOUR)
    except (OSError, FilmError):
        return _File(path, sha256)


def _decode_missing(rows: Rows, files: list[_File], pool: ThreadPoolExecutor, *, size: int,
                    channels: int) -> None:
    missing = rows.claim(range(len(files)))
    with progress_bar("Reading films", len(missing)) as advance:
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            films = list(pool.map(lambda row: _unchanged_film(files[row], size, channels), chunk))
            whole = [row for row, film in zip(chunk, films, strict=True) if film is not None]
            if whole:
                rows.write(whole, np.stack([film for film in films if film is not None]))
            rows.write_blank([row for row, film in zip(chunk, films, strict=True) if film is None])
            advance(len(chunk))


def _unchanged_film(file: _File, size: int, channels: int) -> np.ndarray | None:
    """uint8 (size, size, channels); None where the file is no complete image."""
    try:
        content = file.path.read_bytes()
    except OSError as failure:
        if file.sha256:
            raise _inconstant(file, "vanished") from failure
        return None
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise _inconstant(file, "changed")
    try:
        return resized(read_film(content), size, channels=channels)
    except FilmError:
        return None


def _inconstant(file: _File, what: str) -> FilmError:
    return FilmError("Films must stay as they are while they are read.",
                     received=f"{file.path}, which {what} in the meantime", remedy="Run the command again.")
