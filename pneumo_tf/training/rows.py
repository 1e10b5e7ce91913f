"""An array that is filled row by row, in memory or on disk, where a killed run goes on with it.

On disk it is a folder: `facts.json` says what it is, `values.bin` holds the rows, and `journal.bin` has one
number for each row: whether it is there, and its checksum. A row enters the journal after its values, so what
the journal names is whole; what changed afterwards no longer fits its checksum and is made again.
"""

from __future__ import annotations

import errno
import json
import math
import mmap
import shutil
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import ml_dtypes  # noqa: F401  (teaches NumPy the name bfloat16)
import numpy as np

from pneumo_tf.storage import guarded

FACTS, VALUES, JOURNAL = "facts.json", "values.bin", "journal.bin"
_PRESENT, _BLANK = 1, 2  # upper half of a number of the journal; the lower half is the checksum
Indices = Sequence[int] | np.ndarray


class Rows(Protocol):
    """What whoever fills an array sees of it.

    Attributes:
        shape: (number of rows, …).
    """

    shape: tuple[int, ...]

    def claim(self, wanted: Indices) -> np.ndarray:
        """int: those of the wanted rows that have to be made, each once, in ascending order."""

    def write(self, rows: Indices, values: np.ndarray) -> None:
        """Keep the values (len(rows), …) of some rows."""

    def write_blank(self, rows: Indices) -> None:
        """Remember that some rows can't have a value; they are never asked for again."""

    def blank(self) -> list[int]:
        """The rows that can't have a value."""

    def values(self) -> np.ndarray:
        """The array, only to be read. Rows that nobody has written hold nothing of use."""


class MemoryRows:
    """An array that is gone with the process."""

    def __init__(self, shape: Sequence[int], dtype: str) -> None:
        self.shape = tuple(shape)
        self._values = np.empty(self.shape, dtype)
        self._blank: list[int] = []

    def claim(self, wanted: Indices) -> np.ndarray:
        return _each_once(wanted)

    def write(self, rows: Indices, values: np.ndarray) -> None:
        self._values[rows] = values

    def write_blank(self, rows: Indices) -> None:
        self._blank.extend(int(row) for row in rows)

    def blank(self) -> list[int]:
        return sorted(self._blank)

    def values(self) -> np.ndarray:
        return self._values


