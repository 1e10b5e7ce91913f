"""adapt_pict.py: a run's threshold and calibration fitted to a place by labelled films from there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pneumo_tf.cli import command, options
from pneumo_tf.cli.command import start_keras
from pneumo_tf.language import say, show, show_json

if TYPE_CHECKING:
    from pneumo_tf.report.words import Language
    from pneumo_tf.runs.operating_points import RunPoint

_DESCRIPTION = ("Fit a finished run's threshold and calibration to a place by labelled films from there (50 "
                "and more, of 10 patients of each class and more), and say what that gains on patients whom "
                "it wasn't fitted on. The network isn't changed.")
_EPILOG = ("The run keeps the result under the place's name; predict_pict.py, triage_pict.py and "
           "export_model.py use it with --at NAME.")


def build_parser() -> command.Parser:
    """The options of adapt_pict.py."""
    parser = command.build("adapt_pict.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)
    unset = argparse.SUPPRESS
    parser.add_argument("-p", "--path", metavar="DIR", required=True, default=unset,
                        help="folder of films from the place")
    parser.add_argument("-l", "--labels", metavar="CSV", required=True, default=unset,
                        help="their table of labels")
    parser.add_argument("-ex", "--ext", metavar="EXT", default=unset,
                        help="extension of the films (default: any image)")
    options.add_patients(parser)
    options.add_run(parser)
    parser.add_argument("--name", default=unset, help="of the place (default: the folder's)")
    options.add_rule(parser, default="the run's; stressed is then youden")
    parser.add_argument("--force", action="store_true", default=unset,
                        help="replace the operating point of this name")
    options.add_engine(parser, default="auto")
    options.add_threads(parser)
    options.add_seed(parser, purpose="of folds and resamples")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Fit; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> str:
    """Fit; what to do next."""
    run, given = options.find_run(typed), vars(typed)
    films, labels = options.find_films(typed.path), options.find_labels(typed.labels)
    start_keras(given.get("threads"))
    from pneumo_tf.report.words import language
    from pneumo_tf.runs.folder import OPERATING_POINTS
    from pneumo_tf.studies.adaptation import adapt_run
    from pneumo_tf.studies.other_films import Elsewhere

    own = {name: given[name] for name in ("name", "threads", "engine") if name in given}
    point = adapt_run(run, Elsewhere(
        films=films, labels=labels, extension=given.get("ext"), patients=options.patients_of(typed),
        replace="force" in given, seed=typed.seed, command=typed.command, **own),
        rule=given.get("operating_point"))
    words = language(options.language_of(typed, run))
    show("\n".join(_told(point, words)))
    show_json({"name": point.name, "threshold": point.threshold, **point.record})
    say(words.say("adaptation.kept", path=run / OPERATING_POINTS / f"{point.name}.json", name=point.name))
    return command.line("export_model", "--run", run, "--at", point.name)


def _told(point: RunPoint, words: Language) -> Iterator[str]:
    """The table of figures before and after, and in words what the difference is worth."""
    record, say = point.record, words.say
    classes = ", ".join(f"{name} {words.number(films)}" for name, films in record["films_of_class"].items())
    yield say("adaptation.title", name=point.name, films=words.count(record["films"], "film"),
              patients=words.count(record["patients"], "patient"), classes=classes)
    yield _row("", say("adaptation.before"), say("adaptation.after"), say("adaptation.difference"))
    yield _row(say("adaptation.threshold"), words.number(record["own"]["threshold"], 4),
               words.number(point.threshold or 0, 4), "")
    for name in ("sensitivity", "specificity", "balanced_accuracy", "brier", "log_loss"):
        figure, write = record["figures"][name], partial(words.figure, name)
        yield _row(words.named("figure", name), words.estimate(figure["before"], write)[0],
                   words.estimate(figure["after"], write)[0], _change(name, figure["difference"], words))
    yield say("adaptation.unseen")
    for part, name, better in (("threshold", "balanced_accuracy", 1), ("calibration", "log_loss", -1)):
        difference = record["figures"][name]["difference"]
        verdict = "stays" if record["stays"][part] else _verdict(difference, better)
        yield say(f"adaptation.{part}.{verdict}", change=_change(name, difference, words))
    yield say("adaptation.worth")


def _row(name: str, before: str, after: str, difference: str) -> str:
    return f"  {name:<24}{before:>12}{after:>12}   {difference}".rstrip()


def _change(name: str, difference: dict[str, Any], words: Language) -> str:
    """A difference with its interval; empty where there is none."""
    if not difference["value"]:
        return ""
    write = partial(words.change, name)
    interval = words.interval(difference, write)
    return write(difference["value"]) + (f" ({interval})" if interval else "")


def _verdict(difference: dict[str, Any], better: int) -> str:
    """Whether a change is surely for the better, which is a rise (1) or a fall (-1), or for the worse."""
    if difference["low"] is None or difference["low"] <= 0 <= difference["high"]:
        return "unclear"
    return "gains" if better * difference["value"] > 0 else "loses"
