"""Writing so that a killed run leaves the last good files: a temporary name first, then a rename.

In tables no cell is left that a spreadsheet would run as a formula.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import shutil
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from lzma import LZMAError
from math import isfinite
from pathlib import Path
from tokenize import TokenError  # of a header in NumPy's format
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

from filelock import FileLock, Timeout

from pneumo_tf.errors import StorageError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_REASONS = {
    errno.ENOSPC: ("the disk is full", "Free some space or name a folder on another disk."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space or name a folder on another disk."),
    errno.EROFS: ("the file system is read-only", "Name a folder that you may write to."),
    errno.EACCES: ("permission denied", "Name a folder that you may write to."),
    errno.EPERM: ("operation not permitted", "Name a folder that you may write to."),
    errno.ENOENT: ("a folder on the way doesn't exist", "Name a folder that you may write to."),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "Name another folder."),
    errno.EISDIR: ("a folder of that name is in the way", "Name another file, or move that folder."),
    errno.EEXIST: ("a file of that name is in the way", "Name another folder, or move that file."),
}
# What the standard library raises for a damaged zip, an unknown compression and a missing password.
DAMAGED_ZIP = (BadZipFile, zlib.error, LZMAError, EOFError, LookupError, ValueError, OverflowError,
               RuntimeError, struct.error)
_DENSE, _DENSE_FROM = 200, 10 * 2**20  # small members may well shrink that much: a file of zeros
_LARGEST_JSON = 2**28  # bytes; the record of a million films has fewer
# What spreadsheets compute (OWASP, CSV injection), behind apostrophes that are ours or another program's.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def storage_error(path: Path, failure: OSError) -> StorageError:
    """Say what an OSError while writing means for the person who waits for the result."""
    reason, remedy = _REASONS.get(failure.errno or 0, (str(failure), "Name another folder."))
    return StorageError("Results must be written to a folder with room and permission.",
                        received=f"{path} ({reason})", remedy=remedy)


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn an OSError while writing below `path` into a StorageError."""
    try:
        yield
    except OSError as failure:
        raise storage_error(path, failure) from failure


