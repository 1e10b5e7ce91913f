"""Every number of the report, with its interval, its counts and how it was computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support, roc_curve

from pneumo_tf.evaluation import statistics
from pneumo_tf.evaluation.delong import delong
from pneumo_tf.evaluation.estimates import resampled
from pneumo_tf.evaluation.intervals import Statistic, newcombe_auc
from pneumo_tf.evaluation.proportions import Figure, proportion, two_by_two
from pneumo_tf.evaluation.scores import Scores

_ROC_POINTS = 200


def evaluate(scores: Scores, threshold: float | None, *, seed: int = 42,
             resamples: int = 1000) -> dict[str, Any]:
    """Figures of one split, ready for JSON: a figure that doesn't exist is null, with the reason as `why`.

    Two classes are judged at `threshold` on the positive's score; several by their highest score, and then
    `per_class` holds each against the rest.

    Raises:
        OptionError: Two classes and no threshold.
    """
    predicted = scores.predicted(threshold)
    confusion = _confusion(scores, predicted)
    rows = confusion.sum(axis=1, keepdims=True)
    content = {
        "films": len(scores.ids),
        "patients": len(np.unique(scores.groups)),
        "classes": list(scores.classes),
        "positive": scores.positive,
        "threshold": threshold if scores.is_binary else None,
        "confusion": confusion.tolist(),
        "confusion_normalised": np.round(confusion / np.maximum(rows, 1), 3).tolist(),
        "figures": _figures(scores, predicted, confusion, seed=seed, resamples=resamples),
        "classification_report": _classification_report(scores, predicted),
    }
    if scores.is_binary:
        return {**content, "roc": _roc(scores.labels == scores.positive_index, scores.positive_scores)}
    return {**content, "per_class": _per_class(scores, predicted, seed=seed, resamples=resamples)}


def _confusion(scores: Scores, predicted: NDArray[np.intp]) -> NDArray[np.int64]:
    count = statistics.confusion_of(scores.labels, predicted, len(scores.classes))
    return count(np.ones((1, len(predicted))))[0].astype(np.int64)


def _figures(scores: Scores, predicted: NDArray[np.intp], confusion: NDArray[np.int64], *, seed: int,
             resamples: int) -> dict[str, Figure]:
    groups, positive = scores.groups, scores.positive_index
    proportions = {"accuracy": proportion(predicted == scores.labels, groups, why="no_films")}
    if scores.is_binary:
        table = two_by_two(scores.labels == positive, predicted == positive, groups)
        proportions = {**table, **proportions}
    drawn = resampled(_summaries(scores, predicted), groups, seed=seed, resamples=resamples)
    if scores.is_binary:
        drawn["auc"] = _area(drawn["auc"], scores, positive)
    reasons = _missing(confusion, scores)
    return proportions | {name: figure if figure["value"] is not None else
                          figure | {"why": reasons.get(name, "one_class_predicted")}
                          for name, figure in drawn.items()}


def _summaries(scores: Scores, predicted: NDArray[np.intp]) -> dict[str, Statistic]:
    """The figures that no binomial law covers, each as a function of weights (b, n)."""
    count = statistics.confusion_of(scores.labels, predicted, len(scores.classes))
    positive = scores.positive_index
    common: dict[str, Statistic] = {
        "balanced_accuracy": lambda weights: statistics.recalls(count(weights)).mean(axis=1),
        "mcc": lambda weights: statistics.matthews(count(weights)),
    }
    if scores.is_binary:
        f1: Statistic = lambda weights: statistics.f1_scores(count(weights))[:, positive]  # noqa: E731
        return {"f1": f1, **common, **_ranking(scores, positive)}
    every = [_one_against_rest(scores, index) for index in range(len(scores.classes))]
    macro: Statistic = lambda weights: statistics.f1_scores(count(weights)).mean(axis=1)  # noqa: E731
    return {"macro_f1": macro, **common, "macro_auc": statistics.mean_of(every)}


def _one_against_rest(scores: Scores, index: int) -> Callable[[statistics.Floats], statistics.Floats]:
    return statistics.auc_of(scores.labels == index, scores.values[:, index].astype(np.float64))


def _ranking(scores: Scores, index: int) -> dict[str, Statistic]:
    """How well the scores of one class rank it before the others."""
    values = scores.values[:, index].astype(np.float64)
    return {"auc": _one_against_rest(scores, index),
            "average_precision": statistics.average_precision_of(scores.labels == index, values)}


def _area(auc: Figure, scores: Scores, index: int) -> Figure:
    """An area with DeLong's intervals beside its own, where there are any: films as independent, and not."""
    if auc["value"] is None:
        return auc
    own, values = scores.labels == index, scores.values[:, index]
    found = {"delong": delong(own, values), "delong_by_patient": delong(own, values, scores.groups)}
    beside = {name: {"low": ends[0], "high": ends[1]} for name, ends in found.items() if ends}
    return _perfect_area(auc, scores, index) | beside


