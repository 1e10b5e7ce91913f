"""What came in to be read: a film, folders, archives, patterns, a list on standard input; film by film.

Nothing is held but the film at hand, the names in its folder, and a hash of each film that came before.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from glob import glob
from io import TextIOWrapper
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pneumo_tf.data.dicom import identify
from pneumo_tf.data.images import FORMATS, open_film
from pneumo_tf.data.listing import no_film
from pneumo_tf.data.preparation.record import MANIFEST, RECORD
from pneumo_tf.data.sources import Entry, Folder, Zip, cannot_open, file_entry
from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.places import find_existing

LIST = "-"
_HIDDEN = ("macOS shadow file", "system or hidden file")
_NO_IMAGE = "not an image file"
_DICOM = next(row.suffixes for row in FORMATS if row.reader == "DICOM")
PassedOver = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A film that is to be read.

    Attributes:
        id: Its path within what was given, with "/" between folders and signs that can't be seen escaped; of
            a DICOM film, whose folders are called after patients, its instance UID.
        read: Gives the bytes of its file.
        path: Its file; None inside an archive.
        trouble: Why its file can't be read, or "".
        key: What tells its file from others: where it lies, or of DICOM its content, since an instance is
            often there twice.
    """

    id: str
    read: Callable[[], bytes]
    path: Path | None = None
    trouble: str = ""
    key: str = ""


class Given(NamedTuple):
    """A file, a folder or a .zip that was named, or `LIST`; and how it was typed."""

    typed: str
    path: Path

    @property
    def is_list(self) -> bool:
        return self.typed == LIST

    @property
    def is_archive(self) -> bool:
        return self.path.suffix.casefold() == ".zip" and self.path.is_file()

    @property
    def is_film(self) -> bool:
        return not (self.is_list or self.is_archive or self.path.is_dir())


def find_given(typed: Sequence[str]) -> list[Given]:
    """What was named, a pattern such as `films/*.png` as all that fits it.

    Raises:
        FilmError: Something doesn't exist, or nothing fits a pattern.
        OptionError: A list on standard input beside something else.
    """
    if LIST in typed and len(typed) > 1:
        raise OptionError("A list on standard input must come alone.", received=" ".join(typed[:5]),
                          remedy="Put the other paths into the list.")
    return [given for word in typed for given in _found(word)]


def _found(word: str) -> list[Given]:
    if word == LIST:
        return [Given(LIST, Path(LIST))]
    if set(word) & set("*?[") and not Path(word).exists():
        found = sorted(glob(word, recursive=True))  # noqa: PTH207  (as it was typed, absolute or not)
        if not found:
            raise FilmError("Some file must fit the pattern.", received=word,
                            remedy="Correct it, or name the folder of the films.")
        return [Given(name, Path(name)) for name in found]
    path = find_existing(word, what="film, folder or archive", error=FilmError,
                         remedy="Name what is to be read, or - for a list on standard input.")
    return [Given(word, path)]


