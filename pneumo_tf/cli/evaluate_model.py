"""evaluate_model.py: how far a run's figures hold: on changed films, on other films, on other splits."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumo_tf.cli import command, options
from pneumo_tf.cli.command import start_keras
from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.language import current, say, show, show_json, translated, written
from pneumo_tf.places import find_existing, output_path
from pneumo_tf.storage import read_json

if TYPE_CHECKING:
    from pneumo_tf.report.words import Language

_DESCRIPTION = ("Put a finished run to the test. Alone: its test films again, perturbed and as several views "
                "of each. With --path and --labels: films from elsewhere. With --repeat: other splits.")
_EPILOG = ("Nothing is trained anew but the head, for --repeat. The run's report gains the sections; films "
           "from elsewhere get a report of their own in the run's folder.")
_OWN, _ELSEWHERE, _REPEATED = "the run's own test films", "--path", "--repeat"
_RECORDS = {_OWN: "robustness.json", _REPEATED: "repeats.json"}
# Options that only one kind of evaluation reads.
_READERS = {_OWN: ("films", "originals", "views", "augment"), _REPEATED: ("cache",),
            _ELSEWHERE: ("labels", "ext", "patients", "no_patients", "name", "recalibrate", "allow_known",
                         "force")}


def build_parser() -> command.Parser:
    """The options of evaluate_model.py."""
    parser = command.build("evaluate_model.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)
    unset = argparse.SUPPRESS
    options.add_run(parser)
    parser.add_argument("--films", type=options.whole_number(at_least=10), default=unset, metavar="N",
                        help="most test films that are perturbed, and validation films beside them "
                             "(default: 300)")
    parser.add_argument("--originals", metavar="PATH", default=unset, help="folder or .zip that the films "
                        "were prepared from, which stress acts on (default: looked for by its name)")
    parser.add_argument("--views", type=options.whole_number(at_least=2), default=unset, metavar="D",
                        help="views of each film, itself among them (default: 8)")
    parser.add_argument("--augment", metavar="PRESET", default=unset, help="what views are drawn from: "
                        "films, tutorial, skin or assignment (default: films)")
    _add_elsewhere(parser)
    parser.add_argument("--repeat", type=options.whole_number(at_least=2), metavar="N", default=unset,
                        help="fit the head on N other splits, and on ever more patients")
    parser.add_argument("--cache", metavar="DIR", default=unset,
                        help="activations that the training kept, for --repeat (default: the run's cache)")
    options.add_engine(parser, default="auto; with --repeat the run's")
    options.add_threads(parser)
    options.add_seed(parser)
    return parser


def _add_elsewhere(parser: command.Parser) -> None:
    """Films from elsewhere."""
    group, unset = parser.add_argument_group("films from elsewhere"), argparse.SUPPRESS
    group.add_argument("-p", "--path", metavar="DIR", default=unset, help="folder of films")
    group.add_argument("-l", "--labels", metavar="CSV", default=unset, help="their table of labels")
    group.add_argument("-ex", "--ext", metavar="EXT", default=unset,
                       help="extension of the films (default: any image)")
    options.add_patients(group)
    group.add_argument("--name", default=unset, help="of the evaluation (default: the folder's)")
    group.add_argument("--recalibrate", type=options.whole_number(at_least=1), metavar="N", default=unset,
                       help="show what N labelled films from there would buy")
    group.add_argument("--allow-known", action="store_true", default=unset,
                       help="go on where the run knows some of the films; the report says so first")
    group.add_argument("--force", action="store_true", default=unset,
                       help="replace the last evaluation of these films by this name")


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> str:
    """Evaluate; what to do next."""
    run, given = options.find_run(typed), vars(typed)
    if "path" in given and "repeat" in given:
        raise OptionError("Other films and other splits are two evaluations.", received="--path and --repeat",
                          remedy="Ask for one after the other.")
    kind = _ELSEWHERE if "path" in given else _REPEATED if "repeat" in given else _OWN
    options.refuse_unused(typed, _READERS, [kind])
    common: dict[str, Any] = {
        "seed": typed.seed, "lang": options.language_of(typed, run),
        **{name: given[name] for name in ("threads", "engine") if name in given}}
    if kind in _RECORDS and (run / _RECORDS[kind]).is_file():
        say(f"What {run / _RECORDS[kind]} holds of an earlier evaluation will be replaced.")
    evaluate = _elsewhere if kind == _ELSEWHERE else _repeat if kind == _REPEATED else _again
    evaluate(run, typed, common)
    if kind == _REPEATED:
        return command.line("explain_pict", "--run", run, "--worst", 10)
    return command.line("evaluate_model", "--run", run, "--repeat", 5)


def _again(run: Path, typed: argparse.Namespace, common: dict[str, Any]) -> None:
    """The run's own test films."""
    start_keras(common.get("threads"))
    from pneumo_tf.report.words import language
    from pneumo_tf.runs.folder import ROBUSTNESS
    from pneumo_tf.studies.stress import Rescoring, rescore_run

    names = {"films": "films", "views": "views", "augment": "preset"}
    own = {field: getattr(typed, name) for name, field in names.items() if name in typed}
    if "originals" in typed:
        own["originals"] = find_existing(typed.originals, what="source of originals", error=FilmError,
                                         remedy="Name the folder or .zip that prepare_pict.py was given.")
    report = rescore_run(run, Rescoring(**own, **common))
    content = read_json(run / ROBUSTNESS)
    show_json(content)
    words = language(current())
    show(f"{content['films']} of {content['of']} test films: how many are called otherwise after each "
         "change, and what it does to the area under the ROC curve:")
    for row in content["perturbations"]:
        area = row["auc"]["value"]
        numbers = f"{row['changed']['value']:>7.1%}" + (" " * 8 if area is None else f"{area:+8.3f}")
        show(f"{written(numbers)}  {words.named('robust', row['name'])}")
    _show_stress(content["stress"], words)
    say(f"Report: {report}")