def _perfect_area(auc: Figure, scores: Scores, index: int) -> Figure:
    """An area of 0 or 1 with an interval of its own: resampling can't show an error that never happened.

    Patients count, not films, so that several films of one patient make it no narrower.
    """
    if auc["value"] not in (0, 1):
        return auc
    own = scores.labels == index
    positives, negatives = (len(np.unique(scores.groups[rows])) for rows in (own, ~own))
    low, high = newcombe_auc(auc["value"], positives, negatives)
    return {"value": auc["value"], "low": low, "high": high, "films": auc["films"],
            "patients": auc["patients"], "method": "Newcombe 2006, method 5"}


def _missing(confusion: NDArray[np.int64], scores: Scores) -> dict[str, str]:
    """Why a figure that needs every class doesn't exist, by its name."""
    if confusion.sum(axis=1).all():
        return {}
    absent = confusion.sum(axis=1)[scores.positive_index] == 0
    why = "missing_class" if not scores.is_binary else "no_positive_films" if absent else "no_negative_films"
    needing_all = ("balanced_accuracy", "mcc", "auc", "average_precision", "macro_auc", "macro_f1", "f1")
    return dict.fromkeys(needing_all, why)


def _classification_report(scores: Scores, predicted: NDArray[np.intp]) -> list[dict[str, Any]]:
    """The rows of scikit-learn's table: each class, the accuracy, and the two averages."""
    indices, films = list(range(len(scores.classes))), len(scores.ids)
    table = precision_recall_fscore_support(scores.labels, predicted, labels=indices, zero_division=0)
    rows = [_report_row(name, values)
            for name, values in zip(scores.classes, np.transpose(table), strict=True)]
    rows.append({"class": "accuracy", "precision": None, "recall": None,
                 "f1": float(np.mean(scores.labels == predicted)), "support": films})
    for average in ("macro", "weighted"):
        means = precision_recall_fscore_support(scores.labels, predicted, labels=indices, average=average,
                                                zero_division=0)
        rows.append(_report_row(f"{average} avg", [*means[:3], films]))
    return rows


def _report_row(name: str, values: Sequence[float]) -> dict[str, Any]:
    precision, recall, f1, support = values
    return {"class": name, "precision": float(precision), "recall": float(recall), "f1": float(f1),
            "support": int(support)}


def _per_class(scores: Scores, predicted: NDArray[np.intp], *, seed: int,
               resamples: int) -> dict[str, dict[str, Any]]:
    """Each class against the rest."""
    content = {}
    for index, name in enumerate(scores.classes):
        own = scores.labels == index
        why = "no_positive_films" if not own.any() else "no_negative_films"
        drawn = resampled(_ranking(scores, index), scores.groups, seed=seed, resamples=resamples, why=why)
        content[name] = {**two_by_two(own, predicted == index, scores.groups), **drawn,
                         "auc": _area(drawn["auc"], scores, index),
                         "roc": _roc(own, scores.values[:, index])}
    return content


def _roc(is_positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> dict[str, list[float]] | None:
    """The ROC curve, thinned; None where one class is missing."""
    if is_positive.all() or not is_positive.any():
        return None
    fpr, tpr, _ = roc_curve(is_positive, scores)
    kept = np.unique(np.linspace(0, len(fpr) - 1, min(_ROC_POINTS, len(fpr))).round().astype(int))
    return {"fpr": fpr[kept].round(5).tolist(), "tpr": tpr[kept].round(5).tolist()}
