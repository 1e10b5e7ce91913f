"""The folder that films are prepared into: what it must not be mixed with, and how it is renewed.

Finished, it holds the films, `manifest.csv` and `prepared.json`. While films are being made, they wait in a
hidden folder beside the plan that they follow, so that the same preparation can go on after a kill.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.data.preparation.record import MANIFEST, RECORD, Part, Prepared, read_prepared
from pneumo_tf.data.preparation.tasks import waiting_name
from pneumo_tf.data.shards import is_file, is_shard, shard_name
from pneumo_tf.errors import FilmError, OptionError, PneumoError, StorageError
from pneumo_tf.names import refuse_twins
from pneumo_tf.storage import guarded, locked, make_folder, read_json, remove, replacing, write_json

_PLAN, _LOCK = "plan.json", ".prepare.lock"


class Target:
    """The folder that one part is prepared into, with what it holds already.

    Args:
        path: The folder, which may not exist yet.
        part: What is to be prepared.
        name: The part's one class, where other classes in the folder are to stay; else an empty string.
    """

    def __init__(self, path: Path, part: Part, *, name: str) -> None:
        self.path = path
        self.part = part
        recorded = self._recorded = read_prepared(path)
        parts = recorded.parts if recorded else ()
        self.others = tuple(p for p in parts if name and not set(p.labels) & set(part.labels))
        self._replaced = [p for p in parts if p not in self.others]
        self._films = tuple(Cohort.read_csv(path / MANIFEST)) if recorded else ()
        self._name = name
        self.staging = path / (f".prepare-{name}" if name else ".prepare")

    @property
    def other_films(self) -> list[Radiograph]:
        """Films of the classes that stay as they are."""
        staying = {label for part in self.others for label in part.labels}
        return [film for film in self._films if film.label in staying]

    def shards(self, films: Sequence[tuple[str, str]]) -> list[tuple[str, Sequence[tuple[str, str]]]]:
        """The films cut into shards, each with its file name; none where every film is to be a file."""
        size = self.part.options.get("shards")
        if not size:
            return []
        return [(shard_name(number, self._name), films[start : start + size])
                for number, start in enumerate(range(0, len(films), size))]

    def is_finished(self) -> bool:
        """Whether the part has been prepared already and every film of it is there."""
        recorded = any(part.plan == self.part.plan for part in self._replaced)
        return recorded and all(is_file(self.path / film.file) for film in self._films)

    def read(self) -> Cohort:
        """The films of the finished folder, with their history."""
        recorded = read_prepared(self.path)
        return Cohort(tuple(Cohort.read_csv(self.path / MANIFEST)), recorded.steps if recorded else ())

    def tidy(self) -> None:
        """Remove what a start left that was killed when everything was recorded, unless one is at work."""
        if any(self.path.glob(".*")):
            with suppress(OSError, StorageError), locked(self.path / _LOCK) as is_ours:  # it may be read-only
                if is_ours:
                    remove(self.staging)

    @contextmanager
    def claimed(self, *, force: bool) -> Iterator[None]:
        """Make the folders, for this process alone, or refuse before anything in them is touched.

        Films that can't be used leave no trace of the preparation.

        Raises:
            OptionError: The classes that stay were filtered in another way.
            LabelError: One of them looks like a class of these films.
            StorageError: Another process is at work in the folder; without `force`, it holds another
                preparation or files named like ours; read-only or full.
        """
        is_new = not self.path.exists()
        make_folder(self.path)
        try:
            with locked(self.path / _LOCK) as is_ours:
                if not is_ours or read_prepared(self.path) != self._recorded:
                    raise StorageError("One preparation at a time may write to a folder.",
                                       received=f"{self.path}, in which another one is at work",
                                       remedy="Wait for its end, or name another --target.")
                self._refuse_to_mix(force=force)
                with self._staged():
                    yield
        except PneumoError:
            with suppress(OSError):  # what was done stays where it can be gone on from
                if is_new:
                    self.path.rmdir()
            raise

    def _refuse_to_mix(self, *, force: bool) -> None:
        self._refuse_other_filters()
        refuse_twins(label for part in (*self.others, self.part) for label in part.labels)
        trouble = self._what_is_in_the_way()
        if trouble and not force:
            raise StorageError("Prepared films are overwritten only with --force.",
                               received=f"{self.path}, which holds {trouble}",
                               remedy="Name another --target, or repeat the command with --force.")

    @contextmanager
    def _staged(self) -> Iterator[None]:
        # It comes and goes with its plan at once: a kill that left it without would be another preparation's.
        if not self._is_begun():
            with replacing(self.staging) as new:
                new.mkdir()
                write_json(new / _PLAN, self.part.plan)
        try:
            yield
        except FilmError:  # after any other failure, what is done can be gone on from
            with suppress(StorageError):  # it mustn't hide the error that led here
                remove(self.staging)
            raise

    def publish(self, cohort: Cohort) -> Cohort:
        """Move the waiting films to their names and write the records; the folder's whole cohort.

        The old records go first, so that a kill in between leaves an unfinished folder, never records of
        other films.

        Raises:
            StorageError: The disk refuses.
        """
        part = replace(self.part, steps=cohort.history)
        with guarded(self.path):
            self._remove_old({_on_disk(film) for film in cohort})
            self._record(self.other_films, self.others)
            for waiting, name in dict.fromkeys(_waiting(film) for film in cohort):
                (self.staging / waiting).replace(self.path / name)
            self._record([*self.other_films, *cohort], (*self.others, part))
            remove(self.staging)
        return self.read()

    def _refuse_other_filters(self) -> None:
        for other in self.others:
            depths = {other.filters.depth, self.part.filters.depth} - {None}
            if other.filters != self.part.filters or len(depths) > 1:
                raise OptionError("All classes of a folder must be filtered alike, or a network "
                                  "learns the filter.",
                                  received=f"{_difference(other, self.part)} for {', '.join(other.labels)}",
                                  remedy="Repeat those options, prepare the classes together, or name "
                                         "another --target.")

    def _what_is_in_the_way(self) -> str:
        for part in self._replaced:
            return f"{', '.join(part.labels)} from {part.source} with {_difference(part, self.part)}"
        if self.staging.is_dir() and not self._is_begun():
            return "another preparation, not finished"
        named_like_ours = [] if self._is_begun() else self._named_like_ours()
        return f"{len(named_like_ours)} files named like ours, e.g. {named_like_ours[0].name}" \
            if named_like_ours else ""

    def _is_begun(self) -> bool:
        """Whether this very preparation was interrupted here."""
        try:
            return bool(read_json(self.staging / _PLAN) == self.part.plan)
        except (OSError, ValueError):  # none, or cut off by the kill: then there is nothing to go on from
            return False

    def _named_like_ours(self) -> list[Path]:
        labels = "|".join(re.escape(label) for label in self.part.labels)
        pattern = re.compile(rf"(?:{labels})-\d+\.jpe?g", re.IGNORECASE)
        present = self.path.iterdir() if self.path.is_dir() else ()
        return sorted(path for path in present if pattern.fullmatch(path.name)
                      or (is_shard(path) and path.name == shard_name(int(path.stem[-5:]), self._name)))

    def _remove_old(self, wanted: set[str]) -> None:
        staying = {_on_disk(film) for film in self.other_films}
        old = {_on_disk(film) for film in self._films} | {path.name for path in self._named_like_ours()}
        for file in old - wanted - staying:
            (self.path / file).unlink(missing_ok=True)

    def _record(self, films: Sequence[Radiograph], parts: Sequence[Part]) -> None:
        if not films:
            (self.path / RECORD).unlink(missing_ok=True)
            (self.path / MANIFEST).unlink(missing_ok=True)
            return
        Cohort(tuple(films)).write_csv(self.path / MANIFEST)
        write_json(self.path / RECORD, Prepared(tuple(parts)).to_json())


def _on_disk(film: Radiograph) -> str:
    """The file that holds a prepared film: its own, or its shard."""
    return film.file.partition("/")[0]


def _waiting(film: Radiograph) -> tuple[str, str]:
    """What that file is called while the preparation is at work, and afterwards."""
    name = _on_disk(film)
    return (name if "/" in film.file else waiting_name(film.sha256)), name


def _difference(there: Part, here: Part) -> str:
    """The first option that differs, as both have it; else that the films do."""
    for option, value in here.options.items():
        if there.options.get(option) != value:
            return f"{option} {there.options.get(option)} there and {value} here"
    return "other films"
