"""What every command does the same way: start, parse, act, and say a mistake in one line."""

from __future__ import annotations

import argparse
import codecs
import io
import os
import re
import shlex
import signal
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from pneumo_tf.errors import OptionError, PneumoError, closest
from pneumo_tf.language import LANGUAGES, asked_for, say, saying, speaking, translated

_DEFAULT = " (default: %(default)s)"  # as argparse ends the help of an option
_BACKENDS = ("tensorflow", "jax", "torch")
_UNMAPPED = re.compile("failed to map segment|cannot allocate memory", re.IGNORECASE)  # of a library's file
# What stands for a sign that a terminal can't show; of other letters the accents go.
_PLAIN = str.maketrans({"→": "->", "–": "-", "—": "-", "−": "-", "·": "-", "•": "-", "≥": ">=", "≤": "<=",
                        "±": "+/-", "×": "x", "≈": "~", "’": "'", "‘": "'", "“": '"', "”": '"'})


class UsageError(PneumoError):
    """Words that a command doesn't accept."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises its errors, so that they are said like every other error of ours."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{translated(message)}.", remedy=f"See {self.prog} --help.")

    def parse_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As argparse, but an option that doesn't exist is answered with the one that was meant."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            known = [name for name in self._option_string_actions if name.startswith("--")]
            mistyped = [word for word in unknown if word.startswith("-")] or [""]
            near = closest(mistyped[0].partition("=")[0], known)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(near)}")
        return options

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse, in words of ours."""
        if action.choices is not None and value not in action.choices:
            names = [str(name) for name in action.choices]
            told = translated(f"one of {', '.join(names)} is needed. Received: {value}")
            raise argparse.ArgumentError(action, told + _meant(closest(str(value), names)))


def _meant(near: str) -> str:
    return translated(f" (did you mean {near}?)") if near else ""


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help that shows each option's default, in the language in use."""

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, translated("usage: "))

    def start_section(self, heading: str | None) -> None:
        super().start_section(heading and translated(heading))

    def add_text(self, text: str | None) -> None:
        super().add_text(text and translated(text))

    def _get_help_string(self, action: argparse.Action) -> str:
        whole = super()._get_help_string(action) or ""
        about = whole.removesuffix(_DEFAULT)
        has_default = about != whole and action.default is not False  # of a flag it says nothing
        return translated(about) + (translated(_DEFAULT) if has_default else "")


def build(prog: str, description: str, *, epilog: str = "", has_json: bool = False) -> Parser:
    """A parser that shows each option's default, with the options that every command has.

    Args:
        has_json: Whether the command has figures to give as JSON.
    """
    parser = Parser(prog=prog, description=description, epilog=epilog, formatter_class=_Help)
    group = parser.add_argument_group("what is said")
    group.add_argument("--lang", choices=LANGUAGES, default=argparse.SUPPRESS,
                       help="language of what is said and written (default: the locale's, as in LANG; what "
                       "is added to a Spanish run is Spanish)")
    group.add_argument("--quiet", action="store_true", help="say nothing but errors and what was asked for")
    if has_json:
        group.add_argument("--json", action="store_true",
                           help="the figures as one JSON object on standard output, and nothing else there")
    return parser


