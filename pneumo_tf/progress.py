"""What is being done, on standard error and only where a person is watching: stages, and bars; no chatter."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

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

from pneumo_tf.language import manner, translated

Advance = Callable[[int], None]


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Advance]:
    """Yield a function that moves the bar on by so many steps of equal work; without any there is no bar."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn(translated("left")), _TimeLeft())
    is_shown = bool(total) and console.is_terminal and not manner.quiet
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
    if sys.stderr.isatty() and not manner.quiet:
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
