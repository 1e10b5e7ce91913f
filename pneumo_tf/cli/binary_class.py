"""binary_class.py: labelled films -> a trained classifier with its report and export."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pneumo_tf.cli import command
from pneumo_tf.cli.keras_start import start_keras
from pneumo_tf.errors import FilmError, LabelError, OptionError
from pneumo_tf.places import LABELS_FILE, MODEL_FOLDER, PREPARED_FOLDER, find_existing, output_path

_DESCRIPTION = ("Train a classifier on labelled films, evaluate it on patients it has never seen, and write "
                "model.json, modelo.h5 and report.html.")
_EPILOG = ("The split is made by patient. More than two classes in the labels simply work. Each run keeps a "
           "folder of its own in model/runs/.")
_IMAGE = "any image"


def build_parser() -> command.Parser:
    """The options of binary_class.py."""
    parser = command.build("binary_class.py", _DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("-e", "--epochs", type=command.whole_number(at_least=1), default=60,
                        help="most epochs of training")
    parser.add_argument("-p", "--path", metavar="DIR", default=PREPARED_FOLDER, help="folder of films")
    parser.add_argument("-l", "--labels", metavar="CSV", default=LABELS_FILE, help="table of labels")
    parser.add_argument("-ex", "--ext", default=_IMAGE, metavar="EXT",
                        help="extension of the films, e.g. .jpeg")
    parser.add_argument("-o", "--output", metavar="DIR", default=argparse.SUPPRESS,
                        help=f"folder for the run, the model and the report (default: {MODEL_FOLDER})")
    _add_network(parser)
    _add_split(parser)
    parser.add_argument("--positive", metavar="CLASS", default=argparse.SUPPRESS,
                        help="class to be found (default: PNEUMONIA, else the last by name)")
    parser.add_argument("--sensitivity", type=command.fraction, default=0.95,
                        help="least sensitivity on validation that the operating point must reach")
    parser.add_argument("--seed", type=command.whole_number(at_least=0), default=42,
                        help="of everything random")
    parser.add_argument("--threads", type=command.whole_number(at_least=1), default=argparse.SUPPRESS,
                        help="processor threads (default: all cores)")
    parser.add_argument("--synthetic", action="store_true", help="the films are phantoms: the report says so")
    parser.add_argument("--lang", choices=("en", "es"), default="en", help="language of the report")
    return parser


def _add_network(parser: command.Parser) -> None:
    parser.add_argument("--recipe", default=argparse.SUPPRESS,
                        help="fast, full or reference (default: fast, or full where there is a GPU)")
    parser.add_argument("--backbone", default="inception_v3", help="inception_v3 or efficientnet_lite0")
    parser.add_argument("--weights", default="imagenet", metavar="PATH",
                        help="weights file of the backbone, imagenet (look for it) or none")
    parser.add_argument("--image-size", type=command.whole_number(at_least=1), default=argparse.SUPPRESS,
                        metavar="PIXELS", help="side of the films (default: the backbone's own)")
    parser.add_argument("--batch-size", type=command.whole_number(at_least=1), default=32,
                        help="films per training step")


def _add_split(parser: command.Parser) -> None:
    parser.add_argument("--test-fraction", type=command.fraction, default=0.30, help="of all films")
    parser.add_argument("--validation-fraction", type=command.fraction, default=0.15, help="of the rest")
    parser.add_argument("--split-by", choices=("patient", "film"), default="patient",
                        help="film only to see what a split that ignores patients pretends")
    parser.add_argument("--keep-test", action="store_true",
                        help="test on the films that the source had in its test folder")


def main(argv: Sequence[str] | None = None) -> int:
    """Train; the exit code is 0, or 2 after a mistake said in one line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return command.run(build_parser(), lambda typed: _act(typed, arguments), arguments)


def _act(typed: argparse.Namespace, arguments: Sequence[str]) -> None:
    folder = find_existing(typed.path, what="folder of films", error=FilmError,
                           remedy="Fill it with prepare_pict.py, or name another folder with --path.")
    labels = find_existing(typed.labels, what="labels table", error=LabelError,
                           remedy="Make it with get_labels.py, or name another table with --labels.")
    start_keras(getattr(typed, "threads", None))
    from pneumo_tf.study import StudyOptions, run_study

    repeat = ("python", "scripts/binary_class.py", *arguments)
    run = run_study(StudyOptions(films=folder, labels=labels, command=repeat, **_given(typed)))
    show_run(run)


def _given(typed: argparse.Namespace) -> dict[str, Any]:
    """The options of a study as they were typed; what wasn't typed is left to the study."""
    given = {name: value for name, value in vars(typed).items()
             if name not in ("path", "ext", "labels", "output")}
    extension = None if typed.ext == _IMAGE else typed.ext
    if extension is not None and not extension.strip(". "):
        raise OptionError("The extension must name a kind of image.", received=repr(extension),
                          remedy="Give --ext .jpeg, or leave it out for any image.")
    return {**given, "extension": extension,
            "output": output_path(getattr(typed, "output", None), default=MODEL_FOLDER)}


def show_run(run: Path) -> None:
    """Print the headline figures of a finished run and where its report lies."""
    from rich.console import Console
    from rich.table import Table

    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    test = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["test"]
    table = Table(title=f"Test: {test['films']} films of {test['patients']} patients", title_justify="left")
    for heading in ("figure", "value", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for name, figure in test["figures"].items():
        if figure["value"] is not None:
            known = figure.get("low") is not None
            table.add_row(name.replace("_", " "), f"{figure['value']:.3f}",
                          f"{figure['low']:.3f} – {figure['high']:.3f}" if known else "")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    if facts["split_by"] == "film" or facts["films_without_patient"]:
        console.print("Split by film where patients are unknown: these figures are too good to be true.")
    seconds = sum(stage["seconds"] for stage in facts["stages"])
    memory = max(stage["peak_memory_bytes"] for stage in facts["stages"])
    console.print(f"Time: {seconds:.0f} s, peak memory {memory / 2**30:.2f} GiB", markup=False)
    console.print(f"Run:    {run}", markup=False)
    console.print(f"Report: {run / 'report.html'}", markup=False)
