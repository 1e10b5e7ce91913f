"""All that metrics.json holds: the figures of every split, and of the test split what they are worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.cohort import Cohort
from pneumo_tf.evaluation.benefit import PREVALENCES, decision_curve, predictive_values
from pneumo_tf.evaluation.calibration.calibrators import Calibrator
from pneumo_tf.evaluation.error_analysis import error_analysis, label_doubts
from pneumo_tf.evaluation.metrics import evaluate
from pneumo_tf.evaluation.reliability import reliability
from pneumo_tf.evaluation.resampled_validation import resampled_validation
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.shortcuts import pixel_facts, shortcuts
from pneumo_tf.evaluation.subgroups import subgroups


def dossier(scores: Mapping[str, Scores], threshold: float | None, *, calibrator: Calibrator,
            cohort: Cohort, films: Iterable[NDArray[np.uint8]] | None = None,
            held_out: Scores | None = None, prevalences: Sequence[float] = PREVALENCES, seed: int = 42,
            resamples: int = 1000) -> dict[str, Any]:
    """Figures of the validation and the test split, ready for JSON.

    Args:
        scores: Uncalibrated, by split: "validation" and "test".
        threshold: On the positive's uncalibrated score; None for several classes.
        calibrator: Fitted on the validation films.
        cohort: The films of every split, with the facts of their files where known.
        films: Their pixels, in the cohort's order, as for `pixel_facts`; read once. None leaves out what
            these give away.
        held_out: Training films, each scored by a model that never saw its patient; they too may have labels
            to doubt. Scores that a training has seen are of no use here.
        prevalences: Shares of positives that predictive values are given for.

    Raises:
        OptionError: Two classes and no threshold.
    """
    content = {split: evaluate(scores[split], threshold, seed=seed, resamples=resamples)
               for split in ("validation", "test")}
    judged = {"validation": scores["validation"], "test": scores["test"],
              **({"train": held_out} if held_out else {})}
    probabilities = {split: calibrator.apply(part) for split, part in judged.items()}
    test, drawn = scores["test"], {"seed": seed, "resamples": resamples}
    content["validation"]["resampling"] = resampled_validation(scores["validation"], test.labels, threshold,
                                                               **drawn)
    content["test"]["errors"] = error_analysis(test, probabilities["test"], threshold)
    content["test"]["subgroups"] = subgroups(cohort, test, threshold, **drawn)
    content["doubts"] = label_doubts(probabilities)
    content["test"]["calibration"] = {"before": reliability(test, **drawn),
                                      "after": reliability(probabilities["test"], **drawn)}
    if test.is_binary:
        pixels = None if films is None else pixel_facts(films)
        figures = content["test"]["figures"]
        content["test"] |= {
            "decision_curve": decision_curve(probabilities["test"], **drawn),
            "predictive_values": predictive_values(figures["sensitivity"], figures["specificity"],
                                                   prevalences),
            "shortcuts": shortcuts(cohort, test, pixels=pixels, **drawn)}
    return content