def _show_stress(stress: dict[str, Any], words: Language) -> None:
    """The two headline figures of the stressed films."""
    show(f"Balanced accuracy under stress (which acted on {stress['acts_on']}):")
    worst = f"{translated('worst')}: {words.named('robust', stress['worst']['name'])}"
    for name, figure in ((translated("mean"), stress["mean"]["balanced_accuracy"]),
                         (worst, stress["worst"]["balanced_accuracy"])):
        if figure["value"] is not None:
            known = "" if figure["low"] is None else f" ({figure['low']:.3f} – {figure['high']:.3f})"
            show(written(f"{figure['value']:>7.3f}{known}") + f"  {name}")


def _elsewhere(run: Path, typed: argparse.Namespace, common: dict[str, Any]) -> None:
    """Films from elsewhere."""
    given = vars(typed)
    if "labels" not in given:
        raise OptionError("Films from elsewhere are evaluated by their labels.", received="no --labels",
                          remedy="Make a table of them with get_labels.py, and name it with --labels.")
    films, labels = options.find_films(typed.path), options.find_labels(typed.labels)
    start_keras(common.get("threads"))
    from pneumo_tf.runs.folder import METRICS
    from pneumo_tf.studies.other_films import Elsewhere, evaluate_elsewhere

    own = {name: given[name] for name in ("name", "recalibrate", "allow_known") if name in given}
    report = evaluate_elsewhere(run, Elsewhere(
        films=films, labels=labels, extension=given.get("ext"), patients=options.patients_of(typed),
        replace="force" in given, **own, **common, command=typed.command))
    content = read_json(report.parent / METRICS)
    show_json(content)
    show(f"{content['test']['films']} films from elsewhere, beside the run's own test films:")
    for name, row in content["drop"].items():
        here, there = (row[side]["value"] for side in ("internal", "external"))
        if None not in (here, there):
            show(f"  {translated(name.replace('_', ' ')):<22}" + written(f"{here:>7.3f} ->{there:>7.3f}"))
    say(f"Report: {report}")


def _repeat(run: Path, typed: argparse.Namespace, common: dict[str, Any]) -> None:
    """Other splits."""
    start_keras(common.get("threads"))
    from pneumo_tf.runs.folder import REPEATS
    from pneumo_tf.studies.resplit import repeat_study

    cache = output_path(typed.cache, default="") if "cache" in typed else None
    report = repeat_study(run, repeats=typed.repeat, cache=cache, **common)
    content = read_json(run / REPEATS)
    show_json(content)
    show(f"Mean of {content['repeats']} other splits, and the run's own:")
    for name, figure in content["figures"].items():
        numbers = f"{figure['value']:>7.3f} ± {figure['sd']:.3f}{figure['own']:>9.3f}"
        show(f"  {translated(name.replace('_', ' ')):<22}{written(numbers)}")
    say(f"Report: {report}")
