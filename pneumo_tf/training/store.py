"""Arrays that are made once and kept: the pixels of films, the outputs of frozen networks.

A cache is a folder with one folder for each array, named by its kind and by a hash over everything that its
values depend on: a run finds only what is right for it. An array is filled row by row, so a killed run goes
on with it. `facts.json` says what it is; `values.bin` holds the rows, as many as a gigabyte takes, and
`values-1.bin`, `values-2.bin` … those that follow; `journal.bin` has one number for each row: whether it is
present, and its checksum. A row enters the journal after its values, so what the journal names is whole; what
changed afterwards no longer fits its checksum and is made again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import mmap
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (teaches NumPy the name bfloat16)
import numpy as np
from filelock import FileLock, Timeout

from pneumo_tf.language import say
from pneumo_tf.storage import guarded, make_folder, read_json

FORMAT = 1  # of an array's files; those of another one are made again
HEADER, VALUES, JOURNAL = "facts.json", "values.bin", "journal.bin"
_PRESENT, _BLANK = 1, 2  # upper half of a number of the journal; the lower half is the checksum
_FOLDER = re.compile(r"([a-z]+)-[0-9a-f]{32}")
_LOCK = ".lock"
_VALUES = re.compile(r"values(?:-\d+)?\.bin")
_FILE_BYTES = 2**30  # of values in one file, which can be copied, checked and mapped by itself
_SHORTLY = 1.0  # seconds that another process may take before the wait is explained
Indices = Sequence[int] | np.ndarray


class Rows:
    """An array, of shape (number of rows, …), that is filled row by row and lost when the process ends."""

    def __init__(self, shape: Sequence[int], dtype: str) -> None:
        self.shape = tuple(shape)
        self._values = np.empty(self.shape, dtype)
        self._blank: list[int] = []

    def claim(self, wanted: Indices) -> np.ndarray:
        """int: the wanted rows that are missing, each once, in ascending order."""
        return np.unique(np.asarray(wanted, dtype=int))

    def write(self, rows: Indices, values: np.ndarray) -> None:
        """Store the values (len(rows), …) of some rows."""
        self._values[rows] = values

    def write_blank(self, rows: Indices) -> None:
        """Mark rows that can't have a value; `claim` leaves them out from then on."""
        self._blank.extend(int(row) for row in rows)

    def blank(self) -> list[int]:
        """The rows that can't have a value."""
        return sorted(self._blank)

    def values(self) -> Stored:
        """The array, read-only. Rows that were never written hold arbitrary values."""
        return self._values


class MappedRows:
    """An array on disk of any number of files, of which only the rows that are asked for enter memory.

    Pickled it is no more than its place: another process, or another machine that sees the folder, opens the
    same files.
    """

    def __init__(self, folder: Path, shape: Sequence[int], dtype: str, rows_per_file: int) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._folder, self._rows_per_file = folder, rows_per_file
        self._mapped: dict[int, np.memmap] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return MappedRows, (self._folder.absolute(), self.shape, self.dtype.name, self._rows_per_file)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        """A copy of some rows, by number, numbers or slice; of an array of views, of those of one number."""
        chosen, *inner = index if isinstance(index, tuple) else (index,)
        if isinstance(chosen, int | np.integer):
            number, row = divmod(int(chosen) + (len(self) if chosen < 0 else 0), self._rows_per_file)
            return read_rows(self._file(number), (row, *inner))
        rows = np.arange(len(self))[chosen] if isinstance(chosen, slice) else np.asarray(chosen, dtype=int)
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        numbers, places = np.divmod(rows, self._rows_per_file)
        if len(rows) and numbers[0] == numbers[-1] and (numbers == numbers[0]).all():
            return read_rows(self._file(int(numbers[0])), (places, *inner))
        found = np.empty((len(rows), *self.shape[1 + len(inner):]), self.dtype)
        for number in np.unique(numbers):
            here = numbers == number
            found[here] = read_rows(self._file(int(number)), (places[here], *inner))
        return found

    def _file(self, number: int) -> np.memmap:
        if number not in self._mapped:
            rows = min(self._rows_per_file, len(self) - number * self._rows_per_file)
            self._mapped[number] = np.memmap(self._folder / values_file(number), self.dtype, "r",
                                             shape=(rows, *self.shape[1:]))
        return self._mapped[number]


Stored = np.ndarray | MappedRows


def values_file(number: int) -> str:
    """The name of an array's file of values."""
    return f"values-{number}.bin" if number else VALUES


