"""find_lr.py: which learning rate suits a recipe, by a range test."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pneumo_tf.cli import command, options
from pneumo_tf.language import say, show, show_json, translated

if TYPE_CHECKING:
    from pneumo_tf.studies.plan import StudyOptions
    from pneumo_tf.training.phased import Phase

_DESCRIPTION = ("Find a learning rate: train for a hundred batches with a growing rate, draw the loss over "
                "it and mark four suggestions. Takes the options of binary_class.py.")
_EPILOG = "binary_class.py --lr auto does the same before each step and takes the valley."
_MEANINGS = {"minimum": "a tenth of the rate with the least loss", "steep": "where the loss falls fastest",
             "valley": "in the middle of the longest fall; a good first choice",
             "slide": "before the slope changes at the right end"}


def build_parser() -> command.Parser:
    """The options of find_lr.py."""
    parser = command.build("find_lr.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)
    _add_test(parser)
    options.add_study(parser, writes="the drawings and the figures", recipe="fine-tune")
    return parser


def _add_test(parser: command.Parser) -> None:
    """The options of the range test itself."""
    parser.add_argument("--step", type=options.whole_number(at_least=1), default=1,
                        help="step of the recipe that is tested; those before it are trained first")
    parser.add_argument("--low", type=options.positive_number, default=1e-7, help="first learning rate")
    parser.add_argument("--high", type=options.positive_number, default=10.0, help="last learning rate")
    parser.add_argument("--batches", type=options.whole_number(at_least=20), default=100,
                        help="batches at most; it ends early where the loss shoots up")


def main(argv: Sequence[str] | None = None) -> int:
    """Test rates; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> str:
    """Test rates; what to do next."""
    options.start_study(typed)
    from pneumo_tf.studies.learning_rate import pictures, try_rates

    study = options.study_of(typed)
    found = try_rates(study, step=typed.step, low=typed.low, high=typed.high, steps=typed.batches)
    show_json(found.to_json())
    for name, rate in found.to_json().items():
        show(f"{name:<8}{rate:>10.2e}  {translated(_MEANINGS[name])}")
    curve, schedules = pictures(study.output)
    say(f"Curve: {curve}")
    say(f"Schedules: {schedules}")
    return command.line("binary_class", *_training(typed, study, found.valley))


def _training(typed: argparse.Namespace, study: StudyOptions, rate: float) -> list[str]:
    """What to type to train the same study at this rate in the step that was tested."""
    from pneumo_tf.studies.plan import settle
    from pneumo_tf.training.phased import Phased

    _add_test(own := command.build("find_lr.py", "", has_json=True))
    for option in ("--recipe", "--lr", "--phase"):  # which are written anew
        own.add_argument(option)
    _, rest = own.parse_known_args(typed.command[2:])
    plan = settle(study)
    recipe = plan.recipe
    assert isinstance(recipe, Phased)  # no other has steps to be tested
    tested, rates = recipe.phases[typed.step - 1], getattr(typed, "rates", "")
    if tested.rates is None and not tested.auto:
        rates, phases = f"{rate / tested.factor:.1e}", getattr(typed, "phases", [])
    else:
        phases = [_phase(phase, plan.epochs, rate=rate if phase is tested else None)
                  for phase in recipe.phases]
    return ["--recipe", typed.recipe, *rest, *(word for phase in phases for word in ("--phase", phase)),
            *(["--lr", rates] if rates else [])]


def _phase(phase: Phase, epochs: int, *, rate: float | None) -> str:
    """A phase as `--phase` takes it, with another rate where there is one."""
    rates = f":{rate:.1e}" if rate else ":auto" if phase.auto else ""
    if not rates and phase.rates:
        rates = f":{phase.rates.low:g}:{phase.rates.high:g}"
    return f"{phase.layers}:{phase.epochs or epochs}{rates}"
