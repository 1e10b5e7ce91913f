"""What a model said of films, beside what is true: from a cohort, to and from predictions.csv."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from pneumo_tf.cohort import Cohort
from pneumo_tf.errors import OptionError, PneumoError

# The exported model computes in float32: nearer to 0 or 1 its scores hold no information.
EDGE = 1e-7


class ScoreError(PneumoError):
    """Scores that no honest figure can be computed from."""


@dataclass(frozen=True)
class Scores:
    """Scores of n films over K classes, and their true labels.

    Attributes:
        classes: K class names, in the order of the model's outputs.
        positive: The class that is looked for; meaningful where K is 2.
        ids: n unique names of films.
        labels: (n,) int, the true class as an index into `classes`.
        values: (n, K) float in [0, 1], uncalibrated; rows sum to 1 where the last layer is a softmax.
        patients: (n,) str, "" where unknown: such a film counts as a patient of its own.

    Raises:
        ScoreError: Sizes that don't match, no films, values that aren't finite or lie outside [0, 1].
    """

    classes: tuple[str, ...]
    positive: str
    ids: Sequence[str]
    labels: NDArray[np.integer]
    values: NDArray[np.floating]
    patients: NDArray[np.str_]

    def __post_init__(self) -> None:
        _check_classes(self.classes, self.positive)
        _check_sizes(self)
        _check_values(self)

    @classmethod
    def of_cohort(cls, cohort: Cohort, values: NDArray[np.floating], positive: str, *,
                  classes: Sequence[str] | None = None, rows: Sequence[int] | None = None) -> Scores:
        """Scores of a cohort's films, or of some of them in the order of `rows`.

        Args:
            values: (len(cohort), K), of all films.
            classes: Where the cohort may lack one that the model knows; None takes the cohort's.
            rows: Places in the cohort.

        Raises:
            ScoreError: A label that is none of the classes, or as for the class.
        """
        known = tuple(cohort.classes if classes is None else classes)
        places = range(len(cohort)) if rows is None else [int(row) for row in rows]
        films = [cohort.radiographs[row] for row in places]
        return cls(known, positive, [film.id for film in films],
                   _indices([film.label for film in films], known), values[list(places)],
                   np.array([film.patient for film in films], dtype=str))

    @classmethod
    def of_predictions(cls, table: pd.DataFrame, classes: Sequence[str], positive: str) -> Scores:
        """Scores of the rows of a predictions.csv, as `to_predictions` made it; without patients where the
        column is missing.

        Raises:
            ScoreError: A label that is none of the classes, or as for the class.
        """
        patients = table["patient"].to_numpy(str) if "patient" in table else np.full(len(table), "")
        return cls(tuple(classes), positive, list(table["id"]), _indices(table["label"], classes),
                   table[[f"p_{name}" for name in classes]].to_numpy(float), patients)

    def to_predictions(self, splits: str | Sequence[str], threshold: float | None) -> pd.DataFrame:
        """The rows of predictions.csv: id, patient, split, label, the class predicted at the operating point,
        and the uncalibrated score `p_<CLASS>` of each class.

        Args:
            splits: Of each film, or one for all.

        Raises:
            OptionError: Two classes and no threshold.
        """
        names = np.array(self.classes, dtype=object)
        frame = pd.DataFrame({"id": list(self.ids), "patient": self.patients, "split": splits,
                              "label": names[self.labels], "predicted": names[self.predicted(threshold)]})
        columns = [f"p_{name}" for name in self.classes]
        return pd.concat([frame, pd.DataFrame(self.values, columns=columns)], axis=1)

    @property
    def is_binary(self) -> bool:
        return len(self.classes) == 2

    @property
    def positive_index(self) -> int:
        return self.classes.index(self.positive)

    @property
    def positive_scores(self) -> NDArray[np.float64]:
        """(n,) float: the score of the positive class."""
        return np.asarray(self.values[:, self.positive_index], dtype=np.float64)

    @property
    def logits(self) -> NDArray[np.float64]:
        """(n, K) float: two classes by the positive's score alone; other layers than a softmax exist."""
        if not self.is_binary:
            return np.log(np.clip(self.values.astype(np.float64), EDGE, 1))
        return np.outer(logit(np.clip(self.positive_scores, EDGE, 1 - EDGE)), np.eye(2)[self.positive_index])

    @property
    def log_losses(self) -> NDArray[np.float64]:
        """(n,) float: minus the logarithm of the probability that each film's own class was given."""
        logits = self.logits
        top = logits.max(axis=1, keepdims=True)
        total = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
        return total - logits[np.arange(len(logits)), self.labels]

    @cached_property
    def groups(self) -> NDArray[np.str_]:
        """(n,) str: one key per patient; a film without a patient has a key of its own."""
        own = np.array([f"film {name}" for name in self.ids])
        known = np.array([f"patient {name}" for name in self.patients])
        return np.where(self.patients == "", own, known)

    def predicted(self, threshold: float | None) -> NDArray[np.intp]:
        """(n,) int: the predicted class of every film.

        Two classes: positive where its score reaches `threshold`. Several: the highest score, whatever
        the threshold.

        Raises:
            OptionError: Two classes and no threshold.
        """
        if not self.is_binary:
            return np.argmax(self.values, axis=1)
        if threshold is None:
            raise OptionError("Two classes are told apart by a threshold.", received="no threshold",
                              remedy="Choose one on the validation split, or give a number between 0 and 1.")
        negative = 1 - self.positive_index
        return np.where(self.positive_scores >= threshold, self.positive_index, negative).astype(np.intp)

    def take(self, rows: NDArray[np.integer]) -> Scores:
        """Some of the films, by their places."""
        return replace(self, ids=[self.ids[row] for row in rows], labels=self.labels[rows],
                       values=self.values[rows], patients=self.patients[rows])