class DiskRows(Rows):
    """Rows in a folder, which is made with the first row; the caller holds the folder's lock.

    Args:
        header: Format, shape, dtype and everything else that the values depend on; as JSON holds them.
        what: What it is, in words for messages.

    Raises:
        StorageError: The folder can't be read, or not be written to.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], *, what: str) -> None:
        self._folder, self._header, self._what = folder, header, what
        self.shape, self._dtype = tuple(header["shape"]), np.dtype(header["dtype"])
        self._row_bytes = math.prod(self.shape[1:]) * self._dtype.itemsize
        self._rows_per_file = max(1, _FILE_BYTES // max(1, self._row_bytes))
        if self.shape[0] > self._rows_per_file:
            self._header = {**header, "rows_per_file": self._rows_per_file}
        self._journal = np.zeros(self.shape[0], "<u8")
        with guarded(folder):
            if folder.exists():
                self._reopen()

    def claim(self, wanted: Indices) -> np.ndarray:
        """The missing rows; says what they take on the disk.

        Raises:
            StorageError: No room for them; nothing has been written.
        """
        rows = super().claim(wanted)
        missing = rows[self._states()[rows] == 0]
        if len(missing):
            with guarded(self._folder.parent):
                if shutil.disk_usage(self._folder.parent).free < len(missing) * self._row_bytes:
                    raise OSError(errno.ENOSPC, "No space left on device")
            there = len(rows) - len(missing)
            say(f"Cache: {amount(len(missing) * self._row_bytes)} for {self._what} in {self._folder.parent}"
                + (f"; {there:,} of {len(rows):,} are there." if there else "."), aside=True)
            self._create()
        return missing

    def write(self, rows: Indices, values: np.ndarray) -> None:
        contents = [np.ascontiguousarray(value, self._dtype).tobytes() for value in values]
        numbers = np.asarray(rows, dtype=int) // self._rows_per_file
        for number in np.unique(numbers):
            with guarded(self._folder), (self._folder / values_file(number)).open("r+b") as stream:
                for place in np.flatnonzero(numbers == number).tolist():
                    stream.seek(int(rows[place]) % self._rows_per_file * self._row_bytes)
                    stream.write(contents[place])
        self._enter(rows, [_PRESENT << 32 | zlib.crc32(content) for content in contents])

    def write_blank(self, rows: Indices) -> None:
        self._enter(rows, [_BLANK << 32] * len(rows))

    def blank(self) -> list[int]:
        return np.flatnonzero(self._states() == _BLANK).tolist()

    def values(self) -> Stored:
        if not math.prod(self.shape):
            return np.empty(self.shape, self._dtype)
        return MappedRows(self._folder, self.shape, self._dtype.name, self._rows_per_file)

    def _states(self) -> np.ndarray:
        return self._journal >> 32

    def _enter(self, rows: Indices, numbers: list[int]) -> None:
        self._journal[rows] = numbers
        with guarded(self._folder), (self._folder / JOURNAL).open("r+b") as stream:
            for row in rows:
                stream.seek(int(row) * 8)
                stream.write(self._journal[row].tobytes())

    def _create(self) -> None:
        """Make sparse files of the full length."""
        if (self._folder / HEADER).exists():
            return
        with guarded(self._folder):
            self._folder.mkdir(exist_ok=True)
            for name, size in self._sizes().items():
                with (self._folder / name).open("wb") as stream:
                    stream.truncate(size)
            # Last, because it makes the folder an array; half a header is no JSON, and so no array.
            header = json.dumps({**self._header, "what": self._what}, indent=2, ensure_ascii=False)
            (self._folder / HEADER).write_text(header + "\n", encoding="utf-8")

    def _reopen(self) -> None:
        """Read the journal and check every row that it names."""
        if reason := self._unusable():
            say(f"Cache: {self._what} {reason} and is made again.", aside=True)
            remove_files(self._folder)
            return
        self._journal = np.fromfile(self._folder / JOURNAL, "<u8")
        self._journal[~np.isin(self._states(), (0, _PRESENT, _BLANK))] = 0
        damaged = []
        present = np.flatnonzero(self._states() == _PRESENT)
        for number in np.unique(present // self._rows_per_file):
            with (self._folder / values_file(number)).open("rb", buffering=0) as stream:
                for row in present[present // self._rows_per_file == number].tolist():
                    stream.seek(row % self._rows_per_file * self._row_bytes)
                    if zlib.crc32(stream.read(self._row_bytes)) != int(self._journal[row]) & 0xFFFFFFFF:
                        damaged.append(row)
        if damaged:
            say(f"Cache: {len(damaged):,} of {self.shape[0]:,} rows damaged, made again: {self._what}.",
                aside=True)
            self._enter(damaged, [0] * len(damaged))

    def _unusable(self) -> str:
        """Why the array in the folder can't be used; "" where it can."""
        try:
            header = read_json(self._folder / HEADER)
            sizes = {name: (self._folder / name).stat().st_size for name in self._sizes()}
        except (FileNotFoundError, ValueError):
            return "is damaged"
        if not isinstance(header, dict) or {**header, "what": ""} != {**self._header, "what": ""}:
            return "was kept by another version"
        return "" if sizes == self._sizes() else "is damaged"

    def _sizes(self) -> dict[str, int]:
        """The bytes of each file but the header."""
        starts = range(0, max(1, self.shape[0]), self._rows_per_file)
        sizes = [min(self._rows_per_file, self.shape[0] - start) * self._row_bytes for start in starts]
        return {**{values_file(number): size for number, size in enumerate(sizes)},
                JOURNAL: self._journal.nbytes}


