"""Scores made into probabilities, by a calibrator that is fitted before the test films are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pneumo_tf.errors import OptionError, PneumoError
from pneumo_tf.evaluation.calibration.calibrator import Calibrator
from pneumo_tf.evaluation.calibration.isotonic import Isotonic
from pneumo_tf.evaluation.calibration.logits import EDGE
from pneumo_tf.evaluation.calibration.platt import Platt
from pneumo_tf.evaluation.calibration.temperature import Temperature
from pneumo_tf.evaluation.scores import Scores

__all__ = ["DEFAULT", "EDGE", "METHODS", "CalibrationError", "Calibrator", "Isotonic", "Platt", "Temperature",
           "Uncalibrated", "check_method", "fit_calibrator", "read_calibrator"]


class CalibrationError(PneumoError):
    """A calibrator that can't be read from a run."""


@dataclass(frozen=True)
class Uncalibrated(Calibrator):
    """Leaves the scores as the model gives them."""

    method: ClassVar[str] = "none"
    films: int = 0
    why: str = ""

    @classmethod
    def fit(cls, validation: Scores) -> Uncalibrated:
        """Nothing is fitted."""
        return cls(films=len(validation.ids))

    def apply(self, scores: Scores) -> Scores:
        """The scores themselves."""
        return scores

    def parameters(self) -> dict[str, Any]:
        """None."""
        return {}

    @classmethod
    def from_parameters(cls, content: Mapping[str, Any], *, films: int, why: str) -> Uncalibrated:
        """Nothing has to be known."""
        return cls(films, why)


_KINDS: Mapping[str, type[Calibrator]] = {
    kind.method: kind for kind in (Temperature, Platt, Isotonic, Uncalibrated)}
METHODS = tuple(_KINDS)
DEFAULT = Temperature.method


def check_method(method: str) -> None:
    """Raises OptionError where no calibrator has this name."""
    if method not in _KINDS:
        raise OptionError("Scores are calibrated by a method that is known.", received=repr(method),
                          remedy=f"Choose one of: {', '.join(METHODS)}.")


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


def read_calibrator(content: Mapping[str, Any] | None) -> Calibrator:
    """The calibrator that a run.json tells of; without a record the scores stay.

    Raises:
        CalibrationError: An unknown method, or a record that isn't whole.
    """
    content = content or {"method": Uncalibrated.method}
    try:
        kind = _KINDS[content["method"]]
        return kind.from_parameters(content, films=int(content.get("films", 0)),
                                    why=str(content.get("why", "")))
    except (KeyError, TypeError, ValueError) as failure:
        raise CalibrationError("The record of a run's calibration must be whole.",
                               received=f"{content.get('method')!r} with {failure}",
                               remedy="Name a run whose run.json hasn't been edited, or train again."
                               ) from failure
