"""A bar's time left runs while a step does, and there is none where there is nothing to do."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console
from rich.progress import Progress

from pneumo_tf import progress
from pneumo_tf.progress import announce, progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error as a person sees it; set within a test, since pytest sets its own before."""
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    return shown


def left(*, total: int, steps: int, at: float, now: float) -> str:
    """What the column shows `now` seconds after the start where the last of some steps ended `at` seconds."""
    clock = [0.0]
    shown = Progress(console=Console(file=io.StringIO()), get_time=lambda: clock[0])
    shown.add_task("", total=total, stepped=0.0)
    task, = shown.tasks
    clock[0] = at
    shown.update(task.id, advance=steps, stepped=at)
    clock[0] = now
    return progress._TimeLeft().render(task).plain


def test_the_time_left_is_counted_down_between_two_steps() -> None:
    assert left(total=10, steps=2, at=20, now=20) == "0:01:20"
    assert left(total=10, steps=2, at=20, now=29) == "0:01:11"


def test_a_step_that_takes_longer_than_those_before_raises_it() -> None:
    assert left(total=10, steps=2, at=20, now=60) == "0:02:20"


def test_before_the_first_step_nobody_knows() -> None:
    assert left(total=10, steps=0, at=0, now=9) == "-:--:--"


def test_a_bar_shows_what_it_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)
    with progress_bar("Reading films", 3) as advance:
        advance(3)
    assert "Reading films" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


def test_nothing_to_do_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)
    with progress_bar("Reading films", 0) as advance:
        advance(0)
    assert terminal.getvalue() == ""


def test_a_stage_without_a_bar_is_announced_to_a_person_alone(
        monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)
    announce("Figures")
    assert terminal.getvalue() == "Figures …\n"
    monkeypatch.setattr(sys, "stderr", quiet := io.StringIO())
    announce("Figures")
    assert quiet.getvalue() == ""
