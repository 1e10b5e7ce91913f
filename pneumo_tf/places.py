"""Folders and files: the project root, and how a path that a person typed is looked up."""

from __future__ import annotations

from pathlib import Path

from pneumo_tf.errors import OptionError, PneumoError

PREPARED_FOLDER = "clasificacion"
LABELS_FILE = "labels/labels.csv"
MODEL_FOLDER = "model"
CACHE_FOLDER = "model/cache"


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
    tried = [wanted] if wanted.is_absolute() else [Path.cwd() / wanted, project_root() / wanted]
    for candidate in tried:
        if candidate.exists():
            return candidate
    named = " nor ".join(dict.fromkeys(map(str, tried)))
    raise error(f"The {what} must exist.", received=f"{path}, found neither at {named}"
                if len(set(tried)) > 1 else f"{path}, not found at {named}", remedy=remedy)


def output_path(path: str | Path | None, *, default: str) -> Path:
    """A path to write to: as typed (relative to the current folder), else the default under the root."""
    return project_root() / default if path is None else Path(path).expanduser().absolute()


def folder_name(name: str, *, what: str) -> str:
    """A name that becomes a folder's: one visible part of a path, on any system.

    Args:
        name: As it was typed.
        what: What is named, for the message.

    Raises:
        OptionError: A blank, hidden or unprintable name, or one that leads to another folder.
    """
    if not name.strip() or name.startswith(".") or set(name) & set("/\\:") or not name.isprintable():
        raise OptionError(f"The name of {what} must do as a folder's.", received=repr(name),
                          remedy="Name it with letters and digits, e.g. --name clinic.")
    return name.strip()
