"""The options of a study, shared by every command that trains or prepares a training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pneumo_tf.cli import command
from pneumo_tf.errors import FilmError, LabelError, OptionError
from pneumo_tf.places import (
    LABELS_FILE,
    MODEL_FOLDER,
    PREPARED_FOLDER,
    find_existing,
    output_path,
)

_IMAGE = "any image"
SETTINGS = ("optimizer", "rates", "schedule", "momentum", "weight_decay", "phases", "patience", "augment",
             "head", "weighted", "views", "penalty")
_FOUND = ("path", "ext", "labels", "output", "cache", *SETTINGS)


def add_all(parser: command.Parser, *, writes: str, recipe: str | None = None) -> None:
    """Every option of a study.

    Args:
        writes: What goes into the output folder, in words.
        recipe: The usual one; None lets the machine choose.
    """
    _add_films(parser, writes=writes)
    _add_network(parser, recipe=recipe)
    _add_settings(parser)
    _add_split(parser)
    _add_running(parser)


def _add_films(parser: command.Parser, *, writes: str) -> None:
    """Where films and labels are, and where results go."""
    parser.add_argument("-e", "--epochs", type=command.whole_number(at_least=1), default=60,
                        help="most epochs of the recipe's main phase")
    parser.add_argument("-p", "--path", metavar="DIR", default=PREPARED_FOLDER, help="folder of films")
    parser.add_argument("-l", "--labels", metavar="CSV", default=LABELS_FILE, help="table of labels")
    parser.add_argument("-ex", "--ext", default=_IMAGE, metavar="EXT",
                        help="extension of the films, e.g. .jpeg")
    parser.add_argument("-o", "--output", metavar="DIR", default=argparse.SUPPRESS,
                        help=f"folder for {writes} (default: {MODEL_FOLDER})")


def _add_network(parser: command.Parser, *, recipe: str | None = None) -> None:
    """Recipe, backbone and batches; without a `recipe` the machine chooses one."""
    usual = recipe or "fast, or full where there is a GPU"
    parser.add_argument("--recipe", default=recipe or argparse.SUPPRESS,
                        help="fast, full, reference, last-layer, fine-tune, scratch-dwsep, ensemble or top"
                        + ("" if recipe else f" (default: {usual})"))
    parser.add_argument("--backbone", default=argparse.SUPPRESS, metavar="NAME",
                        help="a name that backbones.py lists, or several joined by + for an ensemble "
                        "(default: the recipe's own, mostly inception_v3)")
    parser.add_argument("--weights", default="imagenet", metavar="PATH",
                        help="weights file of the backbone, imagenet (look for it) or none; joined by + for "
                        "those of an ensemble")
    parser.add_argument("--image-size", type=command.whole_number(at_least=1), default=argparse.SUPPRESS,
                        metavar="PIXELS", help="side of the films (default: the backbone's own)")
    parser.add_argument("--batch-size", type=command.whole_number(at_least=1), default=32,
                        help="films per training step")


def _add_settings(parser: command.Parser) -> None:
    """Single values of a recipe; what isn't typed stays as the recipe has it."""
    group = parser.add_argument_group("values of the recipe (default: its own)")

    def add(option: str, **about: Any) -> None:
        group.add_argument(option, default=argparse.SUPPRESS, **about)

    add("--optimizer", help="sgd, adam, adamw, adadelta, adagrad or rmsprop")
    add("--lr", dest="rates", metavar="RATE",
        help="learning rate, LOW:HIGH for the first and the last layers, or auto (a range test)")
    add("--schedule", help="one-cycle, cosine or constant")
    add("--momentum", type=float, help="of sgd and rmsprop")
    add("--weight-decay", type=float, help="decoupled in adamw, L2 in the others")
    add("--phase", dest="phases", action="append", metavar="LAYERS:EPOCHS[:RATE]",
        help="one phase, head or all, e.g. --phase head:3:5e-3 --phase all:8:1e-5:1e-3")
    add("--patience", type=command.whole_number(at_least=1),
        help="epochs without a better validation loss until training stops")
    add("--augment", metavar="PRESET", help="films, tutorial, skin, assignment, none or generator")
    add("--head", help="softmax, linear, tutorial, fastai or dwsep")
    add("--class-weights", dest="weighted", action=argparse.BooleanOptionalAction,
        help="whether rare classes count like frequent ones")
    add("--views", type=command.whole_number(at_least=0), help="augmented views of each film, computed once")
    add("--penalty", type=command.positive_number, help="L2 penalty of the linear head")


