"""How long a training takes on this machine, and what fits into the minutes that a person has.

The machine is measured by a few steps of the recipe on noise, before any film is read: a step takes as long
on noise as on films, and what is chosen is said before it starts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from statistics import median

import keras
import numpy as np

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.data.labels import load_cohort
from pneumo_tf.errors import OptionError
from pneumo_tf.language import counted, say
from pneumo_tf.progress import announce
from pneumo_tf.studies.plan import Pace, Plan, StudyOptions, settle
from pneumo_tf.training.fast import Fast
from pneumo_tf.training.machine import StageRecorder
from pneumo_tf.training.phased import Phased, Top
from pneumo_tf.training.pixels import Pixels

USUAL = 10.0  # minutes, where a person says neither recipe nor minutes
_KEPT = 0.85  # share of the minutes that is planned with: machines are shared
_COMPILING, _STEPS = 2, 5
# Seconds for all but network and training, of which so many for each film: audit, decoding, stress, figures,
# export, report.
_FIXED, _PER_FILM = 40.0, 0.008
# Of learning from a film, what a frozen network without BatchNorm costs on one of that size: 210 films a
# second of 224 pixels were measured where 117 of 128 were learnt from.
_FORWARD = 0.2


def fit_minutes(plan: Plan) -> Plan:
    """The plan, with the recipe and the epochs that fit into the person's minutes; says what was chosen.

    Without `--recipe` that is what holds up best in them, or in 10 minutes: `fast` where films or minutes are
    too few for the plan's own. With a recipe and no minutes the plan stays as it is.

    Raises:
        OptionError: A recipe was asked for that doesn't fit, or one that isn't trained by epochs.
        LabelError, FilmError: Labels or films can't be used.
    """
    options, recipe = plan.options, plan.recipe
    minutes = options.minutes or (None if options.recipe else USUAL)
    if minutes is None or (isinstance(recipe, Fast) and options.recipe is None):
        return plan
    if not isinstance(recipe, Phased) or isinstance(recipe, Top):
        raise OptionError("--minutes chooses the epochs of a recipe that learns from films by epochs.",
                          received=f"--recipe {plan.recipe_name}", remedy="Leave --minutes or --recipe out.")
    films, learnt = _count(options)
    may_change = options.recipe is None and set(options.settings) <= {field.name for field in fields(Fast)}
    if may_change and _steps(plan, recipe, learnt) < _memory(recipe):
        say(f"About {learnt} films to learn from are too few for {plan.recipe_name}: fast.")
        return _quick(plan, options)
    return _timed(plan, recipe, films=films, learnt=learnt, minutes=minutes, may_change=may_change)


def _timed(plan: Plan, recipe: Phased, *, films: int, learnt: int, minutes: float, may_change: bool) -> Plan:
    """The plan with as many epochs as fit, by the machine's pace."""
    options, rate = plan.options, films_per_second(plan)
    most = plan.epochs if options.recipe else min(plan.epochs, recipe.epochs)
    fewest = min(recipe.fewest_epochs, most)
    epoch = (learnt + _FORWARD * (films - learnt) * options.validation_fraction) / rate
    # Phases that have a length of their own come on top.
    around = _FIXED + films * (_PER_FILM + _FORWARD / rate) \
        + epoch * sum(phase.epochs or 0 for phase in recipe.phases)
    fitting = int((60 * minutes * _KEPT - around) / epoch)
    quick, needed = _quick_seconds(plan, films, learnt, rate), around + fewest * epoch
    if fitting >= fewest:
        epochs = min(fitting, most)
        pace = Pace(minutes, rate, epochs, around + epochs * epoch, "fast", quick)
        return _told(replace(plan, epochs=epochs, pace=pace))
    if not may_change:
        raise OptionError(f"The recipe {plan.recipe_name} must fit into the minutes.",
                          received=f"{minutes:g} minutes, where {fewest} epochs take about {needed / 60:.0f}",
                          remedy=f"Give --minutes {needed / 60 / _KEPT + 1:.0f}, a smaller --image-size, or "
                                 "--recipe fast.")
    pace = Pace(minutes, rate, 0, quick, plan.recipe_name, needed)
    return _told(replace(_quick(plan, replace(options, backbone=plan.backbones)), pace=pace))


