"""Options that several commands share: their types, the run a command is about, and those of a study."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumo_tf.cli.command import Parser, start_keras
from pneumo_tf.errors import FilmError, LabelError, OptionError, option_of
from pneumo_tf.language import current, translated
from pneumo_tf.places import (
    LABELS_FILE,
    MODEL_FOLDER,
    PREPARED_FOLDER,
    find_existing,
    output_path,
)
from pneumo_tf.storage import read_json

if TYPE_CHECKING:
    from pneumo_tf.studies.plan import StudyOptions

_UNSET = argparse.SUPPRESS  # what isn't typed is left to the library, and --help shows no empty default
_IMAGE = "any image"
_LONGEST = 60  # characters of a value that a message repeats


def whole_number(*, at_least: int, at_most: int = 1_000_000) -> Callable[[str], int]:
    """An argparse type: a whole number between two bounds, whose error names the bound."""

    def parse(text: str) -> int:
        bound = f"of at least {at_least}"
        try:
            value = int(text)
        except ValueError:  # which a number of too many digits is, too
            value = at_least - 1
        if value > at_most:
            bound = f"of at most {at_most}"
        if not at_least <= value <= at_most:
            raise argparse.ArgumentTypeError(
                translated(f"a whole number {bound} is needed. Received: {_short(text)}"))
        return value

    return parse


pixels = whole_number(at_least=1, at_most=4096)
processes = whole_number(at_least=1, at_most=1024)
seed = whole_number(at_least=0, at_most=2**32 - 1)  # the largest that NumPy and Keras take


def fraction(text: str) -> float:
    """An argparse type: a number strictly between 0 and 1."""
    return _number(text, lambda value: 0 < value < 1, "a number between 0 and 1 (neither included)")


def positive_number(text: str) -> float:
    """An argparse type: a finite number above 0."""
    return _number(text, lambda value: 0 < value < math.inf, "a number above 0")


def _share(text: str) -> float:
    """An argparse type: a number from 0 to below 1."""
    return _number(text, lambda value: 0 <= value < 1, "a number from 0 to below 1")


def _number(text: str, holds: Callable[[float], bool], rule: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not holds(value):
        raise argparse.ArgumentTypeError(translated(f"{rule} is needed. Received: {_short(text)}"))
    return value


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def add_seed(parser: Parser, *, default: int = 42, purpose: str = "of everything random") -> None:
    parser.add_argument("--seed", type=seed, default=default, help=purpose)


def add_threads(parser: Parser) -> None:
    parser.add_argument("--threads", type=processes, default=_UNSET,
                        help="processor threads (default: all cores)")


def add_cluster(parser: Parser | argparse._ArgumentGroup, *, what: str) -> None:
    """Whether other machines help with `what`."""
    parser.add_argument("--cluster", metavar="auto|HOST:PORT", default=_UNSET,
                        help=f"compute {what} on a Ray cluster, whose machines all see the same folders; "
                        "auto: the one that this machine is in (pip install 'pneumo_tf[cluster]')")


def devices(text: str) -> int | str:
    """An argparse type: how many devices, or "all"."""
    return text if text == "all" else whole_number(at_least=1)(text)


def add_track(parser: Parser) -> None:
    """Which other program is told of a finished run."""
    parser.add_argument("--track", choices=("tensorboard", "mlflow"), default=_UNSET,
                        help="tell it of each run: options, curves, figures with intervals, report; on this "
                        "machine, in the output folder (pip install 'pneumo_tf[track]')")


def check_track(typed: argparse.Namespace) -> None:
    """Raise a TrackingError where what is to be told of the runs isn't installed."""
    if "track" in typed:
        from pneumo_tf.studies.tracking import check_tracker

        check_tracker(typed.track)


def add_engine(parser: Parser, *, default: str, purpose: str = "what computes the network") -> None:
    """The engine; `default` says in words which one it is."""
    parser.add_argument("--engine", choices=("keras", "openvino", "onnx", "auto"), default=_UNSET,
                        help=f"{purpose} (default: {default})")


def add_run(parser: Parser) -> None:
    parser.add_argument("--run", metavar="DIR", default=_UNSET,
                        help=f"folder of the run (default: the last one in {MODEL_FOLDER}/runs)")


