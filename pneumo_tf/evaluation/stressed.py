"""How a classifier does on perturbed films, at the operating point that it has: each, the mean, the worst."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.evaluation.figures import Judged
from pneumo_tf.evaluation.intervals import resampled
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import mean_of, worst_of

BALANCED = "balanced_accuracy"
FOR_TWO = ("sensitivity", "specificity")


def stress_figures(films: Scores, perturbed: Mapping[str, NDArray[np.floating]], threshold: float | None, *,
                   apart: Collection[str] = (), together: Collection[str] = (), seed: int = 42,
                   resamples: int = 1000) -> dict[str, Any]:
    """Figures on the films as they are and after each perturbation, ready for JSON.

    Args:
        films: The films as they are.
        perturbed: Uncalibrated scores (n, K) of the same films after each perturbation, by its name.
        threshold: The operating point; None for several classes.
        apart: Perturbations that are told, but count neither for the mean nor for the worst.
        together: Perturbations that have a mean of their own, too.

    Returns:
        `perturbations`, a row for each with its `name`, its balanced accuracy and, of two classes, its
        sensitivity and specificity; `clean`, that row of the films as they are; `mean`, those figures' means
        over the perturbations, and `together`, over some of them; `worst`, the row with the least balanced
        accuracy, whose interval is that of the least one, whichever it is in each resample. Means and
        balanced accuracies resample patients, with all perturbations of their films together.
    """
    shares = FOR_TWO if films.is_binary else ()
    judged = {name: Judged(replace(films, values=values), threshold) for name, values in perturbed.items()}
    judged["clean"] = Judged(films, threshold)
    counted = [name for name in perturbed if name not in apart]
    wanted = {(name, BALANCED): of.statistic(BALANCED) for name, of in judged.items()}
    means = {"mean": counted, "together": [name for name in counted if name in together]}
    wanted |= {(mean, figure): mean_of([judged[name].statistic(figure) for name in of])
               for mean, of in means.items() if of for figure in (BALANCED, *shares)}
    wanted["worst", BALANCED] = worst_of([wanted[name, BALANCED] for name in counted])
    found = resampled({"/".join(key): statistic for key, statistic in wanted.items()}, films.groups,
                      seed=seed, resamples=resamples, why="one_class_only")

    def row(name: str) -> dict[str, Any]:
        return {"name": name, BALANCED: found[f"{name}/{BALANCED}"],
                **{figure: judged[name].share(figure) for figure in shares}}

    worst = min(counted, key=lambda name: found[f"{name}/{BALANCED}"]["value"] or 0.0)
    return {"films": len(films.ids), "patients": len(np.unique(films.groups)), "threshold": threshold,
            "clean": row("clean"),
            **{mean: {figure: found[f"{mean}/{figure}"] for figure in (BALANCED, *shares)}
               for mean, of in means.items() if of},
            "worst": row(worst) | {BALANCED: found[f"worst/{BALANCED}"]},
            "perturbations": [row(name) for name in perturbed]}
