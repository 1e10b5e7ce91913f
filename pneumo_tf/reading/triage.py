"""A folder that films come into, kept as a worklist: each film answered once, the page always current.

What was answered lies in `worklist.json`, so a triage that was killed loses none and goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.data.images import in_mode, read_film_file
from pneumo_tf.errors import OptionError, StorageError
from pneumo_tf.reading.answer import UNLIKE, Answer
from pneumo_tf.reading.incoming import Given, Incoming, opened
from pneumo_tf.reading.overlays import overlay_name
from pneumo_tf.reading.page import Worklist, worklist_page
from pneumo_tf.reading.worklist import Group, Waiting, ranked, waiting, worklist_csv
from pneumo_tf.report.words import Language
from pneumo_tf.storage import locked, make_folder, read_json, write_json, write_text

STATE, TABLE, PAGE, OVERLAYS = "worklist.json", "worklist.csv", "worklist.html", "overlays"
# Answers that a kill may cost, at least, and as a share of all: the state is written as a whole.
_KEPT_EVERY, _KEPT_SHARE = 50, 0.05
Answers = Callable[[Iterable[Incoming]], Iterator[Answer]]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells a file from another one of its name: bytes, and time of its last change in nanoseconds."""

    bytes: int
    changed: int

    @classmethod
    def of(cls, file: Path) -> Stamp | None:
        """The stamp of a file; None where it is gone."""
        try:
            facts = file.stat()
        except OSError:
            return None
        return cls(facts.st_size, facts.st_mtime_ns)


