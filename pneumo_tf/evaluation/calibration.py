"""Scores made into probabilities by one number, the temperature, fitted on the validation films."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logit, softmax

from pneumo_tf.evaluation.scores import Scores

Floats = NDArray[np.float64]

# The exported model computes in float32: nearer to 0 or 1 its scores hold no information.
EDGE = 1e-7
# Beyond these the validation films don't tell one temperature from the next.
_COLDEST, _HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class Temperature:
    """Divides the logits (Guo et al. 2017, ICML, arXiv 1706.04599); the order of the scores stays.

    Attributes:
        temperature: Above 1 the scores were too sure of themselves, below 1 too timid; 1 changes nothing.
        films: Number of films that it was fitted on.
        why: Why none could be fitted, "separated" or "one_class_only"; then the temperature is 1. Else "".
    """

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
        if len(np.unique(validation.labels)) < 2:
            return cls(films=films, why="one_class_only")
        logits = _logits(validation)

        def loss(log_temperature: float) -> float:
            return _log_loss(logits / np.exp(log_temperature), validation.labels)

        best = minimize_scalar(loss, bounds=np.log([_COLDEST, _HOTTEST]), method="bounded",
                               options={"xatol": 1e-4})
        if np.exp(best.x) < 1.01 * _COLDEST:
            return cls(films=films, why="separated")
        return cls(temperature=float(np.exp(best.x)), films=films)

    def apply(self, scores: Scores) -> Scores:
        """The same films with probabilities in place of scores."""
        return replace(scores, values=softmax(_logits(scores) / self.temperature, axis=1))

    def to_json(self) -> dict[str, str | float | int]:
        """What run.json says of it."""
        content: dict[str, str | float | int] = {
            "method": "temperature", "temperature": self.temperature, "fitted_on": "validation",
            "films": self.films}
        return content | ({"why": self.why} if self.why else {})


def _logits(scores: Scores) -> Floats:
    """(n, K) float: two classes by the positive's score alone, since other layers than a softmax exist."""
    if not scores.is_binary:
        return np.log(np.clip(scores.values.astype(np.float64), EDGE, 1))
    found = logit(np.clip(scores.positive_scores, EDGE, 1 - EDGE))
    return np.outer(found, np.eye(2)[scores.positive_index])


def _log_loss(logits: Floats, labels: NDArray[np.integer]) -> float:
    top = logits.max(axis=1, keepdims=True)
    total = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return float(np.mean(total - logits[np.arange(len(labels)), labels]))
