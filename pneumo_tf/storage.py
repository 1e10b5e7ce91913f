"""Writing so that a killed run leaves the last good files: a temporary name first, then a rename.

In tables no cell is left that a spreadsheet would run as a formula.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from pneumo_tf.errors import StorageError

if TYPE_CHECKING:
    import pandas as pd

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
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        with guarded(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        _discard(temporary)


def _discard(temporary: Path) -> None:
    # What can't be tidied up must not hide the error that led here, e.g. a parent that is a file.
    with suppress(OSError):
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write readable UTF-8 JSON atomically; NaN is refused, because JSON has none."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as UTF-8 CSV, atomically; `from_csv` gives its cells back."""
    with replacing(path) as temporary:
        _each_cell(frame, harmless).to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


def from_csv(frame: pd.DataFrame) -> pd.DataFrame:
    """A table that was read, with headings and cells as they were before `write_csv`."""
    return _each_cell(frame, _as_it_was)


def harmless(cell: Any) -> Any:
    """A cell of a CSV that no spreadsheet takes for a formula: with an apostrophe before it, if need be."""
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def _as_it_was(cell: Any) -> Any:
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
