"""prepare_pict.py: filter films into one folder, ready to be labelled."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pneumo_tf import places
from pneumo_tf.cli import command
from pneumo_tf.errors import FilmError

if TYPE_CHECKING:
    from rich.console import Console

    from pneumo_tf.cohort import Cohort, Step
    from pneumo_tf.data.preparation.prepare import PrepareOptions

Item = TypeVar("Item")

_DESCRIPTION = ("Filter films (brightness, contrast, size) into one folder of JPEGs named by class, with "
                "manifest.csv and prepared.json beside them.")
_EPILOG = ("Without --source, the films are normal/ with pneumonia/, or chest_xray/ (or its .zip), in the "
           "current folder or the project's. Interrupted, the same command goes on.")


def build_parser() -> command.Parser:
    """The command line of prepare_pict.py."""
    parser = command.build("prepare_pict.py", _DESCRIPTION, epilog=_EPILOG)
    unset = argparse.SUPPRESS  # so that --help shows no empty default
    parser.add_argument("--source", default=unset, metavar="DIR|ZIP",
                        help="folder or .zip with a folder for each class")
    parser.add_argument("--target", default=unset, metavar="DIR",
                        help=f"where to write (default: {places.PREPARED_FOLDER}/ of the project)")
    parser.add_argument("--name", default=unset, help="class of all films, for a folder of one class")
    _add_filters(parser)
    parser.add_argument("--per-class", type=command.whole_number(at_least=1), default=unset, metavar="N",
                        help="films of each class, whole patients as far as they fit (default: all)")
    parser.add_argument("--seed", type=command.whole_number(at_least=0), default=42,
                        help="of the choice that --per-class makes")
    parser.add_argument("--exclude", action="append", default=unset, metavar="PATTERN",
                        help="leave files out, e.g. '*virus_9002*'; may be repeated")
    parser.add_argument("--workers", type=command.whole_number(at_least=1), default=unset, metavar="N",
                        help="processes; the films are the same (default: one for each core)")
    parser.add_argument("--force", action="store_true", help="replace what the target holds")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare films; the exit code."""
    return command.run(build_parser(), _act, argv)


def _add_filters(parser: command.Parser) -> None:
    parser.add_argument("--brightness", type=command.positive_number, default=0.7, help="1 changes nothing")
    parser.add_argument("--contrast", type=command.positive_number, default=2.0, help="1 changes nothing")
    parser.add_argument("--size", type=command.whole_number(at_least=1), default=299, help="in pixels")
    parser.add_argument("--fit", choices=("thumbnail", "pad", "squash", "crop", "lungs"),
                        default="thumbnail",
                        help="thumbnail keeps proportions and never enlarges, pad centres on a black square, "
                             "squash stretches to the square, crop keeps the square in the middle, lungs "
                             "stretches the box of the lungs to the square")
    parser.add_argument("--color", action="store_true", help="keep colour; else every film becomes grey")


def _act(typed: argparse.Namespace) -> None:
    from rich.console import Console

    from pneumo_tf.data.preparation.prepare import prepare

    console = Console(highlight=False, soft_wrap=True)
    given = vars(typed)
    source, folders = _source(given.get("source"))
    console.print(f"Source: {source}" + (f" ({', '.join(folders)})" if folders else ""), markup=False)
    target = places.output_path(given.get("target"), default=places.PREPARED_FOLDER)
    cohort = prepare(source, target, _options(given, folders), force=typed.force, track=_progress,
                     workers=given.get("workers", os.cpu_count() or 1),
                     tell=lambda text: console.print(text, markup=False))
    _summarise(cohort, target, console)


def _source(typed: str | None) -> tuple[Path, tuple[str, ...]]:
    from pneumo_tf.data.listing import find_source

    if typed is None:
        return find_source([Path.cwd(), places.project_root()])
    remedy = "Name a folder or .zip with a folder for each class."
    return places.find_existing(typed, what="source", remedy=remedy, error=FilmError), ()


def _options(given: Mapping[str, Any], folders: tuple[str, ...]) -> PrepareOptions:
    from pneumo_tf.data.preparation.filters import FilterOptions
    from pneumo_tf.data.preparation.prepare import PrepareOptions

    return PrepareOptions(FilterOptions.from_json(given), per_class=given.get("per_class"),
                          seed=given["seed"], name=given.get("name", ""),
                          exclude=tuple(given.get("exclude", ())), folders=folders)


def _progress(items: Iterable[Item], *, total: int, description: str) -> Iterable[Item]:
    from pneumo_tf.progress import progress_bar

    with progress_bar(description, total) as advance:
        for item in items:
            yield item
            advance(1)


def _summarise(cohort: Cohort, target: Path, console: Console) -> None:
    from pneumo_tf.cli.class_table import class_table

    console.print(class_table(cohort))
    for step in cohort.history:
        _print_step(step, console)
    console.print(f"Written to {target}", markup=False)
    usual = target == places.output_path(None, default=places.PREPARED_FOLDER)
    elsewhere = "" if usual else f" --path {shlex.quote(str(target))}"
    console.print(f"Next: python scripts/get_labels.py{elsewhere}", markup=False)


def _print_step(step: Step, console: Console) -> None:
    console.print(f"{step.stage}: {step.kept:,}", markup=False)
    for reason, times in step.reasons().items():
        console.print(f"  dropped {times:,}: {reason}", markup=False)
