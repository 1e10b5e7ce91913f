"""export_model.py: a run for ONNX, OpenVINO, LiteRT or TensorFlow, held against Keras film by film."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from pneumo_tf.cli import command, options
from pneumo_tf.cli.command import start_keras
from pneumo_tf.errors import OptionError
from pneumo_tf.language import counted, say, show, show_json, translated, written
from pneumo_tf.places import output_path

if TYPE_CHECKING:
    from pneumo_tf.studies.exports import Parity

_DESCRIPTION = ("Write a run's network for programs without Keras, with its classes, threshold and "
                "calibration. Each export is read again in its own runtime and held against Keras; one that "
                "calls a film otherwise is refused.")
_EPILOG = ("ONNX, OpenVINO and TensorFlow take films of any size, which the graph itself makes grey and "
           "resizes; what was done before (prepare_pict.py) is told in export.json.")
# Named here too, since a parser imports nothing heavy; a test holds them against the table.
_EXACT = ("onnx", "openvino", "litert", "saved_model")
_FORMATS = (*_EXACT, "litert-float16", "litert-int8")


def build_parser() -> command.Parser:
    """The options of export_model.py."""
    parser = command.build("export_model.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)
    unset = argparse.SUPPRESS
    options.add_run(parser)
    parser.add_argument("--to", nargs="+", choices=_FORMATS, default=list(_EXACT), metavar="FORMAT",
                        help=f"among {', '.join(_FORMATS)}")
    options.add_at(parser)
    parser.add_argument("-o", "--output", metavar="DIR", default=unset,
                        help="folder of the exports (default: exports in the run)")
    parser.add_argument("--films", type=options.whole_number(at_least=1), default=256, metavar="N",
                        help="films of the run that are compared, or phantoms where they are gone")
    parser.add_argument("--force", action="store_true", default=unset,
                        help="keep an export though it calls a film otherwise")
    options.add_threads(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Export; the exit code is 0, or 2 after a mistake or a refusal said in one line."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> str:
    """Export; what to do next."""
    from pneumo_tf.models.formats import check_installed

    run, given, formats = options.find_run(typed), vars(typed), list(dict.fromkeys(typed.to))
    check_installed(formats)
    start_keras(given.get("threads"))
    from pneumo_tf.studies.exports import Exporting, export_run

    rows = export_run(run, Exporting(
        formats=formats, at=given.get("at", ""), films=typed.films, force="force" in given,
        output=output_path(typed.output, default="") if "output" in given else None,
        threads=given.get("threads")))
    show_json([asdict(row) | {"folder": row.folder and str(row.folder)} for row in rows])
    _show(rows)
    if refused := [row for row in rows if row.folder is None]:
        raise OptionError("An export must call every film as Keras does.",
                          received=", ".join(f"{row.format} with {row.changed} of {row.films} otherwise"
                                             for row in refused),
                          remedy="Leave it out of --to, or keep it with --force.")
    return command.line("evaluate_model", "--run", run)


def _show(rows: Sequence[Parity]) -> None:
    """The table of exports, and where they lie."""
    keras, *exports = rows
    films = counted(exports[0].films, "phantom|phantoms" if exports[0].phantoms else
                    "film of the run|films of the run")
    show(f"Held against Keras on {films}, one at a time:")
    show(f"  {'':<15}{'MB':>7}" + "".join(f"{translated(heading):>{width}}" for heading, width in (
        ("films/s", 12), ("largest difference", 20), ("calls changed", 20), ("at risk", 13))))
    show(f"  {keras.format:<15}" + written(f"{keras.size / 1e6:>7.1f}{keras.films_per_second:>12.0f}"))
    for row in exports:
        show(f"  {row.format:<15}" + written(f"{row.size / 1e6:>7.1f}{row.films_per_second:>12.0f}"
             f"{row.difference:>20.1e}{row.changed:>20}{row.near:>13}")
             + ("" if row.folder else f"   {translated('refused')}"))
    show(f"At risk: of the run's {exports[0].of} test films, those whose call such a difference could "
         "change.")
    if kept := [row.folder for row in exports if row.folder]:
        say(f"Kept in {kept[0].parent}: {', '.join(folder.name for folder in kept)}")
