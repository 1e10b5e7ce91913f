"""Reading a source of films, a folder or a .zip, member by member and never trusting it.

Nothing is ever unpacked to disk, so a hostile member name has nowhere to go; an archive that holds one is
refused whole all the same, because nobody's films come in such an archive.
"""

from __future__ import annotations

import os
import re
import stat
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self, cast

from pneumo_tf.data.dicom import HEAD, begins_as_dicom
from pneumo_tf.data.images import SUFFIXES
from pneumo_tf.data.shards import is_shard, open_file, read_bytes, sizes_in
from pneumo_tf.errors import FilmError
from pneumo_tf.storage import DAMAGED_ZIP, is_dense

_MEBIBYTE = 2**20
LARGEST_FILM = 512 * _MEBIBYTE
LARGEST_ARCHIVE = 100 * 1024 * _MEBIBYTE


class Entry(NamedTuple):
    """One file of a source.

    Attributes:
        file: Path relative to the source, with "/" between folders.
        bytes: Size, unpacked.
        trouble: Why it can't be read as a film, or an empty string.
        is_dicom: Whether it is DICOM by its first bytes, where its name says nothing: films of a hospital's
            archive are often called IM000001 or 1.2.840.113619.
    """

    file: str
    bytes: int
    trouble: str = ""
    is_dicom: bool = False


class Folder:
    """A folder of films; links to folders are followed, links that lead back up are not.

    A shard of prepared films is one of its folders.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def entries(self, *, without: Path | None = None) -> list[Entry]:
        """Every file below the folder, except those below `without`.

        Raises:
            FilmError: A folder in it can't be read.
        """
        entries = list(self.walk(without=without))
        if closed := next((entry for entry in entries if entry.file.endswith("/")), None):
            raise FilmError("Every folder of the source must be readable.",
                            received=f"{self.path / closed.file} ({closed.trouble})",
                            remedy="Give yourself permission to read it, or move it elsewhere.")
        return entries

    def walk(self, *, without: Path | None = None) -> Iterator[Entry]:
        """The same one by one; a folder that can't be read is an entry whose name ends in "/"."""
        for entry in _walk(self.path, self.path, without.resolve() if without else None):
            yield entry if entry.trouble else entry._replace(is_dicom=_is_dicom(self, entry.file))

    def read(self, file: str) -> bytes:
        """Bytes of one file.

        Raises:
            OSError: The file is gone or may not be opened.
        """
        return read_bytes(self.path / file)

    def open(self, file: str) -> BinaryIO:
        """One file, to read its beginning alone.

        Raises:
            OSError: The file is gone or may not be opened.
        """
        return open_file(self.path / file)


class Zip:
    """A .zip of films, checked as a whole before anything in it is read.

    Raises:
        FilmError: Not a zip, damaged, encrypted, with a member name that leads out of it, or a zip bomb.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opening = uuid.uuid4().hex  # tells this archive from another one under its path, later
        try:
            self._zip = _open_zip(path)
        except DAMAGED_ZIP as failure:
            raise _damaged(path, str(failure)) from failure
        except OSError as failure:
            raise FilmError("A source of films must be readable.", received=f"{path} ({failure.strerror})",
                            remedy="Check the path and its permissions.") from failure
        with _closed_on_error(self._zip):
            _refuse_hostile(path, self._zip.infolist())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the archive anew, once for all of its tasks."""
        return _opened, (self.path, self._opening)

    def entries(self, *, without: Path | None = None) -> list[Entry]:
        """Every file of the archive; `without` is for folders and changes nothing here."""
        return [Entry(member.filename, member.file_size, is_dicom=_is_dicom(self, member.filename))
                for member in self._zip.infolist() if not member.is_dir()]

    def read(self, file: str) -> bytes:
        """Bytes of one member: never more than the archive declared, and with the right checksum.

        Raises:
            FilmError: The member is damaged.
        """
        try:
            with self._zip.open(file) as member:
                return member.read(self._zip.getinfo(file).file_size)
        except (*DAMAGED_ZIP, OSError) as failure:
            raise _damaged(self.path, f"{file}: {failure}") from failure

    def open(self, file: str) -> BinaryIO:
        """One member, to read its beginning alone.

        Raises:
            FilmError: The member is damaged.
        """
        try:
            return cast(BinaryIO, self._zip.open(file))
        except (*DAMAGED_ZIP, OSError) as failure:
            raise _damaged(self.path, f"{file}: {failure}") from failure


Source = Folder | Zip


def _is_dicom(source: Source, file: str) -> bool:
    """Whether a file is DICOM by its first bytes; not asked where its name says that it is an image."""
    if Path(file).suffix.casefold() in SUFFIXES:
        return False
    try:
        with source.open(file) as begun:
            return begins_as_dicom(begun.read(HEAD))
    except (OSError, FilmError, *DAMAGED_ZIP):
        return False


