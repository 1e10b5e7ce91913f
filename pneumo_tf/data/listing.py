"""Which files of a source are films, and what their folders say: class, and split of origin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path, PurePosixPath

from pneumo_tf.cohort import Dropped
from pneumo_tf.data.images import SUFFIXES, UNREAD
from pneumo_tf.data.sources import Entry, Folder
from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.names import clean, fold, is_healthy

_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
ORIGINS = {"train": "train", "training": "train", "test": "test", "testing": "test",
           "val": "val", "valid": "val", "validation": "val"}
_USUAL_CLASSES = {"normal": "normal", "pneumonia": "pneumonia", "neumonia": "pneumonia"}
_USUAL_TREES = ("chest_xray", "chest_xray.zip", "archive.zip")


@dataclass(frozen=True, slots=True)
class Film:
    """A file that should be a film: its path within the source, its class and its split of origin."""

    file: str
    label: str
    origin: str


@dataclass(frozen=True)
class Listing:
    """What a source holds: films in natural order, and every other file with the reason against it."""

    films: tuple[Film, ...]
    others: dict[str, str]

    @property
    def labels(self) -> list[str]:
        return sorted({film.label for film in self.films})


def natural_order(file: str) -> tuple[list[str | int], str]:
    """Sorting key by which film 2 stands before film 10, whatever the letters' case."""
    parts = re.split(r"(\d+)", file)
    return [int(part) if part.isdecimal() else part.casefold() for part in parts], file


def printable(file: str) -> str:
    """The path as UTF-8 can hold it, in one spelling; an older encoding shows � for what it can't."""
    return clean(file.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def list_films(entries: Iterable[Entry], *, name: str = "", exclude: Sequence[str] = (),
               folders: Sequence[str] = ()) -> Listing:
    """Tell films from other files, and read their classes from their folders.

    The class is the first folder that is neither a split (train, test, val) nor a wrapper that all films
    share, such as `chest_xray`, in upper case.

    Args:
        entries: Files of the source.
        name: The class of all of them, where the source is one folder of one class.
        exclude: Patterns such as `*virus*`, against the path, the name or a folder of it.
        folders: Only these top folders of the source, or all.

    Raises:
        FilmError: No film, no class folder, or a `name` for a source that has classes of its own.
        OptionError: A pattern in `exclude` that fits no file.
    """
    wanted = [entry for entry in entries if not folders or entry.file.partition("/")[0] in folders]
    _refuse_idle_patterns(wanted, exclude)
    others = {entry.file: reason for entry in wanted
              if (reason := no_film(entry, exclude) or entry.trouble)}
    files = sorted({entry.file for entry in wanted} - others.keys(), key=natural_order)
    wrapper = _wrapper(files)
    films = [Film(file, _label(file, wrapper), _origin(file)) for file in files]
    if name:
        _refuse_other_classes(films, name)
        return Listing(tuple(Film(film.file, name, film.origin) for film in films), others)
    others |= {film.file: "not in a class folder" for film in films if not film.label}
    return Listing(tuple(film for film in films if film.label), others)


def find_films(folder: Path) -> tuple[list[str], tuple[Dropped, ...]]:
    """Paths of the images within `folder`, relative to it, in natural order; and why the others aren't.

    Raises:
        FilmError: `folder` is no folder, or has no image, or one that can't be read as a file.
    """
    if not folder.is_dir():
        raise FilmError("Films must lie in a folder.", received=f"{folder}, which is no folder",
                        remedy="Unpack and prepare archives with prepare_pict.py, then name its folder.")
    entries = Folder(folder).entries()
    others = {entry.file: reason for entry in entries if (reason := no_film(entry))}
    films = [entry for entry in entries if entry.file not in others]
    if trouble := [film for film in films if film.trouble]:
        raise FilmError("Every film must be a readable file.",
                        received=f"{folder / trouble[0].file} ({trouble[0].trouble})",
                        remedy="Replace it or leave it out.")
    if not films:
        raise FilmError("A folder of films must hold at least one image.",
                        received=f"{folder} without any {', '.join(SUFFIXES)}",
                        remedy="Fill it with prepare_pict.py, or name another folder.")
    left = tuple(Dropped(printable(file), others[file]) for file in sorted(others, key=natural_order))
    return sorted((film.file for film in films), key=natural_order), left


def find_source(roots: Sequence[Path]) -> tuple[Path, tuple[str, ...]]:
    """The first of several folders with films: `normal/` and `pneumonia/` in any case, or `chest_xray`.

    Returns:
        The source, and the only folders of it that are meant (none: all).

    Raises:
        FilmError: None in any of them, or both kinds in one.
    """
    wanted = "normal/ with pneumonia/, " + ", ".join(_USUAL_TREES[:-1]) + f" or {_USUAL_TREES[-1]}"
    for root in dict.fromkeys(roots):
        folders = _usual_folders(root)
        trees = [root / tree for tree in _USUAL_TREES if (root / tree).exists()]
        if folders and trees:
            raise FilmError("Without --source there must be only one source of films.",
                            received=f"{', '.join(folders)} and {trees[0].name} in {root}",
                            remedy="Say which with --source.")
        if folders or trees:
            return (root, folders) if folders else (trees[0], ())
    raise FilmError(f"Without --source there must be films to find: {wanted}.",
                    received="none in " + " nor in ".join(str(root) for root in dict.fromkeys(roots)),
                    remedy="Name the folder or .zip with --source.")


def _usual_folders(root: Path) -> tuple[str, ...]:
    names = sorted(child.name for child in root.iterdir()
                   if fold(child.name) in _USUAL_CLASSES and child.is_dir())
    return tuple(names) if {_USUAL_CLASSES[fold(name)] for name in names} == {"normal", "pneumonia"} else ()


def no_film(entry: Entry, exclude: Sequence[str] = ()) -> str:
    """Why a file is passed over; empty for a film, which is told by its suffix or as DICOM."""
    path = _path(entry.file)
    if "__MACOSX" in path.parts or path.name.startswith("._"):
        return "macOS shadow file"
    if path.name.casefold() in _SYSTEM_FILES or any(part.startswith(".") for part in path.parts):
        return "system or hidden file"
    if path.name.casefold() == "dicomdir":
        return "DICOM directory, whose films are files of their own"
    if any(_fits(entry.file, pattern) for pattern in exclude):
        return "excluded by --exclude"
    suffix = path.suffix.casefold()
    return "" if suffix in SUFFIXES or entry.is_dicom else UNREAD.get(suffix, "not an image file")


def _fits(file: str, pattern: str) -> bool:
    path = _path(file)
    texts = (file, str(path), *path.parts, *map(str, path.parents))
    return any(fnmatch(text, clean(pattern).rstrip("/")) for text in texts)


def _refuse_idle_patterns(entries: Sequence[Entry], exclude: Sequence[str]) -> None:
    for pattern in exclude:
        if not any(_fits(entry.file, pattern) for entry in entries):
            raise OptionError("Every --exclude pattern must fit a file of the source.", received=pattern,
                              remedy="Correct it, e.g. --exclude '*virus_9002*', or leave it out.")


def _wrapper(files: Sequence[str]) -> list[str]:
    """Folders that all films share, less the last one where nothing else could be the class."""
    paths = [path for file in files if (path := _folders(file))]
    shared = [level[0] for level in takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))]
    return shared[:-1] if all(path == shared for path in paths) else shared


