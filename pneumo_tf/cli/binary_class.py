"""binary_class.py: labelled films -> a trained classifier with its report and export."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pneumo_tf.cli import command, options
from pneumo_tf.errors import OptionError
from pneumo_tf.language import counted, say, show, show_json, translated, written
from pneumo_tf.places import find_existing
from pneumo_tf.storage import read_json

_DESCRIPTION = ("Train a classifier on labelled films, evaluate it on patients it has never seen, and write "
                "model.json, modelo.h5 and report.html.")
# What a repeated run doesn't repeat.
_OF_THE_MOMENT = ("output", "cache", "publish", "minutes", "resume", "cluster", "quiet", "json")
_EPILOG = ("The split is made by patient. More than two classes in the labels simply work. Each run keeps a "
           "folder of its own in model/runs/.")


def build_parser() -> command.Parser:
    """The options of binary_class.py."""
    parser = command.build("binary_class.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)
    options.add_study(parser, writes="the run, the model and the report")
    options.add_minutes(parser)
    parser.add_argument("--from", dest="origin", metavar="RUN.JSON", default=argparse.SUPPRESS,
                        help="repeat the run of that record with its own films, labels and options; what is "
                        "typed beside it takes their place")
    parser.add_argument("--resume", action="store_true",
                        help="go on with the same command's run that was stopped")
    parser.add_argument("--publish", action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS,
                        help="whether network and report take the place of those in the output folder")
    parser.add_argument("--positive", metavar="CLASS", default=argparse.SUPPRESS,
                        help="class to be found (default: of two, the one whose name isn't that of the "
                        "healthy, such as NORMAL, sano, benign, control or no_finding)")
    options.add_judgement(parser)
    parser.add_argument("--synthetic", action="store_true", help="the films are phantoms: the report says so")
    options.add_track(parser)
    options.add_cluster(parser, what="the outputs of frozen networks")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Train; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> str:
    """Train; what to do next."""
    if "origin" in typed:
        typed = _repeated(typed)
    options.check_track(typed)
    options.start_study(typed)
    from pneumo_tf import cluster
    from pneumo_tf.studies.train import run_study

    with cluster.joined(getattr(typed, "cluster", None)):
        run = run_study(options.study_of(typed))
    from pneumo_tf.runs.folder import METRICS, RUN

    facts, metrics = (read_json(run / name) for name in (RUN, METRICS))
    show_json({"run": str(run), "positive": facts["positive"], **metrics["test"]})
    if not typed.json:
        _show(facts, metrics["test"])
    _say_where(run, facts)
    if getattr(typed, "split_then", facts["split_sha256"]) != facts["split_sha256"]:
        say("The split is another than that of the run that was repeated, so the figures may differ by that.")
    if "track" in typed:
        from pneumo_tf.studies.tracking import track

        say(f"Told:   {track(run, typed.track, run.parents[1])}")
    return command.line("evaluate_model", "--run", run)


def _repeated(typed: argparse.Namespace) -> argparse.Namespace:
    """The options of the run that a record is of, with those that are typed in their place.

    Where it writes is no part of it, and what the machine's pace decided then is decided.

    Raises:
        OptionError: The record isn't one of this command, or its labels have changed since.
    """
    record = find_existing(typed.origin, what="record", error=OptionError,
                           remedy="Name the run.json in a run's folder.")
    try:
        facts = read_json(record)
        typed_then = [str(word) for word in facts["command"][2:] if word != "--resume"]
        data, pace = facts["data"], facts.get("pace") or {}
        settled = [str(word) for word in (
            "--path", data["films"], "--labels", data["labels"], "--recipe", facts["recipe"],
            "--backbone", facts["backbone"], "--engine", facts["engine"],
            *(["--epochs", pace["epochs"]] if pace.get("epochs") else []))]
        hashed, split_then = str(data["labels_sha256"]), facts["split_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise OptionError("A run is repeated from the record that it left.",
                          received=f"{record} ({type(failure).__name__}: {failure})",
                          remedy="Name the run.json in a run's folder.") from failure
    arguments = [*typed_then, *settled, *typed.command[2:]]
    again = build_parser().parse_args(arguments)
    for name in _OF_THE_MOMENT:
        vars(again).pop(name, None)
        vars(again).update({name: vars(typed)[name]} if name in typed else {})
    again.command, again.split_then = (*typed.command[:2], *arguments), split_then
    from pneumo_tf.cohort import table_sha256

    if again.labels == data["labels"] and table_sha256(Path(again.labels)) != hashed:
        raise OptionError("A run is repeated with the labels that it had.",
                          received=f"{again.labels}, which has changed since",
                          remedy="Restore that table, or name this one with --labels to train on it.")
    return again


def _show(facts: dict[str, Any], test: dict[str, Any]) -> None:
    """The headline figures of the test, and how far they can be believed."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=translated(f"Test: {counted(test['films'], 'film|films')} of "
                                   f"{counted(test['patients'], 'patient|patients')}"), title_justify="left")
    for heading in ("figure", "value", "95 % interval"):
        table.add_column(translated(heading), justify="left" if heading == "figure" else "right")
    for name, figure in test["figures"].items():
        if figure["value"] is not None:
            known = figure.get("low") is not None
            table.add_row(translated(name.replace("_", " ")), written(f"{figure['value']:.3f}"),
                          written(f"{figure['low']:.3f} – {figure['high']:.3f}") if known else "")
    Console(highlight=False, soft_wrap=True).print(table)
    if len(facts["classes"]) == 2:
        show(f"Looked for: {facts['positive']}")
    if facts["split_by"] == "film" or facts["films_without_patient"]:
        show("The same patient may be on both sides of the split: these figures may be too good.")


def _say_where(run: Path, facts: dict[str, Any]) -> None:
    """What the run took, and where it lies."""
    from pneumo_tf.runs.folder import REPORT

    seconds = sum(stage["seconds"] for stage in facts["stages"])
    memory = max(stage["peak_memory_bytes"] for stage in facts["stages"])
    say(f"Time: {seconds:.0f} s, peak memory {memory / 2**30:.2f} GiB")
    say(f"Run:    {run}")
    say(f"Report: {run / REPORT}")
