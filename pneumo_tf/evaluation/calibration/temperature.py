"""Calibration by one number: how much too sure the scores are of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from pneumo_tf.evaluation.calibration.calibrator import Calibrator
from pneumo_tf.evaluation.calibration.logits import logits_of, why_unfit
from pneumo_tf.evaluation.scores import Scores

# Beyond these the validation films don't tell one temperature from the next.
_COLDEST, _HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class Temperature(Calibrator):
    """Divides the logits (Guo et al. 2017, ICML, arXiv 1706.04599); the order of the scores stays.

    Attributes:
        temperature: Above 1 the scores were too sure of themselves, below 1 too timid; 1 changes nothing.
        films: Number of films that it was fitted on.
        why: Why none could be fitted: "separated", or as in `why_unfit`; then the temperature is 1. Else "".
    """

    method: ClassVar[str] = "temperature"
    temperature: float = 1.0
    films: int = 0
    why: str = ""

    @classmethod
    def fit(cls, validation: Scores) -> Temperature:
        """The temperature with the least log loss on the validation films.

        Where every film scores highest for its own class, the loss only falls as the temperature does, so
        that none can be fitted.
        """
        films = len(validation.ids)
        why = why_unfit(validation)
        if why:
            return cls(films=films, why=why)
        logits, rows = logits_of(validation), np.arange(films)

        def loss(log_temperature: float) -> float:
            chances = log_softmax(logits / np.exp(log_temperature), axis=1)
            return -float(chances[rows, validation.labels].mean())

        best = minimize_scalar(loss, bounds=np.log([_COLDEST, _HOTTEST]), method="bounded",
                               options={"xatol": 1e-4})
        if np.exp(best.x) < 1.01 * _COLDEST:
            return cls(films=films, why="separated")
        return cls(temperature=float(np.exp(best.x)), films=films)

    def apply(self, scores: Scores) -> Scores:
        """The same films with probabilities in place of scores."""
        return replace(scores, values=softmax(logits_of(scores) / self.temperature, axis=1))

    def parameters(self) -> dict[str, Any]:
        """What it does to a score, for run.json."""
        return {"temperature": self.temperature}

    @classmethod
    def from_parameters(cls, content: Mapping[str, Any], *, films: int, why: str) -> Temperature:
        """The one that run.json tells of.

        Raises:
            ValueError: A temperature that isn't a number above 0.
        """
        value = float(content["temperature"])
        if not 0 < value < float("inf"):
            raise ValueError(f"temperature {value}")
        return cls(temperature=value, films=films, why=why)
