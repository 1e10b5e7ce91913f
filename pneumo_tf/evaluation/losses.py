"""Where it errs: the films with the greatest losses, and the classes that it takes for each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.evaluation.calibration.logits import log_losses
from pneumo_tf.evaluation.scores import Scores

_SHOWN = 25


class Confusion(NamedTuple):
    """Films of one class that were given another."""

    actual: str
    predicted: str
    films: int


def most_confused(confusion: Sequence[Sequence[int]] | NDArray[np.integer], classes: Sequence[str], *,
                  min_val: int = 1) -> list[Confusion]:
    """Pairs of classes by how often the first was called the second, most often first.

    As fastai's `ClassificationInterpretation.most_confused`.

    Args:
        confusion: (K, K) films, rows actual, columns predicted.
        classes: K names.
        min_val: The fewest films that make a pair; 1 gives every pair that was ever confused.
    """
    pairs = [Confusion(actual, predicted, int(count))
             for actual, row in zip(classes, confusion, strict=True)
             for predicted, count in zip(classes, row, strict=True)
             if actual != predicted and count >= max(min_val, 1)]
    return sorted(pairs, key=lambda pair: (-pair.films, pair.actual, pair.predicted))


def errors(scores: Scores, probabilities: Scores, threshold: float | None) -> dict[str, Any]:
    """What went wrong on one split, ready for JSON.

    Args:
        scores: Uncalibrated; they and the threshold say what was predicted.
        probabilities: The same films, calibrated; their log loss says how wrong.
        threshold: As for `Scores.predicted`.

    Returns:
        `films`, `wrong`, `most_confused` of {"actual", "predicted", "films"}, and `top_losses` of {"id",
        "actual", "predicted", "loss", "probability", "score"}, greatest loss first: the 25 greatest of all
        films, which may have been called rightly, and the 25 greatest among the errors of each class.
        `probability` is that of the actual class; `score` the uncalibrated one of the positive class, for
        several classes of the predicted one.
    """
    predicted, losses = scores.predicted(threshold), log_losses(probabilities)
    wrong = predicted != scores.labels
    confusion = np.zeros((len(scores.classes),) * 2, dtype=int)
    np.add.at(confusion, (scores.labels, predicted), 1)
    return {"films": len(losses), "wrong": int(wrong.sum()),
            "method": "log loss of the calibrated probability of the actual class",
            "most_confused": [pair._asdict() for pair in most_confused(confusion, scores.classes)],
            "top_losses": [_record(scores, int(row), predicted=int(predicted[row]), loss=float(losses[row]))
                           for row in _gravest(losses, scores, wrong)]}


def _gravest(losses: NDArray[np.float64], scores: Scores, wrong: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows of the films to be listed; among equal losses the rarer score first, then by name."""
    own = scores.values[np.arange(len(losses)), scores.labels]
    order = np.lexsort((np.asarray(scores.ids), own, -losses))
    chosen = set(order[:_SHOWN].tolist())
    for label in range(len(scores.classes)):
        chosen |= set(order[(wrong & (scores.labels == label))[order]][:_SHOWN].tolist())
    return np.array([row for row in order if int(row) in chosen], dtype=np.intp)


def _record(scores: Scores, row: int, *, predicted: int, loss: float) -> dict[str, Any]:
    shown = scores.positive_index if scores.is_binary else predicted
    return {"id": scores.ids[row], "actual": scores.classes[int(scores.labels[row])],
            "predicted": scores.classes[predicted], "loss": loss, "probability": float(np.exp(-loss)),
            "score": float(scores.values[row, shown])}
