"""Cohort -> pixels: every film decoded once into one array of bytes on disk, from which batches are cut.

Memory stays flat whatever the number of films, because the operating system keeps only the pages in use.
"""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pneumo_tf.cohort import Cohort, Dropped, Step
from pneumo_tf.data.filters import to_eight_bits
from pneumo_tf.errors import FilmError
from pneumo_tf.progress import progress_bar
from pneumo_tf.storage import guarded

_CHUNK = 64
INTERPOLATION = "bilinear"
# What Pillow raises on files that are damaged, cut short, or no images at all.
_UNREADABLE = (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Pixels:
    """The films of a cohort, in its order.

    Attributes:
        store: uint8 (M, H, W, C), memory-mapped; one channel where every film is grey.
        places: int (N,), where each film lies in the store.
    """

    store: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def film(self, row: int) -> np.ndarray:
        """uint8 (H, W, C)."""
        return np.asarray(self.store[self.places[row]])

    def batch(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """uint8 (len(rows), H, W, 3); grey is repeated in all three channels."""
        return as_three_channels(np.asarray(self.store[self.places[np.asarray(rows, dtype=int)]]))


def as_three_channels(films: np.ndarray) -> np.ndarray:
    """uint8 (…, C) with C of 1 or 3 as uint8 (…, 3)."""
    return films if films.shape[-1] == 3 else np.repeat(films, 3, axis=-1)


def load_film(path: Path, size: int, *, channels: int = 3) -> np.ndarray:
    """One film as the network meets it.

    For 8-bit films without orientation these are the pixels of
    `keras.utils.load_img(path, target_size=(size, size), interpolation="bilinear")`.

    Args:
        path: Any image that Pillow reads.
        size: Height and width in pixels.
        channels: 1 for grey, 3 for colour.

    Returns:
        uint8 (size, size, channels).

    Raises:
        FilmError: The file is no image, or only a part of one.
    """
    try:
        with Image.open(path) as image:
            upright = to_eight_bits(ImageOps.exif_transpose(image))
            mode = upright.convert("L" if channels == 1 else "RGB")
            resized = mode.resize((size, size), Image.Resampling.BILINEAR)
    except _UNREADABLE as failure:
        raise FilmError("A film must be a complete image.", received=f"{path} ({failure})",
                        remedy="Replace or delete it.") from failure
    return np.asarray(resized).reshape(size, size, channels)


def decode_cohort(cohort: Cohort, films_folder: Path, *, size: int, cache: Path,
                  workers: int) -> tuple[Cohort, Pixels]:
    """Decode every film once; those that can't be read are dropped and noted in the cohort's history.

    Args:
        cohort: Rows whose `file` is relative to `films_folder`.
        films_folder: Where the films lie.
        size: Height and width in pixels.
        cache: File to keep the pixels in; replaced where it exists.
        workers: Threads.

    Raises:
        FilmError: Not one film can be read.
        StorageError: No room for the pixels.
    """
    paths = [films_folder / radiograph.file for radiograph in cohort]
    with ThreadPoolExecutor(workers) as pool, guarded(cache):
        shape = (len(paths), size, size, 3 if any(pool.map(_is_colour, paths)) else 1)
        _check_room(cache, math.prod(shape))
        films = np.lib.format.open_memmap(cache, mode="w+", dtype=np.uint8, shape=shape)
        failures = list(_decode_into(films, paths, pool))
        films.flush()
    store = np.load(cache, mmap_mode="r")  # reopened for reading, the written pages are let go
    if len(failures) == len(paths):
        raise FilmError("At least one film must be readable.",
                        received=f"{len(paths)} files in {films_folder}, none of them a complete image",
                        remedy="Prepare the films again with prepare_pict.py.")
    return _without(cohort, store, failures)


def _check_room(cache: Path, needed: int) -> None:
    """Writing to a memory map on a full disk kills the process, so the room is checked before."""
    if shutil.disk_usage(cache.parent).free < needed:
        raise OSError(errno.ENOSPC, "No space left on device")


def _is_colour(path: Path) -> bool:
    """Whether the file's header says colour; what can't be read is found out when it is decoded."""
    try:
        with Image.open(path) as image:
            return image.mode in ("RGB", "RGBA", "CMYK", "P", "PA", "YCbCr", "LAB", "HSV")
    except _UNREADABLE:
        return False


def _decode_into(films: np.ndarray, paths: list[Path], pool: ThreadPoolExecutor) -> Iterator[tuple[int, str]]:
    """Fill `films` row by row; yield the rows that failed, and why."""
    size, channels = films.shape[1], films.shape[3]

    def decode(row: int) -> str:
        try:
            films[row] = load_film(paths[row], size, channels=channels)
        except FilmError as failure:
            return failure.received
        return ""

    with progress_bar("Reading films", len(paths)) as advance:
        for start in range(0, len(paths), _CHUNK):
            rows = range(start, min(start + _CHUNK, len(paths)))
            for row, failure in zip(rows, pool.map(decode, rows), strict=True):
                if failure:
                    yield row, failure
            advance(len(rows))


def _without(cohort: Cohort, store: np.ndarray, failures: list[tuple[int, str]]) -> tuple[Cohort, Pixels]:
    failed = {row for row, _ in failures}
    rows = [row for row in range(len(cohort)) if row not in failed]
    dropped = tuple(Dropped(cohort.radiographs[row].file, "unreadable") for row, _ in failures)
    kept = Cohort(tuple(cohort.radiographs[row] for row in rows), cohort.history)
    step = Step("decoded films", len(kept), dropped)
    return kept.with_step(step), Pixels(store, np.array(rows, dtype=int))