class _StoppedError(KeyboardInterrupt):
    """A signal that asked this process to end; taken as Ctrl-C is."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def run(parser: Parser, act: Callable[[argparse.Namespace], str | None], argv: Sequence[str] | None, *,
        leads_on: bool = True) -> int:
    """Parse `argv`, act, and turn a PneumoError into one line on standard error and exit code 2.

    So does memory that is used up; Ctrl-C and SIGTERM end in one line too, with exit code 130 or 143. What
    the error's notes say, such as how to go on, ends the line.

    Args:
        parser: Of the command.
        act: What it does with the options, whose `command` is what was typed, to be repeated; it gives back
            what to do next.
        argv: What was typed behind its name; None takes it from the process.
        leads_on: Whether what to do next is printed.
    """
    speak_plainly()
    arguments = sys.argv[1:] if argv is None else argv
    with speaking(asked_for(arguments)):
        try:
            with _ended_politely():
                options = parser.parse_args(arguments)
                options.command = ("python", f"scripts/{parser.prog}", *arguments)
                with saying(quiet=options.quiet, json=getattr(options, "json", False)):
                    following = act(options)
                    if following and leads_on:
                        say(f"Next: {following}")
        except PneumoError as error:
            print(f"{parser.prog}:", translated("error:"), error, *_notes(error), file=sys.stderr)
            return 2
        except (MemoryError, ImportError) as failure:
            if not isinstance(failure, MemoryError) and not _UNMAPPED.search(str(failure)):
                raise
            lack = PneumoError("A command needs more memory than it may take.", remedy=(
                "Close other programs, raise the limit, or take smaller films and batches."))
            print(f"{parser.prog}:", translated("error:"), lack, file=sys.stderr)
            return 2
        except KeyboardInterrupt as stop:
            advice = _notes(stop) or [translated("Run the same command again to go on.")]
            print(f"{parser.prog}:", translated("interrupted."), *advice, file=sys.stderr)
            return 128 + getattr(stop, "number", signal.SIGINT)
    return 0


@contextmanager
def _ended_politely() -> Iterator[None]:
    """Hear Ctrl-C, and take SIGTERM as Ctrl-C is taken, so that what is half done is tidied up."""
    def stop(number: int, _: object) -> None:
        raise _StoppedError(number)

    if threading.current_thread() is not threading.main_thread():  # where Python sets no handlers
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, stop)
    if before[signal.SIGINT] == signal.SIG_DFL:  # see cli/__init__.py; a shell's background job goes on deaf
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _notes(failure: BaseException) -> list[str]:
    return [translated(note) for note in getattr(failure, "__notes__", [])]


def line(name: str, *arguments: object) -> str:
    """What to type for another command, as this one was started: by a door in scripts/ or as a module."""
    start, words = Path(sys.argv[0]), [str(argument) for argument in arguments]
    if start.parts[-2:] == ("pneumo_tf", "__main__.py"):
        return shlex.join(["python", "-m", "pneumo_tf", name, *words])
    if start.stem == "pneumo-tf":
        return shlex.join(["pneumo-tf", name, *words])
    door = start.parent / f"{name}.py"
    return shlex.join(["python", str(door) if door.is_file() else f"scripts/{name}.py", *words])


def speak_plainly() -> None:
    """Let no sign that a terminal can't show end a command: it is written in plain letters instead."""
    codecs.register_error("plain", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _plainly(failure: UnicodeError) -> tuple[str, int]:
    """What codecs ask for: the replacement of signs that can't be encoded, and where to go on."""
    assert isinstance(failure, UnicodeEncodeError)
    signs = failure.object[failure.start:failure.end].translate(_PLAIN)
    plain = (unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode() for sign in signs)
    return "".join(letters or "?" for letters in plain), failure.end


def start_keras(threads: int | None) -> None:
    """Import Keras without the backend's greetings, using so many threads (None: all cores).

    The threads must be said before it is imported.

    Raises:
        OptionError: Keras can't be started as keras.json or its environment variables want it.
    """
    from pneumo_tf.progress import announce, quiet

    if "keras" not in sys.modules:
        announce("Starting Keras")
    if threads:
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(threads)
    try:
        with quiet():
            import keras

            keras.ops.zeros(1)  # the backend greets once more when it computes for the first time
            if keras.backend.backend() not in _BACKENDS:
                raise ImportError(f"{keras.backend.backend()} is a backend that can't train")
    except (ImportError, ValueError, AttributeError, AssertionError) as failure:
        # What each backend raises where it isn't installed, and Keras where keras.json has no meaning.
        told = " ".join(str(failure).split()) or type(failure).__name__
        raise OptionError("Keras must find a backend and settings that it can start with.",
                          received=told.rstrip("."), remedy="Set KERAS_BACKEND=tensorflow, or mend "
                          "keras.json in ~/.keras (or KERAS_HOME).") from failure
    from pneumo_tf.training.machine import pin_numbers

    pin_numbers()