@dataclass(kw_only=True)
class Triage:
    """The worklist of a folder.

    Attributes:
        folder: That films come into.
        output: Folder of the worklist's files.
        answers: Films to their answers, one after the other.
        positive: The class that the run looks for.
        run: Name of the run.
        terms: What the answers depend on, ready for JSON; those of other terms are given anew.
        words: Language of the page.
        live: As of `worklist_page`.
        remember: Told each film that was answered before this process began, if the network saw it.
        cautions: Gives what speaks against believing the whole, nothing where too few films came in; the
            last that it gave is kept.
        draw: Writes the heat map of an answered film into `overlays/` of the output, called as
            `overlays.overlay_name` says; None draws none.
        explained: How many films at the top of the worklist get their heat map in the page.
    """

    folder: Path
    output: Path
    answers: Answers
    positive: str
    run: str
    words: Language
    terms: dict[str, Any] = field(default_factory=dict)
    live: str = ""
    remember: Callable[[Incoming], None] = lambda _: None
    cautions: Callable[[], Sequence[str]] = tuple
    draw: Callable[[Waiting], None] | None = None
    explained: int = 0
    films: list[Waiting] = field(default_factory=list)
    moment: datetime = field(default_factory=lambda: datetime.now().astimezone())
    _said: Sequence[str] = ()
    _known: dict[str, tuple[Stamp, Answer]] = field(default_factory=dict)
    _to_remember: set[str] = field(default_factory=set)
    _busy: Lock = field(default_factory=Lock)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the output folder for this process, with what is known of it.

        Raises:
            OptionError: The worklist would lie among the films.
            StorageError: Another triage is at work there, or it can't be written to.
        """
        if self.output.resolve() == self.folder.resolve():
            raise OptionError("A worklist must lie elsewhere than the films.", received=str(self.output),
                              remedy="Name another --output.")
        make_folder(self.output)
        with locked(self.output / ".triage.lock") as is_ours:
            if not is_ours:
                raise StorageError("One triage at a time may keep a worklist.", received=str(self.output),
                                   remedy="Stop the other one, or name another --output.")
            self._known = self._read_state()
            self._to_remember = {name for name, (_, answer) in self._known.items()
                                 if answer.refusal in ("", UNLIKE)}
            yield

    def refresh(self, *, settled: float = 0.0) -> int:
        """Answer what came in, forget what went, and write the worklist; how many films were answered.

        Args:
            settled: Seconds that a file must have been left alone, since one that is still being copied is
                cut short.

        Raises:
            FilmError: The folder is gone.
            StorageError: The disk refuses.
        """
        with self._busy:
            now = datetime.now().astimezone()
            present: dict[str, Path] = {}
            with opened([Given(str(self.folder), self.folder)]) as films:
                new = self._new(films, present, latest=now.timestamp() - settled)
                answered = unkept = 0
                for answer in self.answers(new):
                    self._keep(answer, present[answer.id])
                    answered, unkept = answered + 1, unkept + 1
                    if unkept >= max(_KEPT_EVERY, _KEPT_SHARE * len(self._known)):
                        self._write_state()
                        unkept = 0
            gone = self._known.keys() - present.keys()
            for name in gone:
                del self._known[name]
            if answered or gone or not (self.output / PAGE).is_file() or len(self.films) != len(self._known):
                self._publish(present, now)
            return answered

    def _new(self, films: Iterable[Incoming], present: dict[str, Path], *,
             latest: float) -> Iterator[Incoming]:
        """The films that have no answer yet; all are noted as present."""
        own = self.output.resolve()
        for film in films:
            if film.path is None or film.path.resolve().is_relative_to(own):
                continue
            stamp = Stamp.of(film.path)
            if stamp is None and not film.trouble:
                continue  # it went a moment ago
            present[film.id] = film.path
            known = self._known.get(film.id)
            is_earlier = film.id in self._to_remember
            self._to_remember.discard(film.id)
            if known and known[0] == (stamp or Stamp(0, 0)):
                if is_earlier:
                    self.remember(film)
                continue
            if stamp and stamp.changed / 1e9 > latest:
                if known is None:
                    del present[film.id]
                continue
            yield film

    def _keep(self, answer: Answer, file: Path) -> None:
        self._overlay(answer).unlink(missing_ok=True)  # of the film that had this name before
        self._known[answer.id] = (Stamp.of(file) or Stamp(0, 0), answer)

    def _publish(self, present: dict[str, Path], now: datetime) -> None:
        self.films = ranked(waiting(answer, present[name], _arrived(stamp, now), positive=self.positive)
                            for name, (stamp, answer) in self._known.items())
        self.moment = now
        self._said = self.cautions() or self._said
        overlays = {film.answer.id: path for film in islice(self.films, self.explained)
                    if (path := self.overlay_of(film)) is not None}
        self._write_state()
        write_text(self.output / TABLE, worklist_csv(self.films))
        write_text(self.output / PAGE, worklist_page(self.shown(overlays), self.words, live=self.live))

    def shown(self, overlays: dict[str, Path] | None = None) -> Worklist:
        """What the page shows."""
        return Worklist(self.films, self.folder.name or str(self.folder), self.run, self.moment,
                        self._said, overlays)

    def overlay_of(self, film: Waiting) -> Path | None:
        """The file of a film's heat map, drawn where it isn't yet; None for a refused film."""
        if self.draw is None or film.answer.refusal:
            return None
        path = self._overlay(film.answer)
        if not path.is_file():
            self.draw(film)
        return path

    def heat_map(self, file: Path, answer: Answer) -> NDArray[np.uint8]:
        """The heat map of an answered film as a picture, uint8 (H, W, 3)."""
        assert self.draw is not None
        self.draw(Waiting(answer, file, self.moment, Group.OTHER))
        return np.asarray(in_mode(read_film_file(self._overlay(answer)), "RGB"))

    def _overlay(self, answer: Answer) -> Path:
        return self.output / OVERLAYS / overlay_name(answer.id)

    def _read_state(self) -> dict[str, tuple[Stamp, Answer]]:
        try:
            kept = read_json(self.output / STATE)
            if kept["terms"] != json.loads(json.dumps(self.terms)):
                return {}
            self._said = [str(sentence) for sentence in kept["cautions"]]
            return {film["answer"]["id"]: (Stamp(**film["stamp"]), _answer(film["answer"]))
                    for film in kept["films"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # none, or another program's: every film is answered anew

    def _write_state(self) -> None:
        write_json(self.output / STATE, {"terms": self.terms, "cautions": list(self._said), "films": [
            {"stamp": asdict(stamp), "answer": asdict(answer)} for stamp, answer in self._known.values()]})


def _arrived(stamp: Stamp, now: datetime) -> datetime:
    """When a film came in: its file's last change, but not in the future."""
    return min(datetime.fromtimestamp(stamp.changed / 1e9).astimezone(), now) if stamp.changed else now


def _answer(kept: dict[str, Any]) -> Answer:
    return Answer(**{**kept, "probabilities": tuple(kept["probabilities"])})