def _indices(labels: Iterable[str], classes: Sequence[str]) -> NDArray[np.intp]:
    """Class names as indices into `classes`."""
    place = {name: index for index, name in enumerate(classes)}
    labels = list(labels)
    if strangers := sorted(set(labels) - set(place)):
        raise ScoreError("Every label must be one of the model's classes.",
                         received=f"{', '.join(strangers)}, where the classes are {', '.join(classes)}",
                         remedy="Check the labels table.")
    return np.array([place[label] for label in labels], dtype=np.intp)


def _check_classes(classes: tuple[str, ...], positive: str) -> None:
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise ScoreError("Scores need at least two classes with different names.",
                         received=", ".join(classes) or "no class", remedy="Check the labels table.")
    if positive not in classes:
        raise ScoreError("The positive class must be one of the classes.",
                         received=f"{positive!r}, where the classes are {', '.join(classes)}",
                         remedy="Name one of them.")


def _check_sizes(scores: Scores) -> None:
    films, shape = len(scores.ids), (len(scores.ids), len(scores.classes))
    sizes = {"labels": scores.labels.shape, "patients": scores.patients.shape}
    wrong = {name: size for name, size in sizes.items() if size != (films,)}
    if not films or scores.values.shape != shape or wrong:
        raise ScoreError("Scores need one row per film and one column per class.",
                         received=f"{films} films with values {scores.values.shape}, labels "
                                  f"{scores.labels.shape} and patients {scores.patients.shape}",
                         remedy="Predict the films again.")


def _check_values(scores: Scores) -> None:
    outside = ~((scores.values >= 0) & (scores.values <= 1)).all(axis=1)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise ScoreError("Every score must be a number from 0 to 1.",
                         received=f"{int(outside.sum())} films with others, e.g. {scores.ids[first]} with "
                                  f"{scores.values[first].tolist()}",
                         remedy="Train again with a lower rate; a diverged model gives no numbers.")
    if scores.labels.min() < 0 or scores.labels.max() >= len(scores.classes):
        raise ScoreError("Every label must be the index of a class.",
                         received=f"labels from {scores.labels.min()} to {scores.labels.max()} for "
                                  f"{len(scores.classes)} classes", remedy="Check the labels table.")
