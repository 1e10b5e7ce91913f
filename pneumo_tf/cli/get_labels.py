"""get_labels.py: prepared films -> labels.csv, the table that a training starts from."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pneumo_tf.cli import command
from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.places import LABELS_FILE, PREPARED_FOLDER, find_existing, output_path

if TYPE_CHECKING:
    from pneumo_tf.cohort import Cohort

_DESCRIPTION = "Write the table of films and their classes that a training starts from."
_EPILOG = ("Films may lie in the folder that prepare_pict.py filled, in one folder for each class, or in a "
           "plain folder under names like PNEUMONIA-17.jpeg. An older table is replaced.")


def build_parser() -> command.Parser:
    """The options of get_labels.py."""
    parser = command.build("get_labels.py", _DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("-p", "--path", metavar="DIR", default=PREPARED_FOLDER,
                        help="folder of films, looked for here and in the project")
    parser.add_argument("-o", "--output", metavar="CSV", default=argparse.SUPPRESS,
                        help=f"table to write (default: {LABELS_FILE} in the project)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Write labels.csv and labels.json; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), _act, argv)


def _act(options: argparse.Namespace) -> None:
    from pneumo_tf.data.audit import check_two_classes
    from pneumo_tf.data.labels import read_folder
    from pneumo_tf.storage import write_json

    output = output_path(getattr(options, "output", None), default=LABELS_FILE)
    if output.suffix.lower() != ".csv":
        raise OptionError("The table must be a CSV file.", received=str(output),
                          remedy="Give --output a name that ends in .csv.")
    folder = find_existing(options.path, what="folder of films", error=FilmError,
                           remedy="Fill it with prepare_pict.py, or name another folder with --path.")
    cohort = read_folder(folder)
    check_two_classes(cohort)
    cohort.write_csv(output)
    write_json(output.with_suffix(".json"), _summary(cohort))
    _say(cohort, output, folder=options.path)


def _summary(cohort: Cohort) -> dict[str, object]:
    return {"classes": cohort.classes, "films": len(cohort), "patients": len(set(cohort.patients) - {""}),
            "films_without_patient": cohort.patients.count(""),
            "per_class": {label: cohort.labels.count(label) for label in cohort.classes}}


def _say(cohort: Cohort, output: Path, *, folder: str) -> None:
    from rich.console import Console

    from pneumo_tf.cli.class_table import class_table

    Console().print(class_table(cohort))
    if unknown := cohort.patients.count(""):
        print(f"The patient is unknown for {unknown} of {len(cohort)} films: each will be split as a patient "
              "of its own, so films of one child may end up on both sides.")
    print(f"Written: {output}")
    print(f"Next:    python scripts/binary_class.py -e 60 -p {shlex.quote(folder.rstrip('/') + '/')}")
