"""Validation films drawn so that the classes are as frequent among them as among the test films."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import LabelError
from pneumo_tf.evaluation.figures import Judged
from pneumo_tf.evaluation.intervals import resampled
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import Statistic

Floats = NDArray[np.float64]

FOR_TWO = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1", "auc")
FOR_SEVERAL = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc")


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
        names, test = np.unique(wanted, return_counts=True)
        films = [indices[labels == name] for name in names]
        # As few of each class as will do without leaving one out.
        most = max(len(mine) / count for mine, count in zip(films, test, strict=True))
        generator, drawn = np.random.default_rng(seed), []
        for mine, number in zip(films, np.rint(most * test), strict=True):
            rounds, rest = divmod(int(number), len(mine))
            drawn += [np.tile(mine, rounds), generator.choice(mine, rest, replace=False)]
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
        resamples: Of patients; within one, a film counts as often as it was drawn.

    Returns:
        `films`, `drawn`, `shares` by class of {"validation", "test", "drawn"}, and `figures`; or nothing but
        the reason as `why`, where a class of the test films has no validation film.
    """
    films = len(validation.ids)
    if not set(test_labels.tolist()) <= set(validation.labels.tolist()):
        return {"why": "class_without_validation"}
    sampler = ReplicateTestSampling(test_labels, np.arange(films), validation.labels, seed=seed)
    copies = np.bincount(list(sampler), minlength=films).astype(np.float64)
    judged = Judged(validation, threshold)
    figures = {name: _counted(judged.statistic(name), copies)
               for name in (FOR_TWO if validation.is_binary else FOR_SEVERAL)}
    classes = len(validation.classes)
    counts = {"validation": np.bincount(validation.labels, minlength=classes),
              "test": np.bincount(test_labels, minlength=classes),
              "drawn": np.bincount(validation.labels, weights=copies, minlength=classes)}
    shares = {name: {split: float(count[index] / count.sum()) for split, count in counts.items()}
              for index, name in enumerate(validation.classes)}
    return {"films": films, "drawn": len(sampler), "shares": shares,
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


def _counted(figure: Statistic, copies: Floats) -> Statistic:
    return lambda weights: figure(weights * copies)
