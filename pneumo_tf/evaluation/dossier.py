"""All that metrics.json holds: the figures of every split, and of the test split what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pneumo_tf.cohort import Cohort
from pneumo_tf.evaluation.benefit import decision_curve, predictive_values
from pneumo_tf.evaluation.calibration import Temperature
from pneumo_tf.evaluation.metrics import evaluate
from pneumo_tf.evaluation.reliability import reliability
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.shortcuts import shortcuts


def dossier(scores: Mapping[str, Scores], threshold: float | None, *, temperature: Temperature,
            cohort: Cohort, seed: int = 42, resamples: int = 1000) -> dict[str, Any]:
    """Figures of the validation and the test split, ready for JSON.

    Args:
        scores: Uncalibrated, by split: "validation" and "test".
        threshold: On the positive's uncalibrated score; None for several classes.
        temperature: Fitted on the validation films.
        cohort: The films of every split, with the facts of their files where known.
        seed: Of the resamples.
        resamples: Number of them.

    Raises:
        OptionError: Two classes and no threshold.
    """
    content = {split: evaluate(scores[split], threshold, seed=seed, resamples=resamples)
               for split in ("validation", "test")}
    test = scores["test"]
    if test.is_binary:
        probabilities = temperature.apply(test)
        content["test"]["calibration"] = {
            "before": reliability(test, seed=seed, resamples=resamples),
            "after": reliability(probabilities, seed=seed, resamples=resamples)}
        content["test"]["decision_curve"] = decision_curve(probabilities)
        rates = (content["test"]["figures"][name]["value"] for name in ("sensitivity", "specificity"))
        content["test"]["predictive_values"] = predictive_values(*rates)
        content["test"]["shortcuts"] = shortcuts(cohort, test, seed=seed, resamples=resamples)
    return content
