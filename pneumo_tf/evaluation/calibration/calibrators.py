"""Scores made into probabilities, by a calibrator that is fitted before the test films are read.

What only fitting needs is imported there, because it takes seconds: applying a calibrator must not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, logit, softmax

from pneumo_tf.evaluation.scores import EDGE, Scores

Floats = NDArray[np.float64]

# Beyond these the validation films don't tell one temperature from the next.
_COLDEST, _HOTTEST = 0.05, 20.0


def columns_of(scores: Scores) -> tuple[Floats, NDArray[np.bool_]]:
    """What is calibrated: the positive's scores, or of several classes each against the rest.

    Returns:
        Scores (n, 1) or (n, K) in [0, 1], and whether each film is of that class, of the same shape.
    """
    indices = [scores.positive_index] if scores.is_binary else list(range(len(scores.classes)))
    values = np.asarray(scores.values[:, indices], dtype=np.float64)
    return values, scores.labels[:, None] == np.array(indices)


def from_columns(scores: Scores, columns: Floats) -> Scores:
    """The same films with probabilities from calibrated columns; of several classes they are scaled to sum
    to 1 (Zadrozny and Elkan 2002, KDD).
    """
    if not scores.is_binary:
        return replace(scores, values=columns / columns.sum(axis=1, keepdims=True))
    pair = np.column_stack([1 - columns[:, 0], columns[:, 0]])
    return replace(scores, values=pair if scores.positive_index == 1 else pair[:, ::-1])


def why_unfit(validation: Scores) -> str:
    """Why no calibrator can be fitted on these films; "" where one can.

    "one_class_only", "missing_class" (of several), or "tied_scores": all films have the same.
    """
    present = len(np.unique(validation.labels))
    if present < len(validation.classes):
        return "one_class_only" if present == 1 else "missing_class"
    values, _ = columns_of(validation)
    return "tied_scores" if (np.ptp(values, axis=0) == 0).any() else ""


@dataclass(frozen=True)
class Calibrator(ABC):
    """Turns scores into probabilities.

    Attributes:
        method: Its name, e.g. "temperature".
        films: Number of films that it was fitted on.
        why: Why none could be fitted, as in `why_unfit`, so that the scores stay as they are; else "".
    """

    method: ClassVar[str]
    films: int = field(default=0, kw_only=True)
    why: str = field(default="", kw_only=True)

    @classmethod
    @abstractmethod
    def fit(cls, validation: Scores) -> Self:
        """The one with the least loss on the validation films."""

    @abstractmethod
    def apply(self, scores: Scores) -> Scores:
        """The same films with probabilities in place of scores.

        Raises:
            ValueError: Fitted on another number of classes.
        """

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """What it does to a score, ready for JSON."""

    @classmethod
    @abstractmethod
    def of_parameters(cls, content: Mapping[str, Any]) -> Self:
        """The one whose `parameters` are among `content`.

        Raises:
            KeyError, TypeError, ValueError: They aren't whole.
        """

    def to_json(self) -> dict[str, Any]:
        """What run.json holds of it: all that is needed to apply it to other films."""
        content = {"method": self.method, **self.parameters(), "fitted_on": "validation", "films": self.films}
        return content | ({"why": self.why} if self.why else {})


@dataclass(frozen=True)
class Uncalibrated(Calibrator):
    """Leaves the scores as the model gives them.

    Attributes:
        tried: What another calibrator holds that was fitted and then not used; `why` is "worse".
    """

    method: ClassVar[str] = "none"
    tried: Mapping[str, Any] | None = None

    @classmethod
    def fit(cls, validation: Scores) -> Self:
        return cls(films=len(validation.ids))

    def apply(self, scores: Scores) -> Scores:
        return scores

    def parameters(self) -> dict[str, Any]:
        return {"tried": self.tried} if self.tried else {}

    @classmethod
    def of_parameters(cls, content: Mapping[str, Any]) -> Self:
        return cls(content.get("tried"))


@dataclass(frozen=True)
class Temperature(Calibrator):
    """Divides the logits (Guo et al. 2017, ICML, arXiv 1706.04599); the order of the scores stays.

    Where every film scores highest for its own class the loss only falls as the temperature does, so that
    none can be fitted, and `why` is "separated".

    Attributes:
        temperature: Above 1 the scores were too sure of themselves, below 1 too timid; 1 changes nothing.
    """

    method: ClassVar[str] = "temperature"
    temperature: float = 1.0

    @classmethod
    def fit(cls, validation: Scores) -> Self:
        from scipy.optimize import minimize_scalar

        films = len(validation.ids)
        why = why_unfit(validation)
        if why:
            return cls(films=films, why=why)
        logits, rows = validation.logits, np.arange(films)

        def loss(log_temperature: float) -> float:
            chances = log_softmax(logits / np.exp(log_temperature), axis=1)
            return -float(chances[rows, validation.labels].mean())

        best = minimize_scalar(loss, bounds=np.log([_COLDEST, _HOTTEST]), method="bounded",
                               options={"xatol": 1e-4})
        if np.exp(best.x) < 1.01 * _COLDEST:
            return cls(films=films, why="separated")
        return cls(float(np.exp(best.x)), films=films)

    def apply(self, scores: Scores) -> Scores:
        return replace(scores, values=softmax(scores.logits / self.temperature, axis=1))

    def parameters(self) -> dict[str, Any]:
        return {"temperature": self.temperature}

    @classmethod
    def of_parameters(cls, content: Mapping[str, Any]) -> Self:
        value = float(content["temperature"])
        if not 0 < value < float("inf"):
            raise ValueError(f"temperature {value}")
        return cls(value)


class Line(NamedTuple):
    """The logit of a probability as a function of the score's: `intercept + slope · logit`."""

    intercept: float = 0.0
    slope: float = 1.0