def add_at(parser: Parser) -> None:
    parser.add_argument("--at", metavar="NAME", default=_UNSET, help="operating point and calibration of a "
                        "place, as adapt_pict.py keeps them in the run (default: the run's own)")


def find_run(typed: argparse.Namespace) -> Path:
    """The run that was named, else the last one.

    Raises:
        OptionError: It doesn't exist.
    """
    from pneumo_tf.runs.folder import RUNS, last_run

    remedy = "Train with binary_class.py first, or name a run with --run."
    if "run" in typed:
        return find_existing(typed.run, what="run", error=OptionError, remedy=remedy)
    runs = find_existing(f"{MODEL_FOLDER}/{RUNS}", what="folder of runs", error=OptionError, remedy=remedy)
    run = last_run(runs.parent)
    if run is None:
        raise OptionError("A finished run must exist.", received=f"none in {runs}", remedy=remedy)
    return run


def language_of(typed: argparse.Namespace, run: Path | None = None) -> str:
    """The language of what is written: the one in use, but what is added to a Spanish run stays Spanish where
    no other is typed. A broken record is told of later."""
    from pneumo_tf.runs.folder import RUN

    try:
        facts = {} if run is None else read_json(run / RUN)
        is_spanish = facts.get("options", {}).get("lang") == "es"
    except (OSError, ValueError, AttributeError):
        is_spanish = False
    return "es" if is_spanish and "lang" not in typed else current()


def find_films(typed: str) -> Path:
    """A folder of films, here or in the project; a FilmError where there is none."""
    return find_existing(typed, what="folder of films", error=FilmError,
                         remedy="Fill it with prepare_pict.py, or name another folder with --path.")


def find_labels(typed: str) -> Path:
    """A labels table, here or in the project; a LabelError where there is none."""
    return find_existing(typed, what="labels table", error=LabelError,
                         remedy="Make it with get_labels.py, or name another table with --labels.")


def add_patients(parser: Parser | argparse._ArgumentGroup) -> None:
    """Which column of the labels table tells the patients."""
    parser.add_argument("--patients", metavar="COLUMN", default=_UNSET,
                        help="column of the table that tells the patients (default: patient)")
    parser.add_argument("--no-patients", action="store_true", default=_UNSET,
                        help="no other column than patient tells them, whatever it is called")


def patients_of(typed: argparse.Namespace) -> str | None:
    """The column that was named, "" for none, None where nothing was typed.

    Raises:
        OptionError: Both were.
    """
    if "patients" in typed and "no_patients" in typed:
        raise OptionError("The patients are told by a column or by none.",
                          received="--patients and --no-patients", remedy="Leave one of them out.")
    return "" if "no_patients" in typed else getattr(typed, "patients", None)


def refuse_unused(typed: argparse.Namespace, readers: Mapping[str, Sequence[str]],
                  chosen: Sequence[str]) -> None:
    """Refuse options that nothing of what was asked for would read.

    Args:
        typed: Options; those that weren't typed are missing.
        readers: The options that only one kind of work reads, by that kind in words.
        chosen: Kinds of work that were asked for.

    Raises:
        OptionError: One of them belongs to another kind.
    """
    for reader, names in readers.items():
        for name in names:
            if reader not in chosen and name in typed:
                option = "--" + name.replace("_", "-")
                raise OptionError(f"{option} goes with {reader}.",
                                  received=f"{option} with {' and '.join(chosen)}",
                                  remedy=f"Leave {option} out.")


def add_study(parser: Parser, *, writes: str, recipe: str | None = None) -> None:
    """Every option of a study.

    Args:
        parser: That gets them.
        writes: What goes into the output folder, in words.
        recipe: The usual one; None lets the machine choose.
    """
    _add_films(parser, writes=writes)
    _add_network(parser, recipe=recipe)
    group = parser.add_argument_group("values of the recipe (default: its own)")
    for name, about in SETTINGS.items():
        group.add_argument(option_of(name), dest=name, default=_UNSET, **about)
    _add_split(parser)
    _add_running(parser)


