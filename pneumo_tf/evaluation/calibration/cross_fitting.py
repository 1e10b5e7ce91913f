"""Calibrators compared without the test films: each judged on patients that it wasn't fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from pneumo_tf.evaluation.calibration.calibrators import METHODS, fit_calibrator
from pneumo_tf.evaluation.calibration.logits import log_losses
from pneumo_tf.evaluation.intervals import resampled
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import Statistic, mean_of_films

_FOLDS = 10


def cross_fitted(validation: Scores, *, seed: int = 42, resamples: int = 1000) -> dict[str, Any]:
    """The log loss of every calibrator by cross-validation over patients, ready for JSON.

    Each tenth of the patients is calibrated by what was fitted on the others. It only tells; the calibrator
    that a study names is used whatever it says.

    Args:
        validation: Uncalibrated scores of films that training hasn't seen.
        seed: Of the folds and of the resamples.

    Returns:
        `films`, `patients`, `folds`, and `log_loss`: a figure by method; empty with "few_patients" as `why`
        where a class has fewer than two patients.
    """
    groups = validation.groups
    content = {"films": len(groups), "patients": len(np.unique(groups))}
    fewest = min(len(np.unique(groups[validation.labels == index]))
                 for index in range(len(validation.classes)))
    folds = min(_FOLDS, fewest)
    if folds < 2:
        return {**content, "folds": 0, "log_loss": {}, "why": "few_patients"}
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    rows = list(parts.split(validation.values, validation.labels, groups))
    losses: dict[str, Statistic] = {method: mean_of_films(_losses(method, validation, rows))
                                    for method in METHODS}
    figures = resampled(losses, groups, seed=seed, resamples=resamples)
    return {**content, "folds": folds, "log_loss": figures}


def _losses(method: str, validation: Scores,
            rows: list[tuple[NDArray[np.intp], NDArray[np.intp]]]) -> NDArray[np.float64]:
    """(n,) float: the log loss of each film, calibrated without its patient."""
    losses = np.empty(len(validation.ids))
    for fitted, judged in rows:
        calibrator = fit_calibrator(method, validation.take(fitted))
        losses[judged] = log_losses(calibrator.apply(validation.take(judged)))
    return losses
