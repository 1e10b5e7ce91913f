"""Every figure that tells how good scores are, a row each: how it is computed, bounded and written.

`evaluate` tells a row wherever its `told` says; the other analyses name the rows that they tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.evaluation.intervals import Estimate, proportion
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import (
    Statistic,
    auc_of,
    average_precision_of,
    confusion_of,
    f1_scores,
    macro_auc_of,
    matthews,
    mean_of_films,
    mean_within,
    once,
    recalls,
)

Flags = NDArray[np.bool_]
Setting = Literal["two", "several", "rest"]


class FilmMean(NamedTuple):
    """A mean of numbers or hits, (n,), over the films that count, (n,) bool."""

    numbers: NDArray[Any]
    rows: Flags


@dataclass(frozen=True)
class Judged:
    """Scores and the class that each film is called, seen from one class against the rest.

    Attributes:
        scores: Of n films.
        threshold: As for `Scores.predicted`, whose OptionError comes with the first figure that needs it.
        against_rest: Index of the class that counts as positive; None takes the scores' positive class.
    """

    scores: Scores
    threshold: float | None = None
    against_rest: int | None = None

    @property
    def index(self) -> int:
        return self.scores.positive_index if self.against_rest is None else self.against_rest

    @property
    def values(self) -> NDArray[np.float64]:
        """(n,) float: the score of the class."""
        return self.scores.values[:, self.index].astype(np.float64)

    @property
    def own(self) -> Flags:
        """(n,) bool: whether each film is of the class."""
        return self.scores.labels == self.index

    @cached_property
    def predicted(self) -> NDArray[np.intp]:
        return self.scores.predicted(self.threshold)

    @property
    def called(self) -> Flags:
        """(n,) bool: whether each film is called the class."""
        return self.predicted == self.index

    @property
    def every(self) -> Flags:
        """(n,) bool: all films."""
        return np.ones(len(self.scores.ids), dtype=bool)

    def counted(self, summary: Statistic) -> Statistic:
        """A function of confusion matrices, (b, K, K) with actual classes as rows, as one of weights."""
        return lambda weights: summary(self._confusion(weights))

    @cached_property
    def _confusion(self) -> Statistic:
        return once(confusion_of(self.scores.labels, self.predicted, len(self.scores.classes)))

    def statistic(self, name: str) -> Statistic:
        """The figure of this name as a function of how often each film counts."""
        computed = FIGURES[name].compute(self)
        if not isinstance(computed, FilmMean):
            return computed
        return mean_of_films(computed.numbers) if computed.rows.all() else mean_within(*computed)

    def value(self, name: str) -> float:
        """The figure of this name on all films, NaN where it doesn't exist."""
        computed = FIGURES[name].compute(self)
        if not isinstance(computed, FilmMean):
            return float(computed(np.ones((1, len(self.scores.ids))))[0])
        return float(np.mean(computed.numbers[computed.rows])) if computed.rows.any() else float("nan")

    def share(self, name: str, *, within: Flags | None = None) -> Estimate:
        """A share of films, or of some of them, (n,) bool, with its interval; as `proportion` gives it."""
        computed = FIGURES[name].compute(self)
        assert isinstance(computed, FilmMean), f"{name} is no share of films"
        kept = computed.rows if within is None else computed.rows & within
        return proportion(computed.numbers[kept], self.scores.groups[kept], why=FIGURES[name].why)


@dataclass(frozen=True)
class Figure:
    """A row of the table.

    Attributes:
        kind: "share", told in percent; "area", a decimal from 0 to 1, of areas and of the F1, which is no
            share of any films; "correlation", a decimal from -1 to 1; "loss", of which less is better.
        compute: Gives a mean of films, or any other function of how often each film counts.
        told: Where `evaluate` tells it: of "two" classes, of "several", of one class against the "rest".
        why: The reason where it doesn't exist though every class has films; of a share, where no film counts.
        interval: Of `evaluate`: "wilson" by patient, "bootstrap" of patients, or "delong", which stands
            beside that bootstrap, and gives way to Newcombe's where the area is perfect.
    """

    kind: Literal["share", "area", "correlation", "loss"]
    compute: Callable[[Judged], FilmMean | Statistic]
    told: tuple[Setting, ...] = ()
    why: str = "one_class_predicted"
    interval: Literal["wilson", "bootstrap", "delong"] = "bootstrap"


def _squares(scores: Scores) -> NDArray[np.float64]:
    """(n,) float: the squared distance of each film's scores from the truth; of several classes over all of
    them, from 0 to 2 (Brier 1950, Mon Weather Rev 78:1).
    """
    if scores.is_binary:
        return (scores.positive_scores - (scores.labels == scores.positive_index)) ** 2
    return ((scores.values - np.eye(len(scores.classes))[scores.labels]) ** 2).sum(axis=1)


FIGURES: dict[str, Figure] = {
    "sensitivity": Figure("share", lambda of: FilmMean(of.called, of.own), ("two", "rest"),
                          "no_positive_films", "wilson"),
    "specificity": Figure("share", lambda of: FilmMean(~of.called, ~of.own), ("two", "rest"),
                          "no_negative_films", "wilson"),
    "ppv": Figure("share", lambda of: FilmMean(of.own, of.called), ("two", "rest"),
                  "none_predicted_positive", "wilson"),
    "npv": Figure("share", lambda of: FilmMean(~of.own, ~of.called), ("two", "rest"),
                  "none_predicted_negative", "wilson"),
    "accuracy": Figure("share", lambda of: FilmMean(of.predicted == of.scores.labels, of.every),
                       ("two", "several"), "no_films", "wilson"),
    "prevalence": Figure("share", lambda of: FilmMean(of.own, of.every), (), "no_films", "wilson"),
    "f1": Figure("area", lambda of: of.counted(lambda table: f1_scores(table)[:, of.index]), ("two",)),
    "macro_f1": Figure("area", lambda of: of.counted(lambda table: f1_scores(table).mean(axis=1)),
                       ("several",)),
    "balanced_accuracy": Figure("share", lambda of: of.counted(lambda table: recalls(table).mean(axis=1)),
                                ("two", "several")),
    "mcc": Figure("correlation", lambda of: of.counted(matthews), ("two", "several")),
    "auc": Figure("area", lambda of: auc_of(of.own, of.values), ("two", "rest"), interval="delong"),
    "average_precision": Figure("area", lambda of: average_precision_of(of.own, of.values), ("two", "rest")),
    "macro_auc": Figure("area", lambda of: macro_auc_of(of.scores.labels, of.scores.values), ("several",)),
    "brier": Figure("loss", lambda of: FilmMean(_squares(of.scores), of.every)),
    "log_loss": Figure("loss", lambda of: FilmMean(of.scores.log_losses, of.every)),
}


def area_name(scores: Scores) -> str:
    """The area under the ROC curve; of several classes the mean of each against the rest."""
    return "auc" if scores.is_binary else "macro_auc"
