"""A range test of a study's recipe: which learning rate suits it, before it is trained."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from pneumo_tf.errors import OptionError
from pneumo_tf.report.charts.rates import draw_rate_curve, draw_schedules
from pneumo_tf.storage import make_folder, write_json
from pneumo_tf.studies.plan import StudyOptions, settle
from pneumo_tf.studies.train import build_task
from pneumo_tf.training.machine import StageRecorder
from pneumo_tf.training.optimizers import SCHEDULES
from pneumo_tf.training.phased import Phased
from pneumo_tf.training.rate_finder import Suggestions, find_rates, suggest
from pneumo_tf.training.recipes import RECIPES

NAME = "find_lr"


def try_rates(options: StudyOptions, *, step: int, low: float, high: float, steps: int) -> Suggestions:
    """Try growing learning rates on one step of a recipe; draw the curve and what it suggests.

    The steps before it are trained as the recipe does. Nothing of the test remains in the model. Writes
    `find_lr.png`, `find_lr.json`, and what each schedule would make of the valley, into the output folder.

    Args:
        options: Of the study.
        step: Number of the recipe's step, from 1.
        low: First learning rate.
        high: Last one.
        steps: Batches at most.

    Raises:
        OptionError: The recipe learns without a rate, or has no such step.
        TrainingError: The loss shot up too early to be read.
    """
    plan = settle(options)
    recipe = plan.recipe
    if not isinstance(recipe, Phased):
        named = ", ".join(name for name, row in RECIPES.items() if isinstance(row, Phased))
        raise OptionError("A range test needs a recipe that learns at a rate.",
                          received=f"{plan.recipe_name}, whose head is found by L-BFGS",
                          remedy=f"Choose one of: {named}.")
    if step > len(recipe.phases):
        raise OptionError("The step must be one of the recipe's.",
                          received=f"{step}, where {plan.recipe_name} has {len(recipe.phases)}",
                          remedy="Choose 1 for the first.")
    folder = make_folder(options.output)
    keras.utils.set_random_seed(options.seed)
    ready = recipe.prepare(build_task(plan, StageRecorder()))
    ready.loop.run(ready.phases[: step - 1])
    ready.phases[step - 1].compile_for_test()
    curve = find_rates(ready.loop.model, ready.loop.batches, low=low, high=high, steps=steps)
    suggestions = suggest(curve)
    write_json(folder / f"{NAME}.json", {
        "recipe": plan.recipe_name, "backbone": plan.backbones, "step": step,
        "layers": ready.phases[step - 1].name, "suggestions": suggestions.to_json(),
        "rates": curve.rates.tolist(), "losses": curve.losses.tolist(), "command": list(options.command)})
    draw_rate_curve(curve.rates, curve.losses, suggestions.to_json(), folder / NAME)
    total = ready.phases[step - 1].epochs * len(ready.loop.batches)
    draw_schedules({name: schedule(np.arange(total), total=total, peak=suggestions.valley)
                    for name, schedule in SCHEDULES.items()}, folder / f"{NAME}_schedules")
    return suggestions


def pictures(output: Path) -> list[Path]:
    """Where the drawings of a test in this folder lie: the curve, and the schedules at its valley."""
    return [output / f"{NAME}.png", output / f"{NAME}_schedules.png"]
