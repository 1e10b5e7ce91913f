"""Which calibrator a run uses: fitted, compared with the others without the test films, and read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pneumo_tf.errors import OptionError, PneumoError, choose_from
from pneumo_tf.evaluation.calibration.calibrators import (
    Calibrator,
    Isotonic,
    Platt,
    Temperature,
    Uncalibrated,
)
from pneumo_tf.evaluation.scores import Scores

_KINDS: Mapping[str, type[Calibrator]] = {
    kind.method: kind for kind in (Temperature, Platt, Isotonic, Uncalibrated)}
METHODS = tuple(_KINDS)
DEFAULT = Temperature.method
WORSE = "worse"
_FOLDS = 10


class CalibrationError(PneumoError):
    """A calibrator that can't be read from a run."""


def check_method(method: str) -> None:
    """Raises OptionError where no calibrator has this name."""
    if method not in _KINDS:
        raise OptionError("Scores are calibrated by a method that is known.", received=repr(method),
                          remedy=choose_from(METHODS, method))


def fit_calibrator(method: str, validation: Scores) -> Calibrator:
    """A calibrator with the least loss on the validation films.

    Every film counts alike, because a probability is asked of a film, and the figures that judge it count
    films; where patients own several, that estimate stays unbiased (Liang and Zeger 1986, Biometrika 73:13).
    By patient is what it is fitted on, patients that neither training nor test has, and how it is judged:
    `cross_fitted` leaves out whole patients, and every interval draws them.

    Args:
        method: One of `METHODS`.
        validation: Uncalibrated scores of films that training hasn't seen.

    Raises:
        OptionError: An unknown method.
    """
    check_method(method)
    return _KINDS[method].fit(validation)


def cross_fitted(validation: Scores, *, seed: int = 42, resamples: int = 1000) -> dict[str, Any]:
    """The log loss of every calibrator by cross-validation over patients, ready for JSON.

    Each tenth of the patients is calibrated by what was fitted on the others.

    Args:
        validation: Uncalibrated scores of films that training hasn't seen.
        seed: Of the folds and of the resamples.

    Returns:
        `films`, `patients`, `folds`, and `log_loss`: a figure by method; empty with "few_patients" as `why`
        where a class has fewer than two patients.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import, and not needed to read one

    from pneumo_tf.evaluation.intervals import resampled
    from pneumo_tf.evaluation.statistics import mean_of_films

    groups = validation.groups
    content = {"films": len(groups), "patients": len(np.unique(groups))}
    fewest = min(len(np.unique(groups[validation.labels == index]))
                 for index in range(len(validation.classes)))
    folds = min(_FOLDS, fewest)
    if folds < 2:
        return {**content, "folds": 0, "log_loss": {}, "why": "few_patients"}
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    rows = list(parts.split(validation.values, validation.labels, groups))
    losses = {}
    for method in METHODS:
        of_films = np.empty(len(groups))
        for fitted, judged in rows:
            calibrator = fit_calibrator(method, validation.take(fitted))
            of_films[judged] = calibrator.apply(validation.take(judged)).log_losses
        losses[method] = mean_of_films(of_films)
    return {**content, "folds": folds, "log_loss": resampled(losses, groups, seed=seed, resamples=resamples)}


def choose_calibrator(method: str, validation: Scores, compared: Mapping[str, Any]) -> Calibrator:
    """The calibrator that a study names, or none where that made the log loss no lower on patients that it
    wasn't fitted on.

    Args:
        method: One of `METHODS`.
        validation: As for `fit_calibrator`.
        compared: As `cross_fitted` gives it; where it couldn't compare, the named calibrator stays.

    Raises:
        OptionError: An unknown method.
    """
    fitted, losses = fit_calibrator(method, validation), compared["log_loss"]
    if fitted.why or not losses or method == Uncalibrated.method \
            or losses[method]["value"] < losses[Uncalibrated.method]["value"]:
        return fitted
    return Uncalibrated(fitted.to_json(), films=fitted.films, why=WORSE)


def read_calibrator(content: Mapping[str, Any] | None) -> Calibrator:
    """The calibrator that a run.json tells of; without a record the scores stay.

    Raises:
        CalibrationError: An unknown method, or a record that isn't whole.
    """
    content = content or {"method": Uncalibrated.method}
    try:
        return replace(_KINDS[content["method"]].of_parameters(content), films=int(content.get("films", 0)),
                       why=str(content.get("why", "")))
    except (KeyError, TypeError, ValueError, OverflowError) as failure:
        raise CalibrationError("The record of a run's calibration must be whole.",
                               received=f"{str(content)[:200]} ({failure})",
                               remedy="Name a run whose run.json hasn't been edited, or train again."
                               ) from failure
