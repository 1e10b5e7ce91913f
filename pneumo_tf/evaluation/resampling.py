"""Validation films drawn so that the classes are as frequent among them as among the test films."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import LabelError
from pneumo_tf.evaluation import statistics
from pneumo_tf.evaluation.estimates import resampled
from pneumo_tf.evaluation.intervals import Statistic
from pneumo_tf.evaluation.scores import Scores

Floats = NDArray[np.float64]


class ReplicateTestSampling:
    """Draws validation films with the class distribution of the test films, by repeating the rarer classes.

    No film is left out: the class that the test films have least of, compared with the validation films, is
    drawn once each, and the others are repeated until the shares agree (to within the rounding of one film).
    The repeats are spread evenly over a class's films, the remainder by chance. A class that no test film
    belongs to is never drawn. Any `DataLoader` takes it as its sampler: it can be iterated again and again,
    each time over the same indices in the same order.

    What it changes: repeating films of a class alters how often the classes meet, so everything that mixes
    them moves: accuracy, predictive values, F1. Sensitivity, specificity and the area under the ROC curve
    compare films within a class, or pairs across two, and stay as they were, but for the remainder's chance.
    A copy says nothing new: intervals have to be drawn from patients, never from the copies.

    Args:
        test_labels: (m,) class of every test film, of any type that can be compared.
        validation_indices: (n,) int, what is drawn from, e.g. rows of a cohort.
        validation_labels: (n,) class of each of these.
        seed: The same seed gives the same draw.

    Raises:
        LabelError: No test or no validation films, lengths that differ, or a class of the test films that no
            validation film belongs to.
    """

    def __init__(self, test_labels: Sequence[Any] | NDArray[Any],
                 validation_indices: Sequence[int] | NDArray[np.integer],
                 validation_labels: Sequence[Any] | NDArray[Any], *, seed: int = 42) -> None:
        wanted, labels = np.asarray(test_labels), np.asarray(validation_labels)
        indices = np.asarray(validation_indices)
        _check(wanted, indices, labels)
        generator = np.random.default_rng(seed)
        drawn = [_repeated(indices[labels == name], number, generator)
                 for name, number in _numbers(wanted, labels).items()]
        self.indices: NDArray[np.integer] = generator.permutation(np.concatenate(drawn))

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices.tolist())

    def __len__(self) -> int:
        return len(self.indices)


def resampled_validation(validation: Scores, test_labels: NDArray[np.integer], threshold: float | None, *,
                         seed: int = 42, resamples: int = 1000) -> dict[str, Any]:
    """Figures of the validation films as drawn by `ReplicateTestSampling`, ready for JSON.

    Args:
        validation: Uncalibrated scores.
        test_labels: (m,) int, indices of the test films' classes; nothing else of these is looked at.
        threshold: As for `Scores.predicted`.
        seed: Of the draw and of the resamples.
        resamples: Number of resamples of patients; within one, a film counts as often as it was drawn.

    Returns:
        `films`, `drawn`, `shares` by class of {"validation", "test", "drawn"}, and `figures`; or nothing but
        the reason as `why`, where a class of the test films has no validation film.
    """
    films = len(validation.ids)
    if not set(test_labels.tolist()) <= set(validation.labels.tolist()):
        return {"why": "class_without_validation"}
    sampler = ReplicateTestSampling(test_labels, np.arange(films), validation.labels, seed=seed)
    copies = np.bincount(list(sampler), minlength=films).astype(np.float64)
    figures = {name: _counted(figure, copies) for name, figure in _figures(validation, threshold).items()}
    return {"films": films, "drawn": len(sampler),
            "shares": _shares(validation, test_labels, copies),
            "figures": resampled(figures, validation.groups, seed=seed, resamples=resamples)}


def _check(wanted: NDArray[Any], indices: NDArray[np.integer], labels: NDArray[Any]) -> None:
    if not len(wanted) or not len(labels) or indices.shape != labels.shape or labels.ndim != 1:
        raise LabelError("Sampling needs test labels, and one label for each validation film.",
                         received=f"{len(wanted)} test labels, {len(indices)} validation films and "
                                  f"{len(labels)} validation labels",
                         remedy="Give the labels of both splits.")
    if missing := sorted(set(wanted.tolist()) - set(labels.tolist())):
        raise LabelError("Every class of the test films must have a validation film to draw.",
                         received=f"none of class {', '.join(map(str, missing))}",
                         remedy="Split the films again so that each class is in every split.")


def _numbers(wanted: NDArray[Any], labels: NDArray[Any]) -> dict[Any, int]:
    """How many films of each class are drawn: as few as will do without leaving one out."""
    names, test = np.unique(wanted, return_counts=True)
    there = np.array([(labels == name).sum() for name in names])
    total = (there / test).max()
    return {name: int(number) for name, number in zip(names, np.rint(total * test), strict=True)}


def _repeated(films: NDArray[np.integer], number: int, generator: np.random.Generator) -> NDArray[np.integer]:
    rounds, rest = divmod(number, len(films))
    return np.concatenate([np.tile(films, rounds), generator.choice(films, rest, replace=False)])


def _counted(figure: Statistic, copies: Floats) -> Callable[[Floats], Floats]:
    return lambda weights: figure(weights * copies)


def _figures(scores: Scores, threshold: float | None) -> dict[str, Statistic]:
    """The figures as functions of how often each film counts."""
    count = statistics.confusion_of(scores.labels, scores.predicted(threshold), len(scores.classes))
    areas = [statistics.auc_of(scores.labels == index, scores.values[:, index].astype(np.float64))
             for index in range(len(scores.classes))]
    if not scores.is_binary:
        return {"accuracy": lambda weights: _accuracy(count(weights)),
                "balanced_accuracy": lambda weights: statistics.recalls(count(weights)).mean(axis=1),
                "macro_f1": lambda weights: statistics.f1_scores(count(weights)).mean(axis=1),
                "macro_auc": statistics.mean_of(areas)}
    found = scores.positive_index
    precision: Statistic = lambda weights: statistics.recalls(count(weights).swapaxes(1, 2))  # noqa: E731
    return {"sensitivity": lambda weights: statistics.recalls(count(weights))[:, found],
            "specificity": lambda weights: statistics.recalls(count(weights))[:, 1 - found],
            "ppv": lambda weights: precision(weights)[:, found],
            "npv": lambda weights: precision(weights)[:, 1 - found],
            "accuracy": lambda weights: _accuracy(count(weights)),
            "f1": lambda weights: statistics.f1_scores(count(weights))[:, found],
            "auc": areas[found]}


def _accuracy(confusion: Floats) -> Floats:
    return np.trace(confusion, axis1=1, axis2=2) / confusion.sum(axis=(1, 2))


def _shares(validation: Scores, test_labels: NDArray[np.integer], copies: Floats) -> dict[str, Any]:
    classes = len(validation.classes)
    counts = {"validation": np.bincount(validation.labels, minlength=classes),
              "test": np.bincount(test_labels, minlength=classes),
              "drawn": np.bincount(validation.labels, weights=copies, minlength=classes)}
    return {name: {split: float(count[index] / count.sum()) for split, count in counts.items()}
            for index, name in enumerate(validation.classes)}
