"""A folder kept as a worklist: nothing is answered twice, nothing is lost, and a page says what waits."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pneumo_tf.errors import OptionError, StorageError
from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.incoming import Incoming
from pneumo_tf.reading.triage import PAGE, STATE, TABLE, Answers, Triage
from pneumo_tf.report.words import language


class Reading:
    """Answers by the films' names, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stop_after: int | None = None

    def __call__(self, films: Iterable[Incoming]) -> Iterator[Answer]:
        for film in films:
            if self.stop_after is not None and len(self.asked) >= self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(film.id)
            ill = film.id.startswith("ill")
            yield Answer(film.id, "PNEUMONIA" if ill else "NORMAL", 0.9 if ill else 0.1)


@pytest.fixture
def inbox(tmp_path: Path, phantom_films: Path) -> Path:
    """A folder with two films."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    for name, film in zip(("ill.png", "well.png"), sorted(phantom_films.rglob("*.jpeg")), strict=False):
        shutil.copy(film, folder / name)
    return folder


def triage(inbox: Path, reading: Answers, **options: object) -> Triage:
    return Triage(folder=inbox, output=inbox.parent / "out", answers=reading, positive="PNEUMONIA",
                  run="a run", words=language("en"), **options)  # type: ignore[arg-type]


def shown(inbox: Path) -> list[str]:
    lines = (inbox.parent / "out" / TABLE).read_text(encoding="utf-8").splitlines()[1:]
    return [line.split(",")[3] for line in lines]


def test_each_film_is_answered_once_also_after_a_restart(inbox: Path) -> None:
    reading = Reading()
    for _ in range(2):
        kept = triage(inbox, reading)
        with kept.claimed():
            kept.refresh()
            if not (inbox / "ill 2.png").exists():
                shutil.copy(inbox / "ill.png", inbox / "ill 2.png")
            kept.refresh()
    assert sorted(reading.asked) == ["ill 2.png", "ill.png", "well.png"]
    assert shown(inbox)[2] == "well.png"
    assert "3 films wait to be read" in (inbox.parent / "out" / PAGE).read_text(encoding="utf-8")


def test_a_film_that_was_replaced_is_answered_anew_and_one_that_went_is_forgotten(inbox: Path) -> None:
    reading = Reading()
    kept = triage(inbox, reading)
    with kept.claimed():
        kept.refresh()
        shutil.copy(inbox / "ill.png", inbox / "well.png")
        os.utime(inbox / "well.png", ns=(0, time.time_ns()))
        (inbox / "ill.png").unlink()
        kept.refresh()
    assert reading.asked.count("well.png") == 2
    assert shown(inbox) == ["well.png"]


def test_a_film_that_is_still_being_copied_waits(inbox: Path) -> None:
    reading = Reading()
    os.utime(inbox / "ill.png", (time.time() - 60, time.time() - 60))
    kept = triage(inbox, reading)
    with kept.claimed():
        kept.refresh(settled=30)
        assert reading.asked == ["ill.png"]
        kept.refresh()
    assert reading.asked == ["ill.png", "well.png"]


def test_an_interrupted_triage_keeps_what_it_knew(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pneumo_tf.reading.triage._KEPT_EVERY", 1)
    reading = Reading()
    reading.stop_after = 1
    with pytest.raises(KeyboardInterrupt), (kept := triage(inbox, reading)).claimed():
        kept.refresh()
    reading.stop_after = None
    with (again := triage(inbox, reading)).claimed():
        again.refresh()
    assert sorted(reading.asked) == ["ill.png", "well.png"]
    assert len(shown(inbox)) == 2


def test_the_more_films_there_are_the_seldomer_all_of_them_are_written(
        inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(398):
        (inbox / f"{number}.png").write_bytes(b"film")
    written: list[int] = []
    monkeypatch.setattr("pneumo_tf.reading.triage._KEPT_EVERY", 1)
    monkeypatch.setattr(Triage, "_write_state", lambda self: written.append(len(self._known)))
    with (kept := triage(inbox, Reading())).claimed():
        kept.refresh()
    assert len(written) < 100
    assert max(np.diff([0, *written])) <= 21  # of 400, what a kill may cost


def test_films_that_the_network_saw_before_a_restart_are_remembered_once(inbox: Path) -> None:
    def some_refused(films: Iterable[Incoming]) -> Iterator[Answer]:
        refusals = {"well.png": "no_picture", "ill 2.png": "unlike"}
        return (Answer(film.id, "ILL", 0.9, refusal=refusals.get(film.id, "")) for film in films)

    for name in ("ill 2.png", "ill 3.png"):
        shutil.copy(inbox / "ill.png", inbox / name)
    remembered: list[str] = []
    for _ in range(2):
        kept = triage(inbox, some_refused, remember=lambda film: remembered.append(film.id))
        with kept.claimed():
            for _ in range(2):
                kept.refresh()
            assert not remembered or sorted(remembered) == ["ill 2.png", "ill.png"]
        os.utime(inbox / "ill 3.png", ns=(0, time.time_ns()))  # another film by now
    assert len(remembered) == 2


@pytest.mark.parametrize("state", ["{", "[]", json.dumps({"terms": {}, "films": [{"answer": {}}]})])
def test_a_state_that_cannot_be_read_costs_new_answers_only(inbox: Path, state: str) -> None:
    (inbox.parent / "out").mkdir()
    (inbox.parent / "out" / STATE).write_text(state)
    reading = Reading()
    with (kept := triage(inbox, reading)).claimed():
        kept.refresh()
    assert len(reading.asked) == 2


def test_other_terms_give_other_answers(inbox: Path) -> None:
    reading = Reading()
    for threshold in (0.5, 0.7):
        with (kept := triage(inbox, reading, terms={"threshold": threshold})).claimed():
            kept.refresh()
    assert len(reading.asked) == 4


def test_two_do_not_keep_one_worklist_and_none_lies_among_the_films(inbox: Path) -> None:
    with triage(inbox, Reading()).claimed(), pytest.raises(StorageError, match="One triage at a time"), \
            triage(inbox, Reading()).claimed():
        pass
    among = Triage(folder=inbox, output=inbox, answers=Reading(), positive="PNEUMONIA", run="a run",
                   words=language("en"))
    with pytest.raises(OptionError, match="elsewhere than the films"), among.claimed():
        pass


def test_heat_maps_are_drawn_once_and_never_of_another_film(inbox: Path) -> None:
    drawn: list[str] = []
    kept = triage(inbox, Reading(), explained=1)

    def draw(film: object) -> None:
        drawn.append(film.answer.id)  # type: ignore[attr-defined]
        kept._overlay(film.answer).parent.mkdir(exist_ok=True)  # type: ignore[attr-defined]
        kept._overlay(film.answer).write_bytes(b"png")  # type: ignore[attr-defined]

    kept.draw = draw
    with kept.claimed():
        kept.refresh()
        assert drawn == ["ill.png"]
        shutil.copy(inbox / "ill.png", inbox / "well 2.png")
        kept.refresh()
        assert drawn == ["ill.png"]
        shutil.copy(inbox / "well.png", inbox / "ill.png")
        os.utime(inbox / "ill.png", ns=(0, time.time_ns()))
        kept.refresh()
    assert drawn == ["ill.png", "ill.png"]
