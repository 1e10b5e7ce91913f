"""evaluate_model.py: how far a run's figures hold: on changed films, on other films, on other splits."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pneumo_tf.cli import command
from pneumo_tf.cli.finished_run import find_run
from pneumo_tf.cli.keras_start import start_keras
from pneumo_tf.errors import FilmError, LabelError, OptionError
from pneumo_tf.places import find_existing, output_path

_DESCRIPTION = ("Put a finished run to the test. Alone: its test films again, perturbed and as several views "
                "of each. With --path and --labels: films from elsewhere. With --repeat: other splits.")
_EPILOG = ("Nothing is trained anew but the head, for --repeat. The run's report gains the sections; films "
           "from elsewhere get a report of their own in the run's folder.")
_ONLY = {"path": ("labels", "ext", "name", "recalibrate"), "repeat": ("cache",)}


def build_parser() -> command.Parser:
    """The options of evaluate_model.py."""
    parser = command.build("evaluate_model.py", _DESCRIPTION, epilog=_EPILOG)
    unset = argparse.SUPPRESS
    parser.add_argument("--run", metavar="DIR", default=unset,
                        help="folder of the run (default: the last one in model/runs)")
    parser.add_argument("--films", type=command.whole_number(at_least=10), default=300, metavar="N",
                        help="most test films that are perturbed, and validation films beside them")
    parser.add_argument("--views", type=command.whole_number(at_least=2), default=8, metavar="D",
                        help="views of each film, itself among them")
    parser.add_argument("--augment", metavar="PRESET", default="films",
                        help="what views are drawn from: films, tutorial, skin or assignment")
    _add_elsewhere(parser)
    parser.add_argument("--repeat", type=command.whole_number(at_least=2), metavar="N", default=unset,
                        help="fit the head on N other splits, and on ever more patients")
    parser.add_argument("--cache", metavar="DIR", default=unset,
                        help="activations that the training kept, for --repeat (default: the run's cache)")
    parser.add_argument("--engine", choices=("keras", "openvino", "auto"), default=unset,
                        help="what computes the network (default: auto; with --repeat the run's)")
    parser.add_argument("--threads", type=command.whole_number(at_least=1), default=unset,
                        help="processor threads (default: all cores)")
    parser.add_argument("--seed", type=command.whole_number(at_least=0), default=42,
                        help="of everything random")
    parser.add_argument("--lang", choices=("en", "es"), default=unset,
                        help="language of the report (default: the run's)")
    return parser


def _add_elsewhere(parser: command.Parser) -> None:
    """Films from elsewhere."""
    group, unset = parser.add_argument_group("films from elsewhere"), argparse.SUPPRESS
    group.add_argument("-p", "--path", metavar="DIR", default=unset, help="folder of films")
    group.add_argument("-l", "--labels", metavar="CSV", default=unset, help="their table of labels")
    group.add_argument("-ex", "--ext", metavar="EXT", default=unset,
                       help="extension of the films (default: any image)")
    group.add_argument("--name", default=unset, help="of the evaluation (default: the folder's)")
    group.add_argument("--recalibrate", type=command.whole_number(at_least=1), metavar="N", default=unset,
                       help="show what N labelled films from there would buy")


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate; the exit code is 0, or 2 after a mistake said in one line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return command.run(build_parser(), lambda typed: _act(typed, arguments), arguments)


def _act(typed: argparse.Namespace, arguments: Sequence[str]) -> None:
    run, given = find_run(getattr(typed, "run", None)), vars(typed)
    for needed, options in _ONLY.items():
        if needed not in given and (alone := [name for name in options if name in given]):
            raise OptionError(f"--{alone[0]} goes with --{needed}.", received=f"no --{needed}",
                              remedy=f"Add --{needed}, or leave --{alone[0]} out.")
    if "path" in given and "repeat" in given:
        raise OptionError("Other films and other splits are two evaluations.", received="--path and --repeat",
                          remedy="Ask for one after the other.")
    common = {"threads": given.get("threads"), "seed": typed.seed,
              "lang": given.get("lang") or _language_of(run),
              **({"engine": typed.engine} if "engine" in given else {})}
    if "path" in given:
        _elsewhere(run, typed, common, arguments)
    elif "repeat" in given:
        _repeat(run, typed, common)
    else:
        _again(run, typed, common)


def _again(run: Path, typed: argparse.Namespace, common: dict[str, Any]) -> None:
    """The run's own test films."""
    start_keras(common["threads"])
    from pneumo_tf.studies.stress import Rescoring, rescore_run

    report = rescore_run(run, Rescoring(films=typed.films, views=typed.views, preset=typed.augment, **common))
    content = json.loads((run / "robustness.json").read_text(encoding="utf-8"))
    print(f"{content['films']} of {content['of']} test films, called otherwise after each change:")
    for row in content["perturbations"]:
        area = row["auc"]["value"]
        print(f"  {row['name']:<14}{row['changed']['value']:>7.1%}"
              + ("" if area is None else f"   area under the ROC curve {area:+.3f}"))
    print(f"Report: {report}")


def _elsewhere(run: Path, typed: argparse.Namespace, common: dict[str, Any],
               arguments: Sequence[str]) -> None:
    """Films from elsewhere."""
    given = vars(typed)
    if "labels" not in given:
        raise OptionError("Films from elsewhere are evaluated by their labels.", received="no --labels",
                          remedy="Make a table of them with get_labels.py, and name it with --labels.")
    films = find_existing(typed.path, what="folder of films", error=FilmError,
                          remedy="Name the folder that the films lie in.")
    labels = find_existing(typed.labels, what="labels table", error=LabelError,
                           remedy="Make it with get_labels.py.")
    start_keras(common["threads"])
    from pneumo_tf.studies.other_films import Elsewhere, evaluate_elsewhere

    options = {name: given[name] for name in ("name", "recalibrate") if name in given}
    report = evaluate_elsewhere(run, Elsewhere(
        films=films, labels=labels, extension=given.get("ext"), **options, **common,
        command=("python", "scripts/evaluate_model.py", *arguments)))
    content = json.loads((report.parent / "metrics.json").read_text(encoding="utf-8"))
    print(f"{content['test']['films']} films from elsewhere, beside the run's own test films:")
    for name, row in content["drop"].items():
        here, there = (row[side]["value"] for side in ("internal", "external"))
        if None not in (here, there):
            print(f"  {name:<14}{here:>7.3f} ->{there:>7.3f}")
    print(f"Report: {report}")


def _repeat(run: Path, typed: argparse.Namespace, common: dict[str, Any]) -> None:
    """Other splits."""
    start_keras(common["threads"])
    from pneumo_tf.studies.resplit import repeat_study

    given = vars(typed)
    cache = output_path(given["cache"], default="") if "cache" in given else None
    print(f"Report: {repeat_study(run, repeats=typed.repeat, cache=cache, **common)}")


def _language_of(run: Path) -> str:
    """The language that a run's report was written in; a broken record is told of later."""
    try:
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
        return str(facts["options"]["lang"])
    except (OSError, ValueError, KeyError, TypeError):
        return "en"