@dataclass(frozen=True)
class Platt(Calibrator):
    """A slope and an intercept on the logit (Platt 1999, Advances in Large Margin Classifiers, 61).

    Unlike a temperature the intercept also mends scores that are too high or too low overall, as those of a
    head are that weighed the classes alike. It thereby takes over the share of positives among the validation
    films. Of several classes each has its line, and the probabilities are scaled to sum to 1. `why` is
    "reversed" where a higher score means a rarer positive.

    Attributes:
        lines: One for two classes, K for several.
    """

    method: ClassVar[str] = "platt"
    lines: tuple[Line, ...]

    @classmethod
    def fit(cls, validation: Scores) -> Self:
        """The lines with the least log loss on the validation films, towards Platt's softened labels."""
        values, own = columns_of(validation)
        films, why = len(values), why_unfit(validation)
        if not why:
            lines = tuple(_line(*pair) for pair in zip(_logit(values).T, own.T, strict=True))
            if all(line.slope > 0 for line in lines):
                return cls(lines, films=films)
        return cls((Line(),) * values.shape[1], films=films, why=why or "reversed")

    def apply(self, scores: Scores) -> Scores:
        values, _ = columns_of(scores)
        pairs = zip(_logit(values).T, self.lines, strict=True)
        columns = [expit(line.intercept + line.slope * column) for column, line in pairs]
        return from_columns(scores, np.column_stack(columns))

    def parameters(self) -> dict[str, Any]:
        return {"lines": [line._asdict() for line in self.lines]}

    @classmethod
    def of_parameters(cls, content: Mapping[str, Any]) -> Self:
        return cls(tuple(Line(float(line["intercept"]), float(line["slope"])) for line in content["lines"]))


def _logit(values: Floats) -> Floats:
    return logit(np.clip(values, EDGE, 1 - EDGE))


def _line(x: Floats, is_own: NDArray[np.bool_]) -> Line:
    """Logistic regression without a penalty towards (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2), not 1 and 0.

    The softened labels keep the line finite where the films are separated. Every film counts once as each
    class, weighed by how much of it its label is.
    """
    from sklearn.linear_model import LogisticRegression

    positives, negatives = int(is_own.sum()), int((~is_own).sum())
    share = np.where(is_own, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(np.concatenate([x, x])[:, None], np.repeat([1, 0], len(x)), np.concatenate([share, 1 - share]))
    return Line(float(model.intercept_[0]), float(model.coef_[0, 0]))


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
    """

    method: ClassVar[str] = "isotonic"
    curves: tuple[Curve, ...]

    @classmethod
    def fit(cls, validation: Scores) -> Self:
        """The curves with the least squared distance from the labels of the validation films."""
        values, own = columns_of(validation)
        why = why_unfit(validation)
        if why:
            return cls((Curve(),) * values.shape[1], films=len(values), why=why)
        pairs = zip(values.T, own.T, strict=True)
        return cls(tuple(_curve(column, is_own) for column, is_own in pairs), films=len(values))

    def apply(self, scores: Scores) -> Scores:
        pairs = zip(columns_of(scores)[0].T, self.curves, strict=True)
        columns = [np.interp(column, curve.score, curve.probability) for column, curve in pairs]
        return from_columns(scores, np.column_stack(columns))

    def parameters(self) -> dict[str, Any]:
        return {"curves": [{name: list(part) for name, part in curve._asdict().items()}
                           for curve in self.curves]}

    @classmethod
    def of_parameters(cls, content: Mapping[str, Any]) -> Self:
        curves = tuple(Curve(tuple(map(float, curve["score"])), tuple(map(float, curve["probability"])))
                       for curve in content["curves"])
        for curve in curves:
            if len(curve.score) != len(curve.probability) or (np.diff(curve.score) < 0).any():
                raise ValueError(f"{len(curve.score)} scores for {len(curve.probability)} probabilities")
        return cls(curves)


def _curve(values: Floats, is_own: NDArray[np.bool_]) -> Curve:
    from sklearn.isotonic import IsotonicRegression

    # Films that are all negative don't prove a probability of 0, and one positive there would cost
    # infinitely much: Laplace's rule of succession is as far as this number of films goes.
    least = 1 / (len(values) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1 - least).fit(values, is_own)
    return Curve(tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()))
