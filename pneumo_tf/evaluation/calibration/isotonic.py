"""Calibration by any rising curve: steps where the validation films show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from pneumo_tf.evaluation.calibration.calibrator import Calibrator
from pneumo_tf.evaluation.calibration.logits import columns_of, from_columns, why_unfit
from pneumo_tf.evaluation.scores import Scores


class Curve(NamedTuple):
    """A rising curve: `score` and `probability` at its corners, straight in between, level beyond."""

    score: tuple[float, ...] = (0.0, 1.0)
    probability: tuple[float, ...] = (0.0, 1.0)


@dataclass(frozen=True)
class Isotonic(Calibrator):
    """The rising curve nearest to the labels (Zadrozny and Elkan 2002, KDD).

    It bends where temperature and line can't, and needs more films for it: below some hundreds it copies
    their chance. Scores on one level can't be told apart any more. Of several classes each has its curve,
    and the probabilities are scaled to sum to 1.

    Attributes:
        curves: One for two classes, K for several.
        films: Number of films that it was fitted on.
        why: Why none could be fitted, as in `why_unfit`; then the scores stay. Else "".
    """

    method: ClassVar[str] = "isotonic"
    curves: tuple[Curve, ...]
    films: int = 0
    why: str = ""

    @classmethod
    def fit(cls, validation: Scores) -> Isotonic:
        """The curves with the least squared distance from the labels of the validation films."""
        values, own = columns_of(validation)
        why = why_unfit(validation)
        if why:
            return cls((Curve(),) * values.shape[1], len(values), why)
        pairs = zip(values.T, own.T, strict=True)
        return cls(tuple(_curve(column, is_own) for column, is_own in pairs), len(values))

    def apply(self, scores: Scores) -> Scores:
        """The same films with probabilities in place of scores.

        Raises:
            ValueError: Fitted on another number of classes.
        """
        pairs = zip(columns_of(scores)[0].T, self.curves, strict=True)
        columns = [np.interp(column, curve.score, curve.probability) for column, curve in pairs]
        return from_columns(scores, np.column_stack(columns))

    def parameters(self) -> dict[str, Any]:
        """What it does to a score, for run.json."""
        return {"curves": [{name: list(part) for name, part in curve._asdict().items()}
                           for curve in self.curves]}

    @classmethod
    def from_parameters(cls, content: Mapping[str, Any], *, films: int, why: str) -> Isotonic:
        """The one that run.json tells of.

        Raises:
            ValueError: Corners without their partners, or scores that don't rise.
        """
        curves = tuple(Curve(tuple(map(float, curve["score"])), tuple(map(float, curve["probability"])))
                       for curve in content["curves"])
        for curve in curves:
            if len(curve.score) != len(curve.probability) or (np.diff(curve.score) < 0).any():
                raise ValueError(f"{len(curve.score)} scores for {len(curve.probability)} probabilities")
        return cls(curves, films, why)


def _curve(values: NDArray[np.float64], is_own: NDArray[np.bool_]) -> Curve:
    # Films that are all negative don't prove a probability of 0, and one positive there would cost
    # infinitely much: Laplace's rule of succession is as far as this number of films goes.
    least = 1 / (len(values) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1 - least).fit(values, is_own)
    return Curve(tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()))
