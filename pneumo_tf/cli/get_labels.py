"""get_labels.py: prepared films -> labels.csv, the table that a training starts from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pneumo_tf.cli import command
from pneumo_tf.cli.options import add_patients, find_films, patients_of
from pneumo_tf.errors import OptionError
from pneumo_tf.language import counted, say, show, show_json, translated, written
from pneumo_tf.places import LABELS_FILE, PREPARED_FOLDER, output_path

if TYPE_CHECKING:
    from rich.table import Table

    from pneumo_tf.cohort import Cohort, Radiograph

_DESCRIPTION = "Write the table of films and their classes that a training starts from."
_EPILOG = ("Films may lie in the folder that prepare_pict.py filled, in one folder for each class, or in a "
           "plain folder under names like PNEUMONIA-17.jpeg. An older table is replaced.")


def build_parser() -> command.Parser:
    """The options of get_labels.py."""
    parser = command.build("get_labels.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)
    parser.add_argument("-p", "--path", metavar="DIR", default=PREPARED_FOLDER,
                        help="folder of films, looked for here and in the project")
    parser.add_argument("-o", "--output", metavar="CSV", default=argparse.SUPPRESS,
                        help=f"table to write (default: {LABELS_FILE} in the project)")
    add_patients(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Write labels.csv and labels.json; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), act, argv)


def act(options: argparse.Namespace) -> str:
    """Write the table; what to do next."""
    from rich.console import Console

    from pneumo_tf.data.audit import check_two_classes
    from pneumo_tf.data.labels import read_folder
    from pneumo_tf.models.published import DEFAULT, usable
    from pneumo_tf.storage import write_json

    output = output_path(getattr(options, "output", None), default=LABELS_FILE)
    if output.suffix.lower() != ".csv":
        raise OptionError("The table must be a CSV file.", received=str(output),
                          remedy="Give --output a name that ends in .csv.")
    cohort = read_folder(find_films(options.path), patients=patients_of(options))
    check_two_classes(cohort)
    cohort.write_csv(output)
    unknown = cohort.patients.count("")
    write_json(output.with_suffix(".json"), counts(cohort))
    show_json({"table": str(output), **counts(cohort)})
    if not options.json:
        Console().print(class_table(cohort))
    say_history(cohort)
    if unknown:
        show(f"The patient is unknown for {unknown} of {counted(len(cohort), 'film|films')}: each will be "
             "split as a patient of its own, so films of one person may end up on both sides.")
    say(f"Written: {output}")
    table = ["-l", options.output] if "output" in options else []
    network = ["--backbone", here] if (here := usable([DEFAULT])[0]) != DEFAULT else []
    return command.line("binary_class", "-e", 60, "-p", options.path.rstrip("/") + "/", *table, *network)


def class_table(cohort: Cohort) -> Table:
    """Films and patients, one row per class; patients that no name tells are said to be unknown."""
    from rich.table import Table

    table = Table(*map(translated, ("class", "films", "patients")))
    for column in table.columns[1:]:
        column.justify = "right"
    for label in cohort.classes:
        table.add_row(label, *films_and_patients([film for film in cohort if film.label == label]))
    return table


def films_and_patients(films: Sequence[Radiograph]) -> tuple[str, str]:
    """How many there are, as a table shows it."""
    patients = {film.patient for film in films} - {""}
    return written(f"{len(films):,}"), written(f"{len(patients):,}") if patients else translated("unknown")


def counts(cohort: Cohort) -> dict[str, Any]:
    """Its films, patients and classes, as JSON."""
    return {"classes": cohort.classes, "films": len(cohort), "patients": len(set(cohort.patients) - {""}),
            "films_without_patient": cohort.patients.count(""),
            "per_class": {label: cohort.labels.count(label) for label in cohort.classes}}


def say_history(cohort: Cohort) -> None:
    """What was found, left out and noted, with the reasons."""
    for step in cohort.history:
        for line in step.lines():
            say(line)
