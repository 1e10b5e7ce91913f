"""Films from elsewhere beside the run's own test films: what is lost on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pneumo_tf.evaluation.estimates import resampled
from pneumo_tf.evaluation.intervals import Statistic
from pneumo_tf.evaluation.paired import Estimate, area_of
from pneumo_tf.evaluation.proportions import proportion
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import mean_of_films

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
        seed: Of the resamples.
        resamples: Number of them.

    Returns:
        By name the figures `internal`, `external` and `difference`, ready for JSON: accuracy; of two classes
        also sensitivity, specificity, auc, brier and the prevalence of the positive class, of several
        macro_auc. Null with a reason as `why` where a class is missing.
    """
    both = (internal, external)
    shares = [_shares(scores, threshold) for scores in both]
    content = {name: {"internal": here, "external": shares[1][name],
                      "difference": _newcombe(here, shares[1][name])} for name, here in shares[0].items()}
    others = [_others(scores, calibrated) for scores in both]
    inside = len(internal.ids)
    apart = {name: _apart(here, others[1][name], inside=inside) for name, here in others[0].items()}
    groups = np.concatenate([np.char.add("here ", internal.groups), np.char.add("there ", external.groups)])
    here, there, difference = (
        resampled(wanted, patients, seed=seed, resamples=resamples, why="one_class_only")
        for wanted, patients in ((others[0], internal.groups), (others[1], external.groups), (apart, groups)))
    return content | {name: {"internal": here[name], "external": there[name],
                             "difference": difference[name]} for name in here}


def _shares(scores: Scores, threshold: float | None) -> dict[str, Estimate]:
    right = scores.predicted(threshold) == scores.labels
    shares = {"accuracy": proportion(right, scores.groups, why="no_films")}
    if not scores.is_binary:
        return shares
    is_positive = scores.labels == scores.positive_index
    parts = {"sensitivity": (is_positive, "no_positive_films"),
             "specificity": (~is_positive, "no_negative_films")}
    return {**{name: proportion(right[rows], scores.groups[rows], why=why)
               for name, (rows, why) in parts.items()},
            **shares, "prevalence": proportion(is_positive, scores.groups, why="no_films")}


def _others(scores: Scores, calibrated: Apply) -> dict[str, Statistic]:
    """Figures that are no shares of films."""
    if not scores.is_binary:
        return {"macro_auc": area_of(scores)}
    return {"auc": area_of(scores), "brier": _brier(calibrated(scores))}


def _newcombe(here: Estimate, there: Estimate) -> Estimate:
    """The second share less the first."""
    about = {"method": "Newcombe 1998, method 10", "films": there["of"], "patients": there["patients"]}
    if None in (here["value"], there["value"]):
        return {"value": None, "low": None, "high": None, "why": "one_class_only", **about}
    value = there["value"] - here["value"]
    less = np.hypot(there["value"] - there["low"], here["high"] - here["value"])
    more = np.hypot(there["high"] - there["value"], here["value"] - here["low"])
    return {"value": value, "low": value - float(less), "high": value + float(more), **about}


def _apart(here: Statistic, there: Statistic, *, inside: int) -> Statistic:
    return lambda weights: there(weights[:, inside:]) - here(weights[:, :inside])


def _brier(probabilities: Scores) -> Statistic:
    truth = probabilities.labels == probabilities.positive_index
    return mean_of_films((probabilities.positive_scores - truth) ** 2)
