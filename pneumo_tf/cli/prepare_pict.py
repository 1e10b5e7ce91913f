"""prepare_pict.py: filter films into one folder, ready to be labelled."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumo_tf import cluster, places
from pneumo_tf.cli import command, options
from pneumo_tf.cli.get_labels import class_table, counts, say_history
from pneumo_tf.errors import FilmError
from pneumo_tf.language import say, show_json

if TYPE_CHECKING:
    from pneumo_tf.data.preparation.prepare import PrepareOptions

_DESCRIPTION = ("Filter films (brightness, contrast, size) into one folder of JPEGs named by class, with "
                "manifest.csv and prepared.json beside them.")
_EPILOG = ("Without --source, the films are normal/ with pneumonia/, or chest_xray/ (or its .zip), in the "
           "current folder or the project's. Interrupted, the same command goes on.")


def build_parser() -> command.Parser:
    """The command line of prepare_pict.py."""
    parser = command.build("prepare_pict.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)
    unset = argparse.SUPPRESS  # so that --help shows no empty default
    parser.add_argument("--source", default=unset, metavar="DIR|ZIP",
                        help="folder or .zip with a folder for each class")
    parser.add_argument("--target", default=unset, metavar="DIR",
                        help=f"where to write (default: {places.PREPARED_FOLDER}/ of the project)")
    parser.add_argument("--name", default=unset, help="class of all films, for a folder of one class")
    _add_filters(parser)
    parser.add_argument("--per-class", type=options.whole_number(at_least=1), default=unset, metavar="N",
                        help="films of each class, whole patients as far as they fit (default: all)")
    options.add_seed(parser, purpose="of the choice that --per-class makes")
    parser.add_argument("--exclude", action="append", default=unset, metavar="PATTERN",
                        help="leave files out, e.g. '*virus_9002*'; may be repeated")
    parser.add_argument("--anonymous", action="store_true", help="call DICOM films by hashes and not by"
                        " their instance UIDs; patients are hashed in any case")
    parser.add_argument("--shards", type=options.whole_number(at_least=1), default=unset, metavar="N",
                        help="N films to a file, for more of them than a folder should hold: 2000, say")
    parser.add_argument("--workers", type=options.processes, default=unset, metavar="N",
                        help="processes; the films are the same (default: one for each core)")
    options.add_cluster(parser, what="the films")
    parser.add_argument("--force", action="store_true", help="replace what the target holds")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare films; the exit code."""
    return command.run(build_parser(), act, argv)


def _add_filters(parser: command.Parser) -> None:
    unset = argparse.SUPPRESS
    parser.add_argument("--brightness", type=options.positive_number, default=unset,
                        help="1 changes nothing (default: 1 of lungs, else 0.7)")
    parser.add_argument("--contrast", type=options.positive_number, default=unset,
                        help="1 changes nothing (default: 1 of lungs, else 2.0)")
    parser.add_argument("--size", type=options.pixels, default=299, help="in pixels")
    parser.add_argument("--fit", choices=("auto", "thumbnail", "pad", "squash", "crop", "lungs"),
                        default="auto",
                        help="auto is lungs for films of chests, else thumbnail; thumbnail keeps proportions "
                             "and never enlarges, pad centres on a black square, squash stretches to the "
                             "square, crop keeps the square in the middle, lungs stretches the box of the "
                             "lungs to the square")
    parser.add_argument("--color", action="store_true", help="keep colour; else every film becomes grey")


def act(typed: argparse.Namespace) -> str:
    """Prepare films; what to do next."""
    from rich.console import Console

    from pneumo_tf.data.preparation.prepare import prepare

    given = vars(typed)
    source, folders = _source(given.get("source"))
    say(f"Source: {source}" + (f" ({', '.join(folders)})" if folders else ""))
    target = places.output_path(given.get("target"), default=places.PREPARED_FOLDER)
    with cluster.joined(given.get("cluster")):
        cohort = prepare(source, target, _options(given, folders), force=typed.force,
                         workers=given.get("workers", os.cpu_count() or 1), tell=say)
    show_json({"target": str(target), **counts(cohort)})
    if not typed.json:
        Console(highlight=False, soft_wrap=True).print(class_table(cohort))
    say_history(cohort)
    say(f"Written to {target}")
    if len(cohort.classes) < 2:
        return "prepare the films of another class into the same folder."
    usual = target == places.output_path(None, default=places.PREPARED_FOLDER)
    return command.line("get_labels", *([] if usual else ["--path", target]))


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
                          exclude=tuple(given.get("exclude", ())), folders=folders,
                          anonymous=given["anonymous"], shards=given.get("shards"))