def _quick(plan: Plan, options: StudyOptions) -> Plan:
    """The recipe `fast` in the plan's place; the record keeps what was typed."""
    return replace(settle(replace(options, recipe="fast")), options=plan.options)


def _steps(plan: Plan, recipe: Phased, learnt: int) -> int:
    """Steps of the recipe's own number of epochs."""
    return recipe.epochs * -(-learnt // plan.options.batch_size)


def _memory(recipe: Phased) -> float:
    """How many steps a recipe's moving average of the weights looks back.

    A shorter training ends with weights from before it learnt anything: of 95 phantoms, 30 steps, `sturdy`
    ended with a test AUC of 0.64 where `fast` had 0.96.
    """
    return 0 if recipe.average is None else 1 / (1 - recipe.average)


def _told(plan: Plan) -> Plan:
    """The plan, after a sentence on it."""
    pace = plan.pace
    assert pace is not None
    what = f"{plan.recipe_name}, {counted(pace.epochs, 'epoch|epochs')}" if pace.epochs else plan.recipe_name
    say(f"About {_minutes(pace.seconds)}: {what} at {plan.size} px; {pace.other} would take "
        f"{_minutes(pace.other_seconds)}.")
    return plan


def _minutes(seconds: float) -> str:
    return f"{max(round(seconds / 60), 1)} min"


def _count(options: StudyOptions) -> tuple[int, int]:
    """How many films there are, and about how many of them will be learnt from."""
    films = len(load_cohort(options.labels, options.films, extension=options.extension))
    return films, round(films * (1 - options.test_fraction) * (1 - options.validation_fraction))


def _quick_seconds(plan: Plan, films: int, learnt: int, rate: float) -> float:
    """What `fast` takes on the same backbone at its own size: a pass for every film and view."""
    backbone = plan.members[0].backbone
    area = ((plan.options.image_size or backbone.size) / plan.size) ** 2
    return _FIXED + films * _PER_FILM + (films + learnt * backbone.views) * area * _FORWARD / rate


def films_per_second(plan: Plan) -> float:
    """How many films the recipe learns from in a second, by a few steps on noise."""
    assert isinstance(plan.recipe, Phased)
    announce("Measuring this machine")
    with _throw_away():
        ready = plan.recipe.prepare(plan.task(*_noise(plan), StageRecorder()))
        ready.phases[-1].compile_for_test()
        batches, model, seconds = ready.loop.batches, ready.loop.model, []
        for step in range(_COMPILING + _STEPS):
            began = time.perf_counter()
            batch = batches[step % len(batches)]
            drawn = time.perf_counter()
            model.train_on_batch(*batch)
            # While a batch is learnt from, the threads draw the next ones.
            seconds.append(time.perf_counter() - drawn + (drawn - began) / plan.threads)
    return plan.options.batch_size / median(seconds[_COMPILING:])


def _noise(plan: Plan) -> tuple[Cohort, Pixels]:
    """Two batches of noise to learn from, and two films that validate."""
    films = 2 * plan.options.batch_size + 2
    cohort = Cohort(tuple(Radiograph(str(row), "AB"[row % 2], split="train" if row > 1 else "validation")
                          for row in range(films)))
    shape = (films, plan.size, plan.size, 1)
    return cohort, Pixels(np.random.default_rng(0).integers(0, 256, shape, np.uint8), np.arange(films))


@contextmanager
def _throw_away() -> Iterator[None]:
    """Leave no network, no layer number and no random state behind."""
    try:
        yield
    finally:
        keras.backend.clear_session()

