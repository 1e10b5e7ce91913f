"""What is said while something is done, and what comes of it.

Stages and bars are shown on standard error, where a person is watching; notes are lines for that person;
results are what was asked for. --quiet leaves nothing but the results; with --json they are one object, and
standard output holds nothing else.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from pneumo_tf.language import translated

Advance = Callable[[int], None]


@dataclass
class _Manner:
    """How much is said, and whether results are one object in JSON."""

    quiet: bool = False
    json: bool = False


_manner = _Manner()


@contextmanager
def told(*, quiet: bool, json: bool) -> Iterator[None]:
    """Say as little, and give results in the form, that a command line asks for."""
    before = replace(_manner)
    _manner.quiet, _manner.json = quiet, json
    try:
        yield
    finally:
        _manner.quiet, _manner.json = before.quiet, before.json


def say(note: str, *, aside: bool = False) -> None:
    """A note for the person who watches, in the language in use; `aside` puts it on standard error."""
    if not _manner.quiet:
        print(translated(note), file=sys.stderr if aside or _manner.json else sys.stdout, flush=True)


def show(result: str) -> None:
    """A line of what was asked for, in the language in use; JSON has it in its object."""
    if not _manner.json:
        print(translated(result), flush=True)


def show_json(result: Any) -> None:
    """What was asked for, as the one object that --json promises; without it nothing."""
    if _manner.json:
        print(json.dumps(result, indent=2, ensure_ascii=False), flush=True)


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Advance]:
    """Yield a function that moves the bar on by so many steps of equal work; without any there is no bar."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn(translated("left")), _TimeLeft())
    is_shown = bool(total) and console.is_terminal and not _manner.quiet
    with Progress(*columns, console=console, disable=not is_shown) as progress:
        task = progress.add_task(translated(description), total=total, stepped=0.0)

        def advance(steps: int) -> None:
            progress.update(task, advance=steps, stepped=progress.tasks[0].elapsed or 0.0)

        yield advance


class _TimeLeft(ProgressColumn):
    """The time left by the mean time of a step; unlike rich's own it runs while a step does."""

    def render(self, task: Task) -> Text:
        if not task.completed or task.total is None:
            return Text("-:--:--")
        now = task.elapsed or 0.0
        # A step that takes longer than those before it raises the mean while it lasts.
        mean = max(task.fields["stepped"] / task.completed, now / (task.completed + 1))
        return Text(str(timedelta(seconds=max(0, round(mean * task.total - now)))))


def announce(stage: str) -> None:
    """Say that a stage begins which takes seconds and has no bar."""
    if sys.stderr.isatty() and not _manner.quiet:
        print(f"{translated(stage)} …", file=sys.stderr, flush=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what native libraries write to standard error; it is shown only where that ends in a traceback.

    Redirected at the level of the file descriptor, because these lines don't pass through Python.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)
        failed = False
        try:
            yield
        except Exception:
            failed = True
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)
            if failed:
                kept.seek(0)
                os.write(2, kept.read())
