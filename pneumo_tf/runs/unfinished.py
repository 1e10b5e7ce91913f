"""Runs that were stopped half-way: kept beside the finished ones until they are taken up again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pneumo_tf.errors import OptionError, TrainingError, option_of
from pneumo_tf.runs.folder import UNFINISHED
from pneumo_tf.storage import guarded, make_folder, read_json, write_json
from pneumo_tf.training.loop import Checkpoint

_RECORD, _CHECKPOINT, _LOCK, _WHOLE = "options.json", "checkpoint.npz", ".lock", "run"
# What may differ between the two halves of a run, because the result doesn't depend on it.
_FREE = {"command", "resume", "publish", "lang", "threads", "cache", "output", "synthetic"}


@dataclass(frozen=True, slots=True)
class Unfinished:
    """One run that isn't finished.

    Attributes:
        folder: Holds its options and its checkpoint; its name is the run's.
    """

    folder: Path

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.folder / _CHECKPOINT)

    def confirm_split(self, split_sha256: str) -> None:
        """Note the split at the run's first start; at later ones make sure that it is the same.

        Raises:
            TrainingError: Films or labels have changed in between.
        """
        if self.note("split_sha256", split_sha256) != split_sha256:
            raise TrainingError("A run can go on only with the films and labels that it began with.",
                                received="films, labels or patients that have changed since",
                                remedy="Start the training again without --resume.")

    def note(self, name: str, value: Any) -> Any:
        """Note a value at the run's first start; at any start, the value that it was then."""
        record = _read(self.folder)
        kept = record.setdefault(name, value)
        write_json(self.folder / _RECORD, record)
        return kept

    @contextmanager
    def finishing(self, run: Path) -> Iterator[Path]:
        """Yield a new folder for the files of the finished run, which becomes `run` when it is whole.

        Raises:
            StorageError: The disk refuses.
        """
        whole = self.folder / _WHOLE
        with guarded(run):
            shutil.rmtree(whole, ignore_errors=True)  # of a start that was killed
            whole.mkdir()
            try:
                yield whole
                whole.rename(run)
            finally:
                shutil.rmtree(whole, ignore_errors=True)


@contextmanager
def unfinished_run(runs: Path, name: str, options: Mapping[str, Any], *,
                   resume: bool) -> Iterator[Unfinished]:
    """A folder for what a run must not lose; it goes when the run is finished.

    It is locked for as long as this process trains in it: no other process takes the run up or removes it.

    Args:
        runs: Folder of the finished runs.
        name: Of a run that begins; a number is added where another run has it.
        options: Everything the run depends on, ready for JSON.
        resume: Take up the last run with these options instead.

    Raises:
        OptionError: There is no unfinished run, or only with other options; the message names one.
        StorageError: The folder can't be written to.
    """
    settled = {key: value for key, value in json.loads(json.dumps(options)).items() if key not in _FREE}
    run = Unfinished(_stopped(runs / UNFINISHED, settled) if resume else _claimed(runs, name))
    with FileLock(run.folder / _LOCK):
        if not resume:
            write_json(run.folder / _RECORD, {"options": settled})
        try:
            yield run
        except BaseException as failure:
            _leave(run, failure)
            raise
    for folder in _newest_first(runs / UNFINISHED):
        begun = _read(folder)["options"]
        is_spent = begun == settled or (begun and not (folder / _CHECKPOINT).is_file())
        if is_spent and not _is_running(folder):
            _remove(folder)


def _claimed(runs: Path, name: str) -> Path:
    """A new folder by a name that no other run has, be it finished or not."""
    make_folder(runs / UNFINISHED)
    for number in count(1):
        folder = runs / UNFINISHED / (name if number == 1 else f"{name}-{number}")
        with guarded(folder):
            try:
                folder.mkdir()
            except FileExistsError:
                continue
        if not (runs / folder.name).exists():
            break
        folder.rmdir()
    return folder


def _leave(run: Unfinished, failure: BaseException) -> None:
    """Keep what a stopped run can go on from, and say so in a note of the failure; else nothing of it."""
    if run.checkpoint.path and run.checkpoint.path.is_file():
        failure.add_note("The epochs so far are kept: the same command with --resume goes on.")
    else:
        _remove(run.folder)


def _stopped(place: Path, settled: Mapping[str, Any]) -> Path:
    """The last stopped run with these options."""
    folders = [folder for folder in _newest_first(place)
               if (folder / _CHECKPOINT).is_file() and not _is_running(folder)]
    if not folders:
        raise OptionError("--resume needs a run that was stopped after its first epoch.",
                          received=f"none in {place}", remedy="Leave --resume out.")
    for folder in folders:
        if _read(folder)["options"] == settled:
            return folder
    begun = _read(folders[0])["options"]
    name, before, now = next(_differences(begun, settled))
    raise OptionError("--resume must go on with the options that the run began with.",
                      received=f"{name} {now}, where {folders[0].name} began with {before}",
                      remedy="Repeat its options, or leave --resume out.")


def _is_running(folder: Path) -> bool:
    """Whether a process trains in a folder."""
    try:
        with FileLock(folder / _LOCK, timeout=0):
            return False
    except Timeout:
        return True


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
        record = read_json(folder / _RECORD)
    except (OSError, ValueError):
        return {"options": {}}
    return dict(record)


def _newest_first(place: Path) -> list[Path]:
    folders = [path for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
    return sorted(folders, key=lambda path: path.name, reverse=True)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # another run lies there, or has just begun
        folder.parent.rmdir()
