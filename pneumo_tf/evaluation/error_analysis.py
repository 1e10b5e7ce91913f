"""Where it errs: the greatest losses, the classes that are confused, and labels that may be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from pneumo_tf.evaluation.scores import Scores

_LOSSES, _DOUBTS = 25, 100


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


def error_analysis(scores: Scores, probabilities: Scores, threshold: float | None) -> dict[str, Any]:
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
    predicted, losses = scores.predicted(threshold), probabilities.log_losses
    wrong = predicted != scores.labels
    shown = np.full_like(predicted, scores.positive_index) if scores.is_binary else predicted
    confusion = confusion_matrix(scores.labels, predicted, labels=range(len(scores.classes)))
    return {"films": len(losses), "wrong": int(wrong.sum()),
            "method": "log loss of the calibrated probability of the actual class",
            "most_confused": [pair._asdict() for pair in most_confused(confusion, scores.classes)],
            "top_losses": [{
                "id": scores.ids[row], "actual": scores.classes[scores.labels[row]],
                "predicted": scores.classes[predicted[row]], "loss": float(losses[row]),
                "probability": float(np.exp(-losses[row])), "score": float(scores.values[row, shown[row]])}
                for row in _gravest(losses, scores, wrong)]}


def _gravest(losses: NDArray[np.float64], scores: Scores, wrong: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows of the films to be listed; among equal losses the rarer score first, then by name."""
    own = scores.values[np.arange(len(losses)), scores.labels]
    order = np.lexsort((np.asarray(scores.ids), own, -losses))
    chosen = set(order[:_LOSSES].tolist())
    for label in range(len(scores.classes)):
        chosen |= set(order[(wrong & (scores.labels == label))[order]][:_LOSSES].tolist())
    return np.array([row for row in order if int(row) in chosen], dtype=np.intp)


def label_doubts(probabilities: Mapping[str, Scores]) -> dict[str, Any]:
    """Films whose label the scores contradict most surely, ready for JSON.

    Confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70:1373) by cleanlab: how many films of each
    label look like another class is estimated from the average probability of each class's own films, and
    those with the smallest margin are named. A doubt is no verdict: a film that the network can't read is
    doubted like one with a wrong label.

    Args:
        probabilities: Calibrated, by split. Each film must have been scored by a model that never saw its
            patient; a film that it learnt from would only be believed.

    Returns:
        `films` by split, `doubtful` by split, and `found` of {"id", "split", "label", "suggested",
        "probability", "quality"}, the most doubtful first: `probability` is that of the suggested class,
        `quality` the margin of the label over the others, 0 (surely wrong) to 1. At most 100 are named.
        With films of one class only, `why`.
    """
    splits = [split for split, part in probabilities.items() for _ in part.ids]
    labels = np.concatenate([part.labels for part in probabilities.values()])
    values = np.concatenate([part.values for part in probabilities.values()]).astype(np.float64)
    ids = [name for part in probabilities.values() for name in part.ids]
    classes = next(iter(probabilities.values())).classes
    films = dict(Counter(splits))
    if len(np.unique(labels)) < len(classes):
        return {"films": films, "doubtful": {}, "found": [], "why": "missing_class"}
    # Half a second that a command's --help shouldn't wait for.
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    rows = find_label_issues(labels, values, n_jobs=1, return_indices_ranked_by="normalized_margin")
    quality = get_label_quality_scores(labels, values, method="normalized_margin")
    named = [{"id": ids[row], "split": splits[row], "label": classes[int(labels[row])],
              "suggested": classes[int(values[row].argmax())], "probability": float(values[row].max()),
              "quality": float(quality[row])} for row in rows[:_DOUBTS]]
    return {"films": films, "doubtful": dict(Counter(splits[row] for row in rows)), "found": named,
            "method": "confident learning (cleanlab), pruned by noise rate, ranked by normalised margin"}
