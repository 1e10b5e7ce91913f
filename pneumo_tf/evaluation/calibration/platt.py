"""Calibration by a straight line on the logits: how sure the scores are, and how far they lie too high."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from pneumo_tf.evaluation.calibration.calibrator import Calibrator
from pneumo_tf.evaluation.calibration.logits import EDGE, columns_of, from_columns, why_unfit
from pneumo_tf.evaluation.scores import Scores

Floats = NDArray[np.float64]


class Line(NamedTuple):
    """The logit of a probability as a function of the score's: `intercept + slope · logit`."""

    intercept: float = 0.0
    slope: float = 1.0


@dataclass(frozen=True)
class Platt(Calibrator):
    """A slope and an intercept on the logit (Platt 1999, Advances in Large Margin Classifiers, 61).

    Unlike a temperature the intercept also mends scores that are too high or too low overall, as those of a
    head are that weighed the classes alike. It thereby takes over the share of positives among the validation
    films. Of several classes each has its line, and the probabilities are scaled to sum to 1.

    Attributes:
        lines: One for two classes, K for several.
        films: Number of films that it was fitted on.
        why: Why none could be fitted: "reversed", where a higher score means a rarer positive, or as in
            `why_unfit`; then the scores stay. Else "".
    """

    method: ClassVar[str] = "platt"
    lines: tuple[Line, ...]
    films: int = 0
    why: str = ""

    @classmethod
    def fit(cls, validation: Scores) -> Platt:
        """The lines with the least log loss on the validation films, towards Platt's softened labels."""
        values, own = columns_of(validation)
        films, why = len(values), why_unfit(validation)
        if not why:
            lines = tuple(_line(*pair) for pair in zip(_logit(values).T, own.T, strict=True))
            why = "" if all(line.slope > 0 for line in lines) else "reversed"
        return cls((Line(),) * values.shape[1], films, why) if why else cls(lines, films)

    def apply(self, scores: Scores) -> Scores:
        """The same films with probabilities in place of scores.

        Raises:
            ValueError: Fitted on another number of classes.
        """
        values, _ = columns_of(scores)
        pairs = zip(_logit(values).T, self.lines, strict=True)
        columns = [expit(line.intercept + line.slope * column) for column, line in pairs]
        return from_columns(scores, np.column_stack(columns))

    def parameters(self) -> dict[str, Any]:
        """What it does to a score, for run.json."""
        return {"lines": [line._asdict() for line in self.lines]}

    @classmethod
    def from_parameters(cls, content: Mapping[str, Any], *, films: int, why: str) -> Platt:
        """The one that run.json tells of."""
        lines = tuple(Line(float(line["intercept"]), float(line["slope"])) for line in content["lines"])
        return cls(lines, films, why)


def _logit(values: Floats) -> Floats:
    return logit(np.clip(values, EDGE, 1 - EDGE))


def _line(x: Floats, is_own: NDArray[np.bool_]) -> Line:
    """Logistic regression without a penalty towards (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2), not 1 and 0.

    The softened labels keep the line finite where the films are separated. Every film counts once as each
    class, weighed by how much of it its label is.
    """
    positives, negatives = int(is_own.sum()), int((~is_own).sum())
    share = np.where(is_own, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(np.concatenate([x, x])[:, None], np.repeat([1, 0], len(x)), np.concatenate([share, 1 - share]))
    return Line(float(model.intercept_[0]), float(model.coef_[0, 0]))