def _add_split(parser: command.Parser) -> None:
    """Who is tested."""
    parser.add_argument("--test-fraction", type=command.fraction, default=0.30, help="of all films")
    parser.add_argument("--validation-fraction", type=command.fraction, default=0.15, help="of the rest")
    parser.add_argument("--split-by", choices=("patient", "film"), default="patient",
                        help="film only to see what a split that ignores patients pretends")
    parser.add_argument("--keep-test", action="store_true",
                        help="test on the films that the source had in its test folder")


def add_judgement(parser: command.Parser) -> None:
    """What is made of the scores, all of it fixed before the test films are read."""
    point = parser.add_mutually_exclusive_group()
    point.add_argument("--operating-point", type=_operating_point, default="sensitivity=0.95", metavar="RULE",
                       help="how the threshold is fixed on the validation films: youden, sensitivity=0.95, "
                       "specificity=0.9, cost=10 (a missed film is as bad as 10 false alarms) or "
                       "cost=10@0.02 (where 2 %% of the films are positive)")
    point.add_argument("--sensitivity", type=_least_sensitivity, dest="operating_point", metavar="SHARE",
                       default=argparse.SUPPRESS, help="short for --operating-point sensitivity=SHARE")
    parser.add_argument("--calibration", choices=("temperature", "platt", "isotonic", "none"),
                        default="temperature", help="how scores are made into probabilities, on the "
                        "validation films; the exported model isn't changed by it")
    parser.add_argument("--prevalence", type=command.fraction, nargs="+", dest="prevalences", metavar="SHARE",
                        default=argparse.SUPPRESS, help="shares of positives that predictive values are "
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
    return f"sensitivity>={command.fraction(text):g}"


def _add_running(parser: command.Parser) -> None:
    """What chance, the machine and earlier runs have to do with it."""
    parser.add_argument("--seed", type=command.whole_number(at_least=0), default=42,
                        help="of everything random")
    parser.add_argument("--split-seed", type=command.whole_number(at_least=0), default=argparse.SUPPRESS,
                        help="of the split alone (default: the seed)")
    parser.add_argument("--threads", type=command.whole_number(at_least=1), default=argparse.SUPPRESS,
                        help="processor threads (default: all cores)")
    parser.add_argument("--engine", choices=("keras", "openvino", "auto"), default="keras",
                        help="what computes frozen networks; openvino: pip install 'pneumo_tf[cpu]'; auto: "
                        "openvino where it is installed and there is no GPU")
    parser.add_argument("--cache", metavar="DIR", default=argparse.SUPPRESS,
                        help="folder for pixels and activations that later runs reuse (default: cache "
                        "in the output folder)")


def typed_options(typed: argparse.Namespace, *, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The options of a study as they were typed; what wasn't typed is left to the study.

    Raises:
        PneumoError: Films or labels don't exist, or a value has no meaning.
    """
    given = {name: value for name, value in vars(typed).items() if name not in (*_FOUND, *leave_out)}
    extension = None if typed.ext == _IMAGE else typed.ext
    if extension is not None and not extension.strip(". "):
        raise OptionError("The extension must name a kind of image.", received=repr(extension),
                          remedy="Give --ext .jpeg, or leave it out for any image.")
    output = output_path(getattr(typed, "output", None), default=MODEL_FOLDER)
    return {**given, **_sources(typed), "extension": extension, "settings": _settings(typed),
            "output": output, "cache": output_path(getattr(typed, "cache", output / "cache"), default="")}


def check_sources(typed: argparse.Namespace) -> None:
    """Find films and labels before Keras is started, which takes seconds.

    Raises:
        PneumoError: They don't exist.
    """
    _sources(typed)


def _sources(typed: argparse.Namespace) -> dict[str, Path]:
    films = find_existing(typed.path, what="folder of films", error=FilmError,
                          remedy="Fill it with prepare_pict.py, or name another folder with --path.")
    labels = find_existing(typed.labels, what="labels table", error=LabelError,
                           remedy="Make it with get_labels.py, or name another table with --labels.")
    return {"films": films, "labels": labels}


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