class DiskRows:
    """An array in a folder. Whoever opens one makes sure that nobody else fills it meanwhile.

    Args:
        folder: Its folder, made with the first row.
        facts: Format, shape, dtype and whatever else it must have been made with; as JSON holds them.
        what: What it is, for people.

    Raises:
        StorageError: The folder can't be read, or not be written to.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], *, what: str) -> None:
        self._folder, self._facts, self._what = folder, facts, what
        self.shape, self._dtype = tuple(facts["shape"]), np.dtype(facts["dtype"])
        self._row_bytes = math.prod(self.shape[1:]) * self._dtype.itemsize
        self._journal = np.zeros(self.shape[0], "<u8")
        with guarded(folder):
            if folder.exists():
                self._reopen()

    def claim(self, wanted: Indices) -> np.ndarray:
        """The rows to be made; what they take is said, and that there is room for it is made sure of.

        Raises:
            StorageError: No room; nothing has been written.
        """
        rows = _each_once(wanted)
        missing = rows[self._states()[rows] == 0]
        if len(missing):
            self._check_room(len(missing) * self._row_bytes)
            there = len(rows) - len(missing)
            self._say(f"{amount(len(missing) * self._row_bytes)} for {self._what} in "
                      f"{self._folder.parent}" + (f"; {there:,} of {len(rows):,} are there" if there else ""))
            self._create()
        return missing

    def write(self, rows: Indices, values: np.ndarray) -> None:
        contents = [np.ascontiguousarray(value, self._dtype).tobytes() for value in values]
        with guarded(self._folder), (self._folder / VALUES).open("r+b") as stream:
            for row, content in zip(rows, contents, strict=True):
                stream.seek(int(row) * self._row_bytes)
                stream.write(content)
        self._enter(rows, [_PRESENT << 32 | zlib.crc32(content) for content in contents])

    def write_blank(self, rows: Indices) -> None:
        self._enter(rows, [_BLANK << 32] * len(rows))

    def blank(self) -> list[int]:
        return np.flatnonzero(self._states() == _BLANK).tolist()

    def values(self) -> np.ndarray:
        if not math.prod(self.shape):
            return np.empty(self.shape, self._dtype)
        return np.memmap(self._folder / VALUES, self._dtype, "r", shape=self.shape)

    def _states(self) -> np.ndarray:
        return self._journal >> 32

    def _enter(self, rows: Indices, numbers: list[int]) -> None:
        self._journal[rows] = numbers
        with guarded(self._folder), (self._folder / JOURNAL).open("r+b") as stream:
            for row in rows:
                stream.seek(int(row) * 8)
                stream.write(self._journal[row].tobytes())

    def _check_room(self, needed: int) -> None:
        with guarded(self._folder.parent):
            if shutil.disk_usage(self._folder.parent).free < needed:
                raise OSError(errno.ENOSPC, "No space left on device")

    def _create(self) -> None:
        """Files of their full length; the file system gives them room as the rows come."""
        if (self._folder / FACTS).exists():
            return
        with guarded(self._folder):
            self._folder.mkdir(exist_ok=True)
            for name, size in ((VALUES, self.shape[0] * self._row_bytes), (JOURNAL, self._journal.nbytes)):
                with (self._folder / name).open("wb") as stream:
                    stream.truncate(size)
            # Last, because now it is an array; a part of it would be no JSON, so no detour is needed.
            facts = json.dumps({**self._facts, "what": self._what}, indent=2, ensure_ascii=False)
            (self._folder / FACTS).write_text(facts + "\n", encoding="utf-8")

    def _reopen(self) -> None:
        """Read the journal and check every row that it names."""
        if reason := self._unusable():
            self._say(f"{self._what} {reason} and is made again")
            remove_files(self._folder)
            return
        self._journal = np.fromfile(self._folder / JOURNAL, "<u8")
        self._journal[~np.isin(self._states(), (0, _PRESENT, _BLANK))] = 0
        damaged = list(self._damaged())
        if damaged:
            self._say(f"{len(damaged):,} of {self.shape[0]:,} rows damaged, made again: {self._what}")
            self._enter(damaged, [0] * len(damaged))

    def _unusable(self) -> str:
        """Why what lies in the folder can't be gone on with; "" where it can."""
        try:
            found = json.loads((self._folder / FACTS).read_text(encoding="utf-8"))
            sizes = [(self._folder / name).stat().st_size for name in (JOURNAL, VALUES)]
        except (FileNotFoundError, ValueError):
            return "is damaged"
        if not isinstance(found, dict) or {**found, "what": ""} != {**self._facts, "what": ""}:
            return "was kept by another version"
        return "" if sizes == [self._journal.nbytes, self.shape[0] * self._row_bytes] else "is damaged"

    def _damaged(self) -> Iterator[int]:
        with (self._folder / VALUES).open("rb", buffering=0) as stream:
            for row in np.flatnonzero(self._states() == _PRESENT).tolist():
                stream.seek(row * self._row_bytes)
                if zlib.crc32(stream.read(self._row_bytes)) != int(self._journal[row]) & 0xFFFFFFFF:
                    yield row

    def _say(self, text: str) -> None:
        print(f"Cache: {text}.", file=sys.stderr)


def read_rows(array: np.ndarray, index: Any) -> np.ndarray:
    """A copy of some rows of an array, whose pages are then given back where it lies on disk.

    A mapped page that was read counts as this process's memory until another one needs it. The system has it
    in its own cache as well, from where it comes back at once.

    Args:
        array: From `Rows.values`.
        index: What NumPy takes in brackets.
    """
    found = array[index]
    rows = np.array(found) if np.may_share_memory(found, array) else np.asarray(found)
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):  # Windows has no such call
        mapped.madvise(mmap.MADV_DONTNEED)
    return rows


def amount(size: int) -> str:
    """Bytes as people read them: "262 MB"."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def remove_files(folder: Path) -> None:
    """Remove the files of an array, and the folder unless something else lies in it."""
    for name in (FACTS, JOURNAL, VALUES):  # without its facts it is no array any more
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _each_once(wanted: Indices) -> np.ndarray:
    return np.unique(np.asarray(wanted, dtype=int))