def make_folder(path: Path) -> Path:
    """Create a folder and prove that it can be written to, before any work is spent.

    Raises:
        StorageError: Read-only, full, or a file in the way.
    """
    with guarded(path):
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable-{uuid.uuid4().hex}"
        probe.write_bytes(b"")
        probe.unlink()
    return path


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock file `path`, and yield whether it could be had; it is gone afterwards."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):  # Windows removes no file that is open
            path.unlink()
        lock.release()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to it on success and removed on failure.

    The name's end is kept, because Keras and Pillow choose the format by it (`.h5`, `.weights.h5`).

    Raises:
        StorageError: Where the disk refuses.
    """
    with temporary(path) as new:
        yield new
        put(new, path)


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Yield a hidden name beside `path` for a file or a folder, which is gone afterwards.

    It tells its process, so that the next one that writes to the folder removes what a killed one left.

    Raises:
        StorageError: Where the disk refuses.
    """
    new = path.with_name(f".{_machine()}-{os.getpid():x}-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        with guarded(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _tidy(path.parent, os.getpid())
            yield new
    finally:
        _discard(new)


def put(new: Path, path: Path) -> None:
    """Rename a file or a folder to `path`; where both are folders, the old one gives way as a whole.

    Raises:
        OSError: The disk refuses.
    """
    if not (new.is_dir() and path.is_dir()):
        new.replace(path)
        return
    with temporary(path) as old:
        path.rename(old)
        new.rename(path)


def remove(folder: Path) -> None:
    """Remove a folder, if it is there, as a whole: a kill leaves all of it under its name, or nothing.

    Raises:
        StorageError: The disk refuses.
    """
    with temporary(folder) as old, guarded(folder), suppress(FileNotFoundError):
        folder.rename(old)


@lru_cache  # a folder of many films is looked through once by each process, not for every film
def _tidy(folder: Path, _process: int) -> None:
    """Remove what killed processes of this machine left in a folder."""
    for left in folder.glob(f".{_machine()}-*-????????-*"):
        if _is_over(int(left.name.split("-")[1], 16)):
            _discard(left)


def _machine() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _is_over(process: int) -> bool:
    import psutil  # seldom needed

    return not psutil.pid_exists(process)


def _discard(left: Path) -> None:
    # What can't be tidied up must not hide the error that led here, e.g. a parent that is a file.
    with suppress(OSError):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")


def read_json(path: Path, *, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The content of a JSON file, whoever wrote it.

    Args:
        path: Of a file that a person or a program may have changed.
        hook: Is given every object, as `json.loads` does.

    Raises:
        OSError: It can't be opened.
        ValueError: No UTF-8, no JSON, NaN or an infinite number, which JSON doesn't have, nested deeper than
            Python can follow, or larger than any file of ours.
    """
    if path.stat().st_size > _LARGEST_JSON:
        raise ValueError(f"more than {_LARGEST_JSON:,} bytes")
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_hook=hook, parse_constant=_no_number,
                          parse_float=_finite)
    except RecursionError as failure:
        raise ValueError("nested too deeply") from failure


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    return number if isfinite(number := float(digits)) else _no_number(digits)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file, whoever wrote it; nothing in it is executed.

    Raises:
        OSError: It can't be opened.
        ValueError: It is damaged, holds something else than arrays, or unpacks to far more than it is.
    """
    import numpy as np

    try:
        with ZipFile(path) as archive:
            refuse_dense(archive)
        with np.load(path, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
    except (*DAMAGED_ZIP, TypeError, MemoryError, SyntaxError, TokenError) as failure:
        raise ValueError(str(failure) or type(failure).__name__) from failure
    if foreign := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise ValueError(f"{foreign[0]} is no array")
    return arrays


def is_dense(member: ZipInfo) -> bool:
    """Whether a member of an archive unpacks to more than 10 MiB, and to over 200 times its packed size."""
    return member.file_size > max(_DENSE_FROM, _DENSE * member.compress_size)


def refuse_dense(archive: ZipFile) -> None:
    """Refuse an archive of which a few bytes unpack to very many.

    Raises:
        ValueError: It has a member that `is_dense`.
    """
    for member in archive.infolist():
        if is_dense(member):
            raise ValueError(f"{member.filename!r}, {member.compress_size:,} bytes that unpack to "
                             f"{member.file_size:,}")


def write_json(path: Path, content: Any) -> None:
    """Write readable UTF-8 JSON atomically; NaN is refused, because JSON has none."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as UTF-8 CSV, atomically; `from_csv` gives its cells back."""
    with replacing(path) as new:
        _each_cell(frame, harmless).to_csv(new, index=False, lineterminator="\n", encoding="utf-8")


def from_csv(frame: pd.DataFrame) -> pd.DataFrame:
    """A table that was read, with headings and cells as they were before `write_csv`.

    Raises:
        ValueError: Two headings were the same then.
    """
    table = _each_cell(frame, as_it_was)
    for heading in table.columns[table.columns.duplicated()]:
        raise ValueError(f"two columns {heading!r}")
    return table


def harmless(cell: Any) -> Any:
    """A cell of a CSV that no spreadsheet takes for a formula: with an apostrophe before it, if need be."""
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def as_it_was(cell: Any) -> Any:
    """A cell or a heading as it was before it was made `harmless`."""
    return cell[1:] if isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell) else cell


def _each_cell(frame: pd.DataFrame, change: Callable[[Any], Any]) -> pd.DataFrame:
    text = frame.select_dtypes(exclude=["number", "bool"])
    return frame.assign(**{str(name): each_cell(text[name], change) for name in text}).rename(columns=change)


def each_cell(column: pd.Series, change: Callable[[Any], Any]) -> pd.Series:
    """A column with every cell changed; equal texts become one object, as a million rows need it."""
    import pandas as pd

    if pd.api.types.infer_dtype(column) != "string":
        return column.map(change)
    codes, texts = pd.factorize(column)
    changed = pd.Series([change(text) for text in texts], dtype=object)
    return pd.Series(changed.to_numpy()[codes], index=column.index, name=column.name, dtype=object)
