"""Folders and files: the project root, and how a path that a person typed is looked up."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pneumo_tf.errors import OptionError, PneumoError, closest
from pneumo_tf.names import clean

PREPARED_FOLDER = "clasificacion"
LABELS_FILE = "labels/labels.csv"
MODEL_FOLDER = "model"
CACHE_FOLDER = "model/cache"
# What Windows keeps for devices, whatever follows a dot behind it.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_LONGEST = 100


def project_root() -> Path:
    """The checkout that this package lies in; installed without one, the current folder."""
    checkout = Path(__file__).resolve().parents[1]
    is_checkout = (checkout / "pyproject.toml").is_file() and (checkout / "scripts").is_dir()
    return checkout if is_checkout else Path.cwd()


def find_existing(path: str | Path, *, what: str, remedy: str, error: type[PneumoError]) -> Path:
    """Look a path up in the current folder, then under the project root.

    Raises:
        error: Where neither exists; the message names both paths that were tried.
    """
    wanted = Path(path).expanduser()
    roots = [Path()] if wanted.is_absolute() else list(dict.fromkeys([Path.cwd(), project_root()]))
    for root in roots:
        if (root / wanted).exists():
            return root / wanted
    if near := next(filter(None, (_near(root, wanted) for root in roots)), ""):
        remedy = f"Did you mean {near}? {remedy}"
    tried = [str(root / wanted) for root in roots]
    raise error(f"The {what} must exist.", received=f"{path}, found neither at {tried[0]} nor {tried[-1]}"
                if len(tried) > 1 else f"{path}, not found at {tried[0]}", remedy=remedy)


def _near(root: Path, wanted: Path) -> str:
    """A path below `root` that exists and is spelled nearly like one that doesn't; empty where none is."""
    place = root
    for part in wanted.parts:
        if not (place / part).exists():
            known = place.iterdir() if place.is_dir() and os.access(place, os.R_OK) else ()
            part = closest(part, (entry.name for entry in known))
        if not part:
            return ""
        place /= part
    of_its_kind = place.is_file() == bool(wanted.suffix)
    return str(place if wanted.is_absolute() else place.relative_to(root)) if of_its_kind else ""


def folder_name(name: str, *, what: str) -> str:
    """A name that a person gave, which does as the name of one folder on every system.

    Raises:
        OptionError: It is empty, too long, reserved, begins or ends with a dot, or holds a sign that file
            systems give a meaning.
    """
    name = clean(name)
    if len(name) > _LONGEST or name[:1] == "." or not is_portable(name):
        raise OptionError(f"The name of {what} must do as a folder's.", received=repr(name),
                          remedy="Name it with letters, digits and hyphens, e.g. --name clinic-2.")
    return name


def is_portable(name: str) -> bool:
    """Whether a name means a file of that name on every system.

    On Windows `CON.png` is the terminal, and what follows a colon is another stream of the file.
    """
    return bool(name) and name[-1] not in ". " and not _RESERVED.fullmatch(name) \
        and not set(name) & set('/\\:*?"<>|') and name.isprintable()


def output_path(path: str | Path | None, *, default: str) -> Path:
    """A path to write to: as typed (relative to the current folder), else the default under the root."""
    return project_root() / default if path is None else Path(path).expanduser().absolute()