@contextmanager
def opened(given: Sequence[Given], *, pass_over: PassedOver = lambda _: None,
           listed: Iterable[str] | None = None) -> Iterator[Iterator[Incoming]]:
    """Yield the films, one after the other, in an order that is the same each time.

    Of a folder or an archive that is every file that is called like an image or is one; hidden files and the
    records of a preparation are left alone.

    Args:
        given: As `find_given` gives it.
        pass_over: Told the name of every file that is no image, neither by its name nor by its content.
        listed: Lines of paths, for `LIST`; None reads standard input.

    Raises:
        FilmError: An archive that can't be trusted, or one of films that were prepared before.
    """
    with ExitStack() as open_archives:
        archives = {one.path: open_archives.enter_context(Zip(one.path)) for one in given if one.is_archive}
        for archive in archives.values():
            _refuse_prepared(archive)
        if listed is None and isinstance(sys.stdin, TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # a name in any encoding
        yield _once(_films(given, archives, pass_over, sys.stdin if listed is None else listed))


def _films(given: Sequence[Given], archives: dict[Path, Zip], pass_over: PassedOver,
           listed: Iterable[str]) -> Iterator[Incoming]:
    for one in given:
        # Alone, a folder says nothing that its films don't.
        prefix = "" if len(given) == 1 else f"{one.typed.rstrip('/')}/"
        if one.is_list:
            names = (line.rstrip("\r\n") for line in listed)
            yield from (_of_file(Path(name).expanduser(), name) for name in names if name.strip())
        elif one.is_film:
            yield _of_file(one.path, one.typed)
        elif one.path in archives:
            archive = archives[one.path]
            for entry in archive.entries():
                yield from _of_entry(entry, prefix, partial(archive.read, entry.file), None, pass_over)
        else:
            folder = Folder(one.path)
            for entry in folder.walk():
                yield from _of_entry(entry, prefix, partial(folder.read, entry.file), one.path / entry.file,
                                     pass_over)


def _once(films: Iterable[Incoming]) -> Iterator[Incoming]:
    """The films without files that came before, of which no more than hashes are kept.

    Another file under an id that is taken is another film, though it claims to be the same instance: the id
    gets a number, e.g. "1.2.840 (2)".
    """
    files, ids = set[int](), set[int]()  # an id that is its film's key is among the files alone
    taken = Counter[int]()  # how many others have an id that was taken
    for film in films:
        file, name = hash(film.key), hash(film.id)
        if file in files:
            continue
        if name in ids or name in files:
            taken[name] += 1
        files.add(file)
        if name != file:
            ids.add(name)
        yield replace(film, id=f"{film.id} ({1 + taken[name]})") if taken[name] else film


def _of_file(path: Path, typed: str) -> Incoming:
    """A film that was named: whatever it turns out to be, there is an answer to it."""
    trouble = file_entry(path, typed).trouble
    name, key = _called(path.read_bytes, typed, trouble)
    return Incoming(name, path.read_bytes, path, trouble, key)


def _of_entry(entry: Entry, prefix: str, read: Callable[[], bytes], path: Path | None,
              pass_over: PassedOver) -> Iterator[Incoming]:
    """A film of a folder or an archive; nothing where it is none."""
    why = no_film(entry)
    if why in _HIDDEN or PurePosixPath(entry.file).name in (MANIFEST, RECORD):
        return
    name = prefix + entry.file
    if why == _NO_IMAGE and not entry.trouble and not _shows_image(read):
        pass_over(_visible(name))
        return
    may_be_dicom = entry.is_dicom or PurePosixPath(entry.file).suffix.casefold() in _DICOM
    called, key = _called(read, name, entry.trouble) if may_be_dicom else (_visible(name), name)
    yield Incoming(called, read, path, entry.trouble, key)


def _shows_image(read: Callable[[], bytes]) -> bool:
    try:
        open_film(read(), decode=False)
    except (FilmError, OSError):
        return False
    return True


def why_unread(failure: FilmError | OSError, name: str) -> str:
    """In a few words, why a film couldn't be read; a format that isn't read is known by its name."""
    if isinstance(failure, OSError):
        return cannot_open(failure)
    by_name = no_film(Entry(name, 0))
    return by_name if by_name not in ("", _NO_IMAGE, *_HIDDEN) else failure.received


def _refuse_prepared(archive: Zip) -> None:
    if any(PurePosixPath(entry.file).name == RECORD for entry in archive.entries()):
        raise FilmError("Films that were prepared before must lie in their folder.",
                        received=f"{archive.path} with a {RECORD}",
                        remedy="Unpack it, and name the folder.")


def _called(read: Callable[[], bytes], name: str, trouble: str) -> tuple[str, str]:
    """The id and the key of a film that may be DICOM."""
    try:
        data = b"" if trouble else read()
        identity = identify(data)
    except (OSError, FilmError):  # which is said when it is read again
        identity = None
    if identity is None:
        return _visible(name), name
    return identity.instance, identity.instance + hashlib.sha256(data).hexdigest()


def _visible(name: str) -> str:
    """A name on one line of UTF-8, in which nothing is hidden."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