def _add_films(parser: Parser, *, writes: str) -> None:
    """Where films and labels are, and where results go."""
    parser.add_argument("-e", "--epochs", type=whole_number(at_least=1), default=_UNSET,
                        help="most epochs of the recipe's main phase (default: 10 of sturdy, else 60)")
    parser.add_argument("-p", "--path", metavar="DIR", default=PREPARED_FOLDER, help="folder of films")
    parser.add_argument("-l", "--labels", metavar="CSV", default=LABELS_FILE, help="table of labels")
    add_patients(parser)
    parser.add_argument("-ex", "--ext", default=_IMAGE, metavar="EXT",
                        help="extension of the films, e.g. .jpeg")
    parser.add_argument("-o", "--output", metavar="DIR", default=_UNSET,
                        help=f"folder for {writes} (default: {MODEL_FOLDER})")


def _add_network(parser: Parser, *, recipe: str | None) -> None:
    """Recipe, backbone and batches; without a `recipe` the machine chooses one."""
    parser.add_argument("--recipe", default=recipe or _UNSET,
                        help="fast, sturdy, full, reference, last-layer, fine-tune, scratch-dwsep, ensemble "
                        "or top" + ("" if recipe else " (default: sturdy, with few films or minutes fast)"))
    parser.add_argument("--backbone", default=_UNSET, metavar="NAME",
                        help="a name that backbones.py lists, or several joined by + for an ensemble "
                        "(default: the recipe's own, mostly inception_v3, or one whose weights are here "
                        "where its aren't)")
    parser.add_argument("--weights", default="imagenet", metavar="PATH",
                        help="weights file of the backbone or its folder, imagenet (look for the published "
                        "one), keras-hub (its preset) or none; joined by + for those of an ensemble")
    parser.add_argument("--image-size", type=pixels, default=_UNSET,
                        metavar="PIXELS", help="side of the films (default: the backbone's own)")
    parser.add_argument("--batch-size", type=whole_number(at_least=1), default=32,
                        help="films per training step")


# The values of a recipe that can be typed, by their names in it.
SETTINGS: dict[str, dict[str, Any]] = {
    "optimizer": {"help": "sgd, adam, adamw, adadelta, adagrad or rmsprop"},
    "rates": {"metavar": "RATE", "help": "learning rate, LOW:HIGH for the first and the last layers, or auto "
              "(a range test)"},
    "schedule": {"help": "one-cycle, cosine or constant"},
    "momentum": {"type": _share, "help": "of sgd and rmsprop"},
    "weight_decay": {"type": _share, "help": "decoupled in adamw, L2 in the others"},
    "phases": {"action": "append", "metavar": "LAYERS:EPOCHS[:RATE]",
               "help": "one phase, head or all, e.g. --phase head:3:5e-3 --phase all:8:1e-5:1e-3"},
    "patience": {"type": whole_number(at_least=1),
                 "help": "epochs without a better validation loss until training stops"},
    "augment": {"metavar": "PRESET", "help": "films, tutorial, skin, assignment, none or generator"},
    "head": {"help": "softmax, linear, tutorial, fastai or dwsep"},
    "weighted": {"action": argparse.BooleanOptionalAction,
                 "help": "whether rare classes count like frequent ones"},
    "views": {"type": whole_number(at_least=0, at_most=1000),
              "help": "augmented views of each film, computed once"},
    "penalty": {"type": positive_number, "help": "L2 penalty of the linear head"},
}


def _add_split(parser: Parser) -> None:
    """Who is tested."""
    parser.add_argument("--test-fraction", type=fraction, default=0.30, help="of all films")
    parser.add_argument("--validation-fraction", type=fraction, default=0.15, help="of the rest")
    parser.add_argument("--split-by", choices=("patient", "film"), default="patient",
                        help="film only to see what a split that ignores patients pretends")
    parser.add_argument("--keep-test", action="store_true",
                        help="test on the films that the source had in its test folder")


def add_minutes(parser: Parser) -> None:
    parser.add_argument("--minutes", type=positive_number, default=_UNSET, metavar="N",
                        help="minutes that the training may take: a few steps measure the machine, then "
                        "recipe and epochs are chosen to fit (default: 10 without --recipe, else any)")