@dataclass(frozen=True, slots=True)
class Kept:
    """One array of a cache: its folder, its kind and what it is in words.

    Attributes:
        bytes: Space that it takes on the disk.
        written: Time of its last row, in seconds since 1970.
    """

    folder: Path
    kind: str
    what: str
    bytes: int
    written: float


class Cache:
    """Arrays in a folder, which is made with the first array."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def rows(self, kind: str, key: Mapping[str, Any], *, shape: Sequence[int], dtype: str,
             what: str) -> Iterator[Rows]:
        """Open an array to fill it; another process that wants the same one waits until the block ends.

        Args:
            kind: "pixels", "films", "views" …: a word in small letters.
            key: Everything that the values depend on, as JSON holds it.
            dtype: Name of a NumPy type, or bfloat16.
            what: What it is, in words for messages.

        Raises:
            StorageError: No permission to write to the folder.
        """
        header = {"format": FORMAT, "kind": kind, "key": key, "shape": list(shape), "dtype": dtype}
        folder = self.folder / f"{kind}-{digest(key)[:32]}"
        lock = FileLock(f"{folder}{_LOCK}")
        make_folder(self.folder)
        with guarded(self.folder):
            try:
                lock.acquire(timeout=_SHORTLY)
            except Timeout:
                say(f"Cache: another process is making {what}; waiting for it.", aside=True)
                lock.acquire()
        try:
            yield DiskRows(folder, json.loads(json.dumps(header)), what=what)
        finally:
            lock.release()

    def entries(self) -> list[Kept]:
        """All arrays of the folder, those of other versions and unfinished ones too.

        A folder is one by its name, and by having nothing else in it.
        """
        with guarded(self.folder):
            folders = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
            return [_kept(folder) for folder in folders if _FOLDER.fullmatch(folder.name)
                    and folder.is_dir() and not folder.is_symlink()
                    and all(map(_is_ours, folder.iterdir()))]

    def size(self) -> int:
        """Bytes that the arrays take on the disk."""
        return sum(entry.bytes for entry in self.entries())

    def clear(self) -> tuple[int, list[Kept]]:
        """Remove every array that no process is filling; other files in the folder stay.

        Returns:
            Bytes that were freed, and the arrays that are in use.

        Raises:
            StorageError: No permission.
        """
        freed, in_use = 0, []
        for entry in self.entries():
            with guarded(self.folder):
                if self._remove(entry.folder):
                    freed += entry.bytes
                else:
                    in_use.append(entry)
        with guarded(self.folder):
            for lock in self.folder.glob(f"*{_LOCK}"):  # of arrays that were never begun
                if _FOLDER.fullmatch(lock.stem) and not lock.with_suffix("").exists():
                    self._remove(lock.with_suffix(""))
        return freed, in_use

    def _remove(self, folder: Path) -> bool:
        lock = FileLock(f"{folder}{_LOCK}")
        try:
            with lock.acquire(timeout=0):
                if folder.exists():
                    remove_files(folder)
                with suppress(PermissionError):  # Windows keeps a file that is open
                    Path(lock.lock_file).unlink()
        except Timeout:
            return False
        return True


@contextmanager
def open_rows(cache: Cache | None, kind: str, key: Mapping[str, Any], *, shape: Sequence[int], dtype: str,
              what: str) -> Iterator[Rows]:
    """`Cache.rows`, or an array in memory where there is no cache."""
    if cache is None:
        yield Rows(shape, dtype)
    else:
        with cache.rows(kind, key, shape=shape, dtype=dtype, what=what) as rows:
            yield rows


def digest(content: Any) -> str:
    """SHA-256, hexadecimal, of something that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _kept(folder: Path) -> Kept:
    try:
        what = str(read_json(folder / HEADER)["what"])
    except (OSError, ValueError, KeyError, TypeError):
        what = "kept by another version, or damaged"
    files = [path.stat() for path in folder.iterdir()]
    # Rows that aren't there take no room, so a file's length may say too much; Windows knows no blocks.
    room = sum(file.st_blocks * 512 if hasattr(file, "st_blocks") else file.st_size for file in files)
    return Kept(folder, folder.name.partition("-")[0], what, room,
                max((file.st_mtime for file in files), default=folder.stat().st_mtime))


def _is_ours(path: Path) -> bool:
    return path.name in (HEADER, JOURNAL) or bool(_VALUES.fullmatch(path.name))


def read_rows(array: Stored, index: Any) -> np.ndarray:
    """A copy of `array[index]`; the pages of a memory-mapped array are given back to the system.

    A mapped page that was read counts as this process's memory until another process needs it, though the
    system has it in its own cache as well.
    """
    part = array[index]
    if isinstance(array, MappedRows):
        return part
    rows = np.array(part) if np.may_share_memory(part, array) else np.asarray(part)
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):  # Windows has no such call
        mapped.madvise(mmap.MADV_DONTNEED)
    return rows


def amount(size: int) -> str:
    """Bytes in words: "262 MB"."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def remove_files(folder: Path) -> None:
    """Remove the files of an array, and the folder unless something else lies in it."""
    (folder / HEADER).unlink(missing_ok=True)  # first: without it, it is no array any more
    for path in filter(_is_ours, list(folder.iterdir())):
        path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