def _label(file: str, wrapper: Sequence[str]) -> str:
    below_split = _path(file).parts[_end_of_splits(file):-1]
    folders = list(below_split) if _origin(file) and below_split else _folders(file)[len(wrapper):]
    while len(folders) > 1 and folders[0] in wrapper:  # a second copy nested in the first
        folders = folders[1:]
    return folders[0].strip().upper() if folders else ""


def _origin(file: str) -> str:
    end = _end_of_splits(file)
    return ORIGINS[_path(file).parts[end - 1].casefold()] if end else ""


def _end_of_splits(file: str) -> int:
    """Number of leading folders up to and with the last train, test or val; 0 without any."""
    folders = _path(file).parts[:-1]
    return max((depth for depth, part in enumerate(folders, start=1) if part.casefold() in ORIGINS),
               default=0)


def _folders(file: str) -> list[str]:
    return [part for part in _path(file).parts[:-1] if part.casefold() not in ORIGINS]


def _path(file: str) -> PurePosixPath:
    return PurePosixPath(clean(file.replace("\\", "/")))  # some Windows programs write zips so


def _refuse_other_classes(films: Sequence[Film], name: str) -> None:
    labels = {film.label for film in films if film.label}
    if len(labels) > 1 and any(label == name or is_healthy(label) or fold(label) in _USUAL_CLASSES
                               for label in labels):
        raise FilmError("--name is for one folder of one class.",
                        received=f"--name {name} and the class folders {', '.join(sorted(labels))}",
                        remedy="Name the folder of that class alone, or leave --name out.")
