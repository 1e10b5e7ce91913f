"""A grid of trainings: options of binary_class.py that may list several values, and what they mean."""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pneumo_tf.cli import binary_class
from pneumo_tf.cli.command import Parser, UsageError
from pneumo_tf.cli.options import find_films, find_labels
from pneumo_tf.errors import LabelError, OptionError
from pneumo_tf.places import CACHE_FOLDER, output_path

# What a comparison sets itself for each of its rows.
_OWN = ("help", "output", "lang", "quiet", "json", "resume", "publish", "cluster", "track")
# Paths, which may hold a comma; and what decides the split, which all rows share.
_PLACES = ("path", "labels", "cache", "patients")
_SPLIT = ("ext", "split_seed", "test_fraction", "validation_fraction", "split_by", "keep_test", "positive")
_NO = "--no-"  # begins the negative of a flag
# What changes where a run lies or how long it takes, but not what comes out of it.
_OUTCOMELESS = ("output", "cache", "lang", "quiet", "json", "resume", "publish", "threads")
_KEY_LENGTH = 12

Pair = tuple[argparse.Action, str]


@dataclass(frozen=True)
class Cell:
    """One training of the grid.

    Attributes:
        chosen: The values of the options that differ within the grid, by name: {"batch-size": "32"}.
        arguments: What binary_class.py is given, but for the output folder.
        settings: Every option with its value, defaults filled in; the labels by the hash of their file.
    """

    chosen: Mapping[str, str]
    arguments: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Equal for the same training, in whatever order its options were typed."""
        return _digest(self.settings)

    @property
    def setting(self) -> str:
        """Equal for trainings that differ by their seed alone."""
        return _digest({name: value for name, value in self.settings.items() if name != "seed"})

    @property
    def name(self) -> str:
        """The chosen values but for the seed, e.g. "batch-size 32 · lr 0.001"; may be empty."""
        return " · ".join(f"{option} {value}" for option, value in self.chosen.items() if option != "seed")

    @property
    def title(self) -> str:
        """The name with its seed."""
        return " · ".join(part for part in (self.name, f"seed {self.settings['seed']}") if part)

    def command(self, output: str) -> str:
        """The command line of this training, quoted for a shell."""
        return shlex.join(["python", "scripts/binary_class.py", *self.arguments, "--output", output])


def add_row_options(parser: Parser) -> None:
    """Give a parser every option of binary_class.py, each as text that may list several values."""
    group = parser.add_argument_group(
        "options of the rows", "Those of binary_class.py. Several values, separated by commas, make a grid "
        "(not so for paths and for what makes the split, which all rows share).")
    for action in _row_actions():
        names = _names(action)
        about: dict[str, Any] = {"action": type(action), "help": action.help}
        if action.nargs != 0:
            metavar = "|".join(map(str, action.choices)) if action.choices else action.metavar
            about = {"action": "append", "help": _help(action), "metavar": metavar}
        group.add_argument(*names, dest=action.dest, default=argparse.SUPPRESS, **about)


def expand(typed: argparse.Namespace) -> list[Cell]:
    """Every combination of the listed values, the last option's changing fastest; the same training once.

    Raises:
        OptionError: A gap in a list, several values for what makes the split, or a combination that
            binary_class.py wouldn't accept.
        FilmError: No such folder of films.
        LabelError: No such labels table.
    """
    given = vars(typed)
    shared = {"split_seed": [str(binary_class.build_parser().get_default("seed"))],
              "cache": [str(output_path(None, default=CACHE_FOLDER))]}
    lists = [(action, text) for action in _row_actions() for text in _texts(action, {**shared, **given})]
    values = [_values(action, text) for action, text in lists]
    cells: dict[str, Cell] = {}
    for combination in product(*values):
        pairs = [(action, value) for (action, _), value in zip(lists, combination, strict=True)]
        cell = _cell(pairs, [pair for pair, listed in zip(pairs, values, strict=True) if len(listed) > 1])
        cells.setdefault(cell.key, cell)
    return list(cells.values())


def _row_actions() -> list[argparse.Action]:
    """The options of binary_class.py, the seed last: rows that differ by it alone follow each other."""
    known = [action for action in binary_class.build_parser()._actions if action.dest not in _OWN]
    return sorted(known, key=lambda action: action.dest == "seed")


def _help(action: argparse.Action) -> str:
    usual = action.default
    is_told = usual in (None, argparse.SUPPRESS) or "default:" in (action.help or "")
    return (action.help or "") + ("" if is_told else f" (default: {usual})")


def _long(action: argparse.Action) -> str:
    return max(_names(action), key=len)


def _names(action: argparse.Action) -> list[str]:
    """What it is typed as, but for the negative of a flag that has both."""
    is_both = isinstance(action, argparse.BooleanOptionalAction)
    return [name for name in action.option_strings if not (is_both and name.startswith(_NO))]


def _texts(action: argparse.Action, given: Mapping[str, Any]) -> list[str]:
    """What was typed after an option, each time that it was typed; of a flag, the flag itself."""
    typed = given.get(action.dest, [])
    if isinstance(typed, bool):
        return [_long(action) if typed else _NO + _long(action).removeprefix("--")]
    return list(typed)


def _values(action: argparse.Action, text: str) -> list[str]:
    if action.nargs == 0 or action.dest in _PLACES:
        return [text]
    values = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(values):
        raise OptionError("A list of values must have one between any two commas.",
                          received=f"{_long(action)} {text!r}", remedy="Take the surplus comma out.")
    if len(values) > 1 and action.dest in _SPLIT:
        raise OptionError("The rows of a comparison must share one split, or nothing could be compared.",
                          received=f"{_long(action)} {text}",
                          remedy=f"Give {_long(action)} one value, or start one comparison for each.")
    return values


def _cell(pairs: Sequence[Pair], differing: Sequence[Pair]) -> Cell:
    chosen: dict[str, str] = {}
    for action, value in differing:
        name = _long(action).lstrip("-")
        chosen[name] = f"{chosen[name]}, {value}" if name in chosen else value
    arguments = [part for action, value in pairs
                 for part in ((value,) if action.nargs == 0 else (_long(action), value))]
    return Cell(chosen, tuple(arguments), _settings(arguments))


def _settings(arguments: list[str]) -> dict[str, Any]:
    """The options as binary_class.py understands them, without what doesn't change the outcome."""
    try:
        typed = binary_class.build_parser().parse_args(arguments)
    except UsageError as failure:
        raise OptionError("Every row must be a command that binary_class.py accepts.",
                          received=f"{shlex.join(arguments)}, of which it says: {failure.rule.rstrip('.')}",
                          remedy=failure.remedy) from failure
    films, labels = find_films(typed.path), find_labels(typed.labels)
    own = {name: value for name, value in vars(typed).items() if name not in _OUTCOMELESS}
    return own | {"path": str(films.resolve()), "labels": _hash(labels)}


def _hash(labels: Path) -> str:
    try:
        return hashlib.sha256(labels.read_bytes()).hexdigest()
    except OSError as failure:
        raise LabelError("The labels table must be a readable file.",
                         received=f"{labels} ({failure.strerror})",
                         remedy="Make it with get_labels.py.") from failure


def _digest(settings: Mapping[str, Any]) -> str:
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_LENGTH]
