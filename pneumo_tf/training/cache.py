"""A folder of arrays that are made once: the pixels of films, the outputs of frozen networks.

Each lies in a folder named by its kind and by a hash over everything that its values depend on, so what
depends on something else is another array, and a run finds only what is right for it.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pneumo_tf.storage import guarded, make_folder
from pneumo_tf.training.rows import FACTS, JOURNAL, VALUES, DiskRows, MemoryRows, Rows, remove_files

FORMAT = 1  # of an array's files; those of another one are made again
_FOLDER = re.compile(r"([a-z]+)-[0-9a-f]{32}")
_LOCK = ".lock"
_SHORTLY = 1.0  # seconds that another process may take before the wait is explained


@dataclass(frozen=True, slots=True)
class Kept:
    """One array of a cache.

    Attributes:
        folder: Where it lies.
        kind: "pixels", "films", "views" …
        what: What it is, in words.
        bytes: What it takes on the disk.
        written: When its last row was written, in seconds since 1970.
    """

    folder: Path
    kind: str
    what: str
    bytes: int
    written: float


class Cache:
    """Arrays in a folder, which is made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def rows(self, kind: str, key: Mapping[str, Any], *, shape: Sequence[int], dtype: str,
             what: str) -> Iterator[Rows]:
        """Open an array to fill it; another process that wants the same one waits until that is done.

        Args:
            kind: A word in small letters.
            key: Everything that the values depend on, as JSON holds it.
            shape: (number of rows, …).
            dtype: Name of a NumPy type, or bfloat16.
            what: What it is, for people.

        Raises:
            StorageError: No permission to write to the folder.
        """
        facts = {"format": FORMAT, "kind": kind, "key": key, "shape": list(shape), "dtype": dtype}
        name = f"{kind}-{digest(key)[:32]}"
        make_folder(self.folder)
        with self._alone(name, what):
            yield DiskRows(self.folder / name, json.loads(json.dumps(facts)), what=what)

    def entries(self) -> list[Kept]:
        """All arrays of the folder, also those of other versions and half-finished ones."""
        with guarded(self.folder):
            folders = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
            return [_kept(folder) for folder in folders if _is_ours(folder)]

    def size(self) -> int:
        """Bytes that the arrays take on the disk."""
        return sum(entry.bytes for entry in self.entries())

    def clear(self) -> tuple[int, list[Kept]]:
        """Remove every array that no process is filling; whatever else lies in the folder stays.

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
    def _alone(self, name: str, what: str) -> Iterator[None]:
        lock = FileLock(self.folder / f"{name}{_LOCK}")
        with guarded(self.folder):
            try:
                lock.acquire(timeout=_SHORTLY)
            except Timeout:
                print(f"Cache: another process is making {what}; waiting for it.", file=sys.stderr)
                lock.acquire()
        try:
            yield
        finally:
            lock.release()


@contextmanager
def open_rows(cache: Cache | None, kind: str, key: Mapping[str, Any], *, shape: Sequence[int], dtype: str,
              what: str) -> Iterator[Rows]:
    """`Cache.rows`, or an array in memory where there is no cache."""
    if cache is None:
        yield MemoryRows(shape, dtype)
    else:
        with cache.rows(kind, key, shape=shape, dtype=dtype, what=what) as rows:
            yield rows


def digest(content: Any) -> str:
    """SHA-256, hexadecimal, of something that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_ours(folder: Path) -> bool:
    """Whether a folder is an array of a cache: by its name, and by having nothing else in it."""
    if not _FOLDER.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
        return False
    return {path.name for path in folder.iterdir()} <= {FACTS, JOURNAL, VALUES}


def _kept(folder: Path) -> Kept:
    try:
        what = str(json.loads((folder / FACTS).read_text(encoding="utf-8"))["what"])
    except (OSError, ValueError, KeyError, TypeError):
        what = "kept by another version, or damaged"
    files = [path.stat() for path in folder.iterdir()]
    # Rows that aren't there take no room, so a file's length may say too much; Windows knows no blocks.
    room = sum(file.st_blocks * 512 if hasattr(file, "st_blocks") else file.st_size for file in files)
    return Kept(folder, folder.name.partition("-")[0], what, room,
                max((file.st_mtime for file in files), default=folder.stat().st_mtime))