@lru_cache(maxsize=1)
def _opened(path: Path, opening: str) -> Zip:
    return Zip(path)


def open_source(path: Path) -> Source:
    """A folder or a .zip, ready to be listed and read; a context manager.

    Raises:
        FilmError: Neither a folder nor an acceptable .zip.
    """
    return Folder(path) if path.is_dir() else Zip(path)


def _open_zip(path: Path) -> zipfile.ZipFile:
    """The archive; names of no told encoding are UTF-8, as a Mac writes them, or else of code page 437."""
    try:
        return zipfile.ZipFile(path, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(path)


def _walk(folder: Path, root: Path, without: Path | None) -> Iterator[Entry]:
    here = folder.resolve()
    if here == without:
        return
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  (a path for each of a million films takes much memory)
    except OSError as failure:
        yield Entry(f"{folder.relative_to(root).as_posix()}/", 0, cannot_open(failure))
        return
    for name in names:
        child = folder / name
        if is_shard(child) and child.is_file():
            yield from _of_shard(child, root)
        elif not child.is_dir():
            yield file_entry(child, child.relative_to(root).as_posix())
        elif not (child.is_symlink() and here.is_relative_to(child.resolve())):
            yield from _walk(child, root, without)


def _of_shard(shard: Path, root: Path) -> Iterator[Entry]:
    file = shard.relative_to(root).as_posix()
    try:
        yield from (Entry(f"{file}/{name}", size) for name, size in sizes_in(shard))
    except OSError as failure:
        yield Entry(f"{file}/", 0, cannot_open(failure))


def file_entry(path: Path, file: str) -> Entry:
    """The entry of one file, under the name `file`."""
    try:
        facts = path.stat()
    except OSError as failure:
        return Entry(file, 0, cannot_open(failure))
    if not stat.S_ISREG(facts.st_mode):  # reading a pipe or a device would wait for ever
        return Entry(file, 0, "not a regular file")
    return Entry(file, facts.st_size, "larger than 512 MiB" if facts.st_size > LARGEST_FILM else "")


def cannot_open(failure: OSError) -> str:
    """Why a file can't be read."""
    return f"can't be opened ({os.strerror(failure.errno or 0)})"


def _refuse_hostile(path: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        if not member.filename:
            raise _damaged(path, "a member without a name")
        _refuse_name(path, member)
        _refuse_bomb(path, member)
        if member.flag_bits & 0x1:  # APPNOTE 4.4.4, bit 0
            raise FilmError("A source of films must not be encrypted.",
                            received=f"{path}, {member.filename!r}",
                            remedy="Unpack it with its password and name the folder.")
    total = sum(member.file_size for member in members)
    if total > LARGEST_ARCHIVE:
        raise _bomb(path, f"{total // _MEBIBYTE:,} MiB in all")


def _refuse_name(path: Path, member: zipfile.ZipInfo) -> None:
    """Refuse names that lead out on any system, and links, which may lead anywhere."""
    name = member.filename
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    # Windows passes over dots and spaces at the end of a name: ".. " is "..".
    leads_out = any(part.startswith("..") and not part.strip(". ") for part in re.split(r"[\\/]", name))
    if is_link or leads_out or re.match(r"[\\/]|[A-Za-z]:", name):
        raise FilmError("No member of an archive may lead out of it.",
                        received=f"{path} with {name!r}{', a link' if is_link else ''}",
                        remedy="Don't trust this archive; download the films from their publisher.")


def _refuse_bomb(path: Path, member: zipfile.ZipInfo) -> None:
    if member.file_size > LARGEST_FILM:
        raise _bomb(path, f"{member.filename!r} of {member.file_size // _MEBIBYTE:,} MiB")
    if is_dense(member):
        raise _bomb(path, f"{member.filename!r}, {member.compress_size:,} bytes "
                          f"that unpack to {member.file_size:,}")


def _bomb(path: Path, what: str) -> FilmError:
    return FilmError("An archive of films must unpack to a sensible size: 512 MiB a file, 200 times its "
                     "packed size, 100 GiB in all.", received=f"{path} with {what}",
                     remedy="Unpack it yourself and name the folder, if you trust it.")


def _damaged(path: Path, why: str) -> FilmError:
    return FilmError("A source of films must be a folder or an undamaged .zip.", received=f"{path} ({why})",
                     remedy="Download it again, or unpack it and name the folder.")


@contextmanager
def _closed_on_error(archive: zipfile.ZipFile) -> Iterator[None]:
    try:
        yield
    except FilmError:
        archive.close()
        raise