def add_rule(parser: Parser, *, default: str) -> None:
    """How the threshold is fixed; `default` says in words how."""
    point = parser.add_mutually_exclusive_group()
    point.add_argument("--operating-point", type=_operating_point, default=_UNSET, metavar="RULE",
                       help="how the threshold is fixed on films that weren't learnt from: stressed (the "
                       "balanced point of clean and perturbed ones), stressed=0.95, youden, "
                       "sensitivity=0.95, specificity=0.9, cost=10 (a missed film is as bad as 10 false "
                       "alarms) or cost=10@0.02 (where 2 %% of the films are positive) "
                       f"(default: {default})")
    point.add_argument("--sensitivity", type=_least_sensitivity, dest="operating_point", metavar="SHARE",
                       default=_UNSET, help="short for --operating-point sensitivity=SHARE")


def add_judgement(parser: Parser) -> None:
    """What is made of the scores, all of it fixed before the test films are read."""
    add_rule(parser, default="stressed of sturdy, else sensitivity=0.95")
    parser.add_argument("--calibration", choices=("temperature", "platt", "isotonic", "none"),
                        default="temperature", help="how scores are made into probabilities, on the "
                        "validation films; the exported model isn't changed by it")
    parser.add_argument("--prevalence", type=fraction, nargs="+", dest="prevalences", metavar="SHARE",
                        default=_UNSET, help="shares of positives that predictive values are "
                        "given for (default: 0.01 0.05 0.1 0.3)")


def _operating_point(text: str) -> str:
    """An argparse type: a rule as the evaluation reads it."""
    from pneumo_tf.evaluation.operating_point import parse_rule

    try:
        return str(parse_rule(text))
    except OptionError as failure:
        raise argparse.ArgumentTypeError(str(failure).rstrip(".")) from failure


def _least_sensitivity(text: str) -> str:
    """An argparse type: a share as the rule that it is short for."""
    return f"sensitivity>={fraction(text):g}"


def _add_running(parser: Parser) -> None:
    """What chance, the machine and earlier runs have to do with it."""
    add_seed(parser)
    parser.add_argument("--split-seed", type=seed, default=_UNSET,
                        help="of the split alone (default: the seed)")
    add_threads(parser)
    add_engine(parser, purpose="what computes frozen networks",
               default="auto: openvino where there is no GPU and pip install 'pneumo_tf[cpu]' was done")
    parser.set_defaults(engine="auto")
    parser.add_argument("--devices", type=devices, metavar="N|all", default=_UNSET,
                        help="divide each training step among so many GPUs or other devices, in recipes that "
                        "train every layer (KERAS_BACKEND=jax)")
    parser.add_argument("--cache", metavar="DIR", default=_UNSET,
                        help="folder for pixels and activations that later runs reuse (default: cache "
                        "in the output folder)")


def start_study(typed: argparse.Namespace) -> None:
    """Find films and labels before Keras is started, which takes seconds.

    Raises:
        PneumoError: They don't exist.
    """
    find_films(typed.path)
    find_labels(typed.labels)
    start_keras(getattr(typed, "threads", None))


def study_of(typed: argparse.Namespace) -> StudyOptions:
    """The study that was typed; what wasn't typed is left to it.

    Raises:
        PneumoError: Films or labels don't exist, or a value has no meaning.
    """
    from pneumo_tf.studies.plan import StudyOptions

    extension = None if typed.ext == _IMAGE else typed.ext
    if extension is not None and not extension.strip(". "):
        raise OptionError("The extension must name a kind of image.", received=repr(extension),
                          remedy="Give --ext .jpeg, or leave it out for any image.")
    output = output_path(getattr(typed, "output", None), default=MODEL_FOLDER)
    cache = output_path(getattr(typed, "cache", output / "cache"), default="")
    found = {"films": find_films(typed.path), "labels": find_labels(typed.labels), "extension": extension,
             "output": output, "cache": cache, "settings": _settings(typed), "patients": patients_of(typed),
             "lang": language_of(typed)}
    known = {field.name for field in fields(StudyOptions)}
    return StudyOptions(**{name: value for name, value in vars(typed).items() if name in known} | found)


def _settings(typed: argparse.Namespace) -> dict[str, Any]:
    """The typed values of the recipe, as the recipe holds them."""
    from pneumo_tf.training.optimizers import parse_rates
    from pneumo_tf.training.phased import parse_phase

    settings = {name: value for name, value in vars(typed).items() if name in SETTINGS}
    if "rates" in settings:
        settings["rates"] = parse_rates(settings["rates"])
    if "phases" in settings:
        settings["phases"] = tuple(parse_phase(text) for text in settings["phases"])
    return settings
