"""Every number of the report, with its interval, its counts and how it was computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_curve

from pneumo_tf.evaluation import statistics
from pneumo_tf.evaluation.delong import delong
from pneumo_tf.evaluation.intervals import Interval, Statistic, bootstrap, newcombe_auc, wilson
from pneumo_tf.evaluation.scores import Scores

_ROC_POINTS = 200

Figure = dict[str, Any]


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
        ranking = _ranking(scores.labels == scores.positive_index, scores.positive_scores)
        return {**content, **ranking}
    return {**content, "per_class": _per_class(scores, confusion, seed=seed, resamples=resamples)}


def _confusion(scores: Scores, predicted: NDArray[np.intp]) -> NDArray[np.int64]:
    count = statistics.confusion_of(scores.labels, predicted, len(scores.classes))
    return count(np.ones((1, len(predicted))))[0].astype(np.int64)


def _figures(scores: Scores, predicted: NDArray[np.intp], confusion: NDArray[np.int64], *, seed: int,
             resamples: int) -> dict[str, Figure]:
    proportions = {"accuracy": _proportion(int(np.trace(confusion)), int(confusion.sum()), "no_films")}
    if scores.is_binary:
        proportions = {**_two_by_two(confusion, scores.positive_index), **proportions}
    resampled = _resampled(_summaries(scores, predicted), scores.groups, seed=seed, resamples=resamples)
    if scores.is_binary:
        resampled["auc"] = _area(resampled["auc"], scores, scores.positive_index)
    reasons = _missing(confusion, scores)
    return proportions | {name: figure if figure["value"] is not None else
                          figure | {"why": reasons.get(name, "one_class_predicted")}
                          for name, figure in resampled.items()}


def _two_by_two(confusion: NDArray[np.int64], positive: int) -> dict[str, Figure]:
    """Sensitivity, specificity and predictive values of one class against the others."""
    hits = int(confusion[positive, positive])
    actual, called = int(confusion[positive].sum()), int(confusion[:, positive].sum())
    total = int(confusion.sum())
    rejected = total - actual - called + hits
    return {
        "sensitivity": _proportion(hits, actual, "no_positive_films"),
        "specificity": _proportion(rejected, total - actual, "no_negative_films"),
        "ppv": _proportion(hits, called, "none_predicted_positive"),
        "npv": _proportion(rejected, total - called, "none_predicted_negative"),
    }


def _proportion(count: int, of: int, why: str) -> Figure:
    if not of:
        return {"value": None, "low": None, "high": None, "count": count, "of": of, "method": "Wilson",
                "why": why}
    low, high = wilson(count, of)
    return {"value": count / of, "low": low, "high": high, "count": count, "of": of, "method": "Wilson"}


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
        return {"f1": f1, **common, "auc": _one_against_rest(scores, positive)}
    every = [_one_against_rest(scores, index) for index in range(len(scores.classes))]
    macro: Statistic = lambda weights: statistics.f1_scores(count(weights)).mean(axis=1)  # noqa: E731
    return {"macro_f1": macro, **common, "macro_auc": statistics.mean_of(every)}


def _one_against_rest(scores: Scores, index: int) -> Callable[[statistics.Floats], statistics.Floats]:
    return statistics.auc_of(scores.labels == index, scores.values[:, index].astype(np.float64))


def _resampled(summaries: dict[str, Statistic], groups: NDArray[np.str_], *, seed: int,
               resamples: int) -> dict[str, Figure]:
    once = np.ones((1, len(groups)))
    values = {name: float(summary(once)[0]) for name, summary in summaries.items()}
    existing = {name: summaries[name] for name, value in values.items() if np.isfinite(value)}
    intervals = bootstrap(existing, groups, seed=seed, resamples=resamples)
    method = {"method": f"patient bootstrap, {resamples} resamples", "resamples": resamples}
    absent = {"value": None, "low": None, "high": None, **method}
    return {name: {"value": values[name], **_bounds(intervals[name]), **method} if name in existing
            else dict(absent) for name in summaries}


def _bounds(interval: Interval) -> Figure:
    """The interval's ends; none where every resample gave the same, since nothing was learnt of its width."""
    if interval.low == interval.high:
        return {"low": None, "high": None, "skipped": interval.skipped}
    return {"low": interval.low, "high": interval.high, "skipped": interval.skipped}


def _area(auc: Figure, scores: Scores, index: int) -> Figure:
    """An area with DeLong's interval beside its own, where there is one; for DeLong films are independent."""
    if auc["value"] is None:
        return auc
    interval = delong(scores.labels == index, scores.values[:, index])
    beside = {"delong": {"low": interval[0], "high": interval[1]}} if interval else {}
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
    return {"value": auc["value"], "low": low, "high": high, "method": "Newcombe 2006, method 5"}


def _missing(confusion: NDArray[np.int64], scores: Scores) -> dict[str, str]:
    """Why a figure that needs every class doesn't exist, by its name."""
    if confusion.sum(axis=1).all():
        return {}
    absent = confusion.sum(axis=1)[scores.positive_index] == 0
    why = "missing_class" if not scores.is_binary else "no_positive_films" if absent else "no_negative_films"
    return dict.fromkeys(("balanced_accuracy", "mcc", "auc", "macro_auc", "macro_f1", "f1"), why)


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


def _per_class(scores: Scores, confusion: NDArray[np.int64], *, seed: int,
               resamples: int) -> dict[str, dict[str, Any]]:
    areas: dict[str, Statistic] = {name: _one_against_rest(scores, index)
                                   for index, name in enumerate(scores.classes)}
    resampled = _resampled(areas, scores.groups, seed=seed, resamples=resamples)
    content = {}
    for index, name in enumerate(scores.classes):
        table = _two_by_two(confusion, index)
        auc = _area(resampled[name], scores, index)
        if auc["value"] is None:
            auc["why"] = "no_positive_films" if not confusion[index].sum() else "no_negative_films"
        ranking = _ranking(scores.labels == index, scores.values[:, index])
        content[name] = {"sensitivity": table["sensitivity"], "specificity": table["specificity"],
                         "auc": auc, **ranking}
    return content


def _ranking(is_positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> dict[str, Any]:
    """The ROC curve, thinned, and the average precision; null where one class is missing."""
    if is_positive.all() or not is_positive.any():
        return {"roc": None, "average_precision": None, "why": "one_class_only"}
    fpr, tpr, _ = roc_curve(is_positive, scores)
    kept = np.unique(np.linspace(0, len(fpr) - 1, min(_ROC_POINTS, len(fpr))).round().astype(int))
    return {"roc": {"fpr": fpr[kept].round(5).tolist(), "tpr": tpr[kept].round(5).tolist()},
            "average_precision": float(average_precision_score(is_positive, scores))}
