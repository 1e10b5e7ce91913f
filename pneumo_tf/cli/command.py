"""What every command does the same way: start, parse, act, and say a mistake in one line."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from pneumo_tf.errors import PneumoError


class UsageError(PneumoError):
    """Words that a command doesn't accept."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises its errors, so that they are said like every other error of ours."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}.", remedy=f"See {self.prog} --help.")


def build(prog: str, description: str, *, epilog: str = "") -> Parser:
    """A parser that shows each option's default."""
    return Parser(prog=prog, description=description, epilog=epilog,
                  formatter_class=argparse.ArgumentDefaultsHelpFormatter)


def run(parser: Parser, act: Callable[[argparse.Namespace], None], argv: Sequence[str] | None, *,
        to_go_on: str = "run the same command again to go on") -> int:
    """Parse `argv`, act, and turn a PneumoError into one line on standard error and exit code 2.

    Args:
        parser: Of the command.
        act: What it does with the options; their `command` is what was typed, to be repeated.
        argv: What was typed behind its name; None takes it from the process.
        to_go_on: What to do after an interruption, in words.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        options = parser.parse_args(arguments)
        options.command = ("python", f"scripts/{parser.prog}", *arguments)
        act(options)
    except PneumoError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; {to_go_on}.", file=sys.stderr)
        return 130
    return 0


def start_keras(threads: int | None) -> None:
    """Import Keras without the backend's greetings, using so many threads (None: all cores).

    Both must be said before it is imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if threads:
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(threads)
    with _quiet():
        import keras

        keras.ops.zeros(1)  # the backend greets once more when it computes for the first time


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what native libraries write to standard error; it is shown only where starting fails.

    Redirected at the level of the file descriptor, because these lines don't pass through Python.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)
        started = False
        try:
            yield
            started = True
        finally:
            os.dup2(before, 2)
            os.close(before)
            if not started:
                kept.seek(0)
                os.write(2, kept.read())
