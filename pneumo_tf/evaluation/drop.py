"""Films from elsewhere beside the run's own test films: what is lost on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pneumo_tf.evaluation.figures import Judged
from pneumo_tf.evaluation.intervals import Estimate, resampled
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import Statistic

Apply = Callable[[Scores], Scores]
"""Scores to probabilities."""


def drop(internal: Scores, external: Scores, threshold: float | None, *, calibrated: Apply, seed: int = 42,
         resamples: int = 1000) -> dict[str, dict[str, Estimate]]:
    """Figures on the run's test films, on the films from elsewhere, and the second less the first.

    The two are independent samples. The interval of a difference of shares is Newcombe's (1998, Stat Med
    17:873, method 10) from both Wilson intervals; of the others, a bootstrap of the patients of both sources
    together. How many of each source come up varies a little then, which widens it by less than other choices
    would.

    Args:
        internal: Uncalibrated scores of the run's test films.
        external: Likewise of the films from elsewhere.
        threshold: The operating point; None for several classes.
        calibrated: The run's calibrator.

    Returns:
        By name the figures `internal`, `external` and `difference`, ready for JSON: accuracy; of two classes
        also sensitivity, specificity, auc, brier and the prevalence of the positive class, of several
        macro_auc. Null with a reason as `why` where a class is missing.
    """
    both = [Judged(internal, threshold), Judged(external, threshold)]
    shares = ("sensitivity", "specificity", "accuracy", "prevalence") if internal.is_binary else ("accuracy",)
    content = {}
    for name in shares:
        here, there = (judged.share(name) for judged in both)
        content[name] = {"internal": here, "external": there, "difference": _newcombe(here, there)}
    inside, outside = (_others(judged, calibrated) for judged in both)
    apart = {name: _apart(inside[name], outside[name], films=len(internal.ids)) for name in inside}
    groups = np.concatenate([np.char.add("here ", internal.groups), np.char.add("there ", external.groups)])
    estimates = [resampled(wanted, patients, seed=seed, resamples=resamples, why="one_class_only")
                 for wanted, patients in ((inside, internal.groups), (outside, external.groups),
                                          (apart, groups))]
    kinds = ("internal", "external", "difference")
    return content | {name: {kind: estimate[name] for kind, estimate in zip(kinds, estimates, strict=True)}
                      for name in inside}


def _others(judged: Judged, calibrated: Apply) -> dict[str, Statistic]:
    """Figures that are no shares of films."""
    if not judged.scores.is_binary:
        return {"macro_auc": judged.statistic("macro_auc")}
    return {"auc": judged.statistic("auc"), "brier": Judged(calibrated(judged.scores)).statistic("brier")}


def _apart(here: Statistic, there: Statistic, *, films: int) -> Statistic:
    """The second less the first, which is one of the first `films` films."""
    return lambda weights: there(weights[:, films:]) - here(weights[:, :films])


def _newcombe(here: Estimate, there: Estimate) -> Estimate:
    """The second share less the first."""
    about = {"method": "Newcombe 1998, method 10", "films": there["of"], "patients": there["patients"]}
    if None in (here["value"], there["value"]):
        return {"value": None, "low": None, "high": None, "why": "one_class_only", **about}
    value = there["value"] - here["value"]
    less = np.hypot(there["value"] - there["low"], here["high"] - here["value"])
    more = np.hypot(there["high"] - there["value"], here["value"] - here["low"])
    return {"value": value, "low": value - float(less), "high": value + float(more), **about}
