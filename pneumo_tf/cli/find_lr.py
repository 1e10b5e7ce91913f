"""find_lr.py: which learning rate suits a recipe, by a range test."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pneumo_tf.cli import command, study_options
from pneumo_tf.cli.keras_start import start_keras

_DESCRIPTION = ("Find a learning rate: train for a hundred batches with a growing rate, draw the loss over "
                "it and mark four suggestions. Takes the options of binary_class.py.")
_EPILOG = "binary_class.py --lr auto does the same before each step and takes the valley."
_MEANINGS = {"minimum": "a tenth of the rate with the least loss", "steep": "where the loss falls fastest",
             "valley": "in the middle of the longest fall; a good first choice",
             "slide": "before the slope changes at the right end"}


def build_parser() -> command.Parser:
    """The options of find_lr.py."""
    parser = command.build("find_lr.py", _DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--step", type=command.whole_number(at_least=1), default=1,
                        help="step of the recipe that is tested; those before it are trained first")
    parser.add_argument("--low", type=command.positive_number, default=1e-7, help="first learning rate")
    parser.add_argument("--high", type=command.positive_number, default=10.0, help="last learning rate")
    parser.add_argument("--batches", type=command.whole_number(at_least=20), default=100,
                        help="batches at most; it ends early where the loss shoots up")
    study_options.add_all(parser, writes="the drawings and the figures", recipe="fine-tune")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Test rates; the exit code is 0, or 2 after a mistake said in one line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return command.run(build_parser(), lambda typed: _act(typed, arguments), arguments)


def _act(typed: argparse.Namespace, arguments: Sequence[str]) -> None:
    study_options.check_sources(typed)
    start_keras(getattr(typed, "threads", None))
    from pneumo_tf.studies.learning_rate import pictures, try_rates
    from pneumo_tf.studies.plan import StudyOptions

    own = ("step", "low", "high", "batches")
    options = StudyOptions(command=("python", "scripts/find_lr.py", *arguments),
                           **study_options.typed_options(typed, leave_out=own))
    found = try_rates(options, step=typed.step, low=typed.low, high=typed.high, steps=typed.batches)
    for name, rate in found.to_json().items():
        print(f"{name:<8}{rate:>10.2e}  {_MEANINGS[name]}")
    for name, path in zip(("Curve", "Schedules"), pictures(options.output), strict=True):
        print(f"{name}: {path}")
