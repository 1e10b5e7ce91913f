"""Prepared films in shards: archives of some thousand films each, where a file a film would be too many.

A film of a shard has a path like any other, below the shard's: `films-00003.zip/<name>.jpeg`. A shard is a
.zip that isn't compressed, so that any program reads it and a film is found without reading those before it.
"""

from __future__ import annotations

import errno
import re
import zipfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import BufferedReader, BytesIO
from pathlib import Path

_NAME = re.compile(r"films-(?:.+-)?\d{5}\.zip")
_OPEN = 16  # shards; an open one of 2,000 films holds two megabytes
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # a shard of the same films has the same bytes


def shard_name(number: int, label: str = "") -> str:
    """The file name of a shard, of the films of one class where they are prepared by themselves."""
    return f"films-{label}-{number:05}.zip" if label else f"films-{number:05}.zip"


def is_shard(path: Path) -> bool:
    """Whether a file is a shard by its name."""
    return bool(_NAME.fullmatch(path.name))


def write_shard(path: Path, films: Iterable[tuple[str, bytes]]) -> None:
    """Write films, each a name with the bytes of its file, into a shard.

    Raises:
        OSError: The disk refuses.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in films:
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), content)


def sizes_in(shard: Path) -> Iterator[tuple[str, int]]:
    """The name and the bytes of each film of a shard, in order.

    Raises:
        OSError: It can't be read.
    """
    return ((film.filename, film.file_size) for film in _archive(shard).infolist())


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, which may lie in a shard.

    Raises:
        OSError: It is gone, may not be opened, or is damaged.
    """
    if not is_shard(path.parent):
        return path.read_bytes()
    try:
        return _archive(path.parent).read(path.name)
    except KeyError as failure:
        raise FileNotFoundError(errno.ENOENT, "No such film in the shard", str(path)) from failure
    except zipfile.BadZipFile as failure:
        raise OSError(errno.EIO, str(failure), str(path)) from failure


def open_file(path: Path) -> BytesIO | BufferedReader:
    """A file that may lie in a shard, opened to be read.

    Raises:
        OSError: As `read_bytes`.
    """
    return BytesIO(read_bytes(path)) if is_shard(path.parent) else path.open("rb")


def is_file(path: Path) -> bool:
    """Whether there is such a file, or such a film in a shard."""
    if not is_shard(path.parent):
        return path.is_file()
    try:
        return path.name in _archive(path.parent).NameToInfo
    except OSError:
        return False


def folder_of(path: Path) -> Path:
    """The folder that a file lies in, or that its shard does."""
    return path.parent.parent if is_shard(path.parent) else path.parent


def _archive(shard: Path) -> zipfile.ZipFile:
    facts = shard.stat()
    return _opened(shard, facts.st_mtime_ns, facts.st_size)


@lru_cache(_OPEN)
def _opened(shard: Path, changed: int, size: int) -> zipfile.ZipFile:
    """A shard as it was at some time; threads may share it."""
    try:
        return zipfile.ZipFile(shard)
    except zipfile.BadZipFile as failure:
        raise OSError(errno.EIO, str(failure), str(shard)) from failure
