"""Runs that were stopped half-way: kept beside the finished ones until they are taken up again."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumo_tf.errors import OptionError, TrainingError, option_of
from pneumo_tf.storage import make_folder, write_json
from pneumo_tf.training.checkpoint import Checkpoint

FOLDER = ".unfinished"
_RECORD = "options.json"
# What may differ between the two halves of a run, because the result doesn't depend on it.
_FREE = {"command", "resume", "lang", "threads", "cache", "output", "synthetic"}


@dataclass(frozen=True, slots=True)
class Unfinished:
    """One run that isn't finished.

    Attributes:
        folder: Holds its options and its checkpoint; its name is the run's.
    """

    folder: Path

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.folder / "checkpoint.npz")

    def confirm_split(self, split_sha256: str) -> None:
        """Note the split at the run's first start; at later ones make sure that it is the same.

        Raises:
            TrainingError: Films or labels have changed in between.
        """
        record = _read(self.folder)
        if record.setdefault("split_sha256", split_sha256) != split_sha256:
            raise TrainingError("A run can go on only with the films and labels that it began with.",
                                received="films, labels or patients that have changed since",
                                remedy="Start the training again without --resume.")
        write_json(self.folder / _RECORD, record)


@contextmanager
def unfinished_run(runs: Path, name: str, options: Mapping[str, Any], *,
                   resume: bool) -> Iterator[Unfinished]:
    """A place for what a run must not lose; it goes when the run is finished.

    Args:
        runs: Folder of the finished runs.
        name: Of a run that begins.
        options: Everything the run depends on, ready for JSON.
        resume: Take up the last run with these options instead.

    Raises:
        OptionError: There is no unfinished run, or only with other options; the message names one.
    """
    settled = {key: value for key, value in json.loads(json.dumps(options)).items() if key not in _FREE}
    run = _take_up(runs / FOLDER, settled) if resume else Unfinished(make_folder(runs / FOLDER / name))
    if not resume:
        write_json(run.folder / _RECORD, {"options": settled})
    finished = False
    try:
        yield run
        finished = True
    finally:
        if not finished:
            _leave(run)
    for folder in _newest_first(runs / FOLDER):
        if _read(folder)["options"] == settled:
            _remove(folder)


def _leave(run: Unfinished) -> None:
    """Keep what a stopped run can go on from, and say so; else nothing of it."""
    if run.checkpoint.path and run.checkpoint.path.is_file():
        print("The epochs so far are kept: the same command with --resume goes on.", file=sys.stderr)
    else:
        _remove(run.folder)


def _take_up(place: Path, settled: Mapping[str, Any]) -> Unfinished:
    folders = [folder for folder in _newest_first(place) if (folder / "checkpoint.npz").is_file()]
    if not folders:
        raise OptionError("--resume needs a run that was stopped after its first epoch.",
                          received=f"none in {place}", remedy="Leave --resume out.")
    for folder in folders:
        if _read(folder)["options"] == settled:
            return Unfinished(folder)
    begun = _read(folders[0])["options"]
    name, before, now = next(_differences(begun, settled))
    raise OptionError("--resume must go on with the options that the run began with.",
                      received=f"{name} {now}, where {folders[0].name} began with {before}",
                      remedy="Repeat its options, or leave --resume out.")


def _differences(begun: Mapping[str, Any], settled: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key in [*settled, *begun]:
        before, now = begun.get(key), settled.get(key)
        if before == now:
            continue
        if key == "settings":
            yield from _differences(before or {}, now or {})
        else:
            yield option_of(key), _said(before), _said(now)


def _said(value: Any) -> str:
    return "its default" if value is None else str(value)


def _read(folder: Path) -> dict[str, Any]:
    """The record of a run; an unreadable one matches nothing."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"options": {}}
    return dict(record)


def _newest_first(place: Path) -> list[Path]:
    folders = [path for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
    return sorted(folders, key=lambda path: path.name, reverse=True)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.parent.is_dir() and not any(folder.parent.iterdir()):
        folder.parent.rmdir()
