"""Every number of the report, with its interval, its counts and how it was computed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import classification_report, confusion_matrix, roc_curve

from pneumo_tf.evaluation.figures import FIGURES, Judged, Setting
from pneumo_tf.evaluation.intervals import Estimate, delong, newcombe_auc, resampled
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
    judged, films = Judged(scores, threshold), len(scores.ids)
    confusion = confusion_matrix(scores.labels, judged.predicted, labels=range(len(scores.classes)))
    rows = confusion.sum(axis=1, keepdims=True)
    content = {
        "films": films,
        "patients": len(np.unique(scores.groups)),
        "classes": list(scores.classes),
        "positive": scores.positive,
        "threshold": threshold if scores.is_binary else None,
        "confusion": confusion.tolist(),
        "confusion_normalised": np.round(confusion / np.maximum(rows, 1), 3).tolist(),
        "figures": _figures(judged, "two" if scores.is_binary else "several", seed=seed, resamples=resamples),
        "classification_report": _classification_report(scores, judged.predicted),
    }
    if scores.is_binary:
        return {**content, "roc": _roc(judged.own, scores.positive_scores)}
    return {**content, "per_class": _per_class(scores, threshold, seed=seed, resamples=resamples)}


def _figures(judged: Judged, setting: Setting, *, seed: int, resamples: int) -> dict[str, Estimate]:
    """What the table tells in this setting, the shares first."""
    told = {name: figure for name, figure in FIGURES.items() if setting in figure.told}
    shares = {name: judged.share(name) for name, figure in told.items() if figure.interval == "wilson"}
    drawn = resampled({name: judged.statistic(name) for name in told if name not in shares},
                      judged.scores.groups, seed=seed, resamples=resamples)
    absent = _absent(judged, setting)
    for name, estimate in drawn.items():
        if estimate["value"] is None:
            estimate["why"] = absent or told[name].why
        elif told[name].interval == "delong":
            drawn[name] = _area(estimate, judged)
    return {**shares, **drawn}


def _absent(judged: Judged, setting: Setting) -> str:
    """Why a figure that needs films of every class doesn't exist; empty where each has some."""
    if setting == "several":
        return "" if len(np.unique(judged.scores.labels)) == len(judged.scores.classes) else "missing_class"
    return "no_positive_films" if not judged.own.any() else "no_negative_films" if judged.own.all() else ""


def _area(auc: Estimate, judged: Judged) -> Estimate:
    """An area with DeLong's intervals beside its own: films as independent, and by patient.

    An area of 0 or 1 has Newcombe's instead, since resampling can't show an error that never happened.
    Patients count there, not films, so that several films of one patient make it no narrower.
    """
    own, values, groups = judged.own, judged.scores.values[:, judged.index], judged.scores.groups
    if auc["value"] in (0, 1):
        positives, negatives = (len(np.unique(groups[rows])) for rows in (own, ~own))
        low, high = newcombe_auc(auc["value"], positives, negatives)
        return {"value": auc["value"], "low": low, "high": high, "films": auc["films"],
                "patients": auc["patients"], "method": "Newcombe 2006, method 5"}
    beside = {"delong": delong(own, values), "delong_by_patient": delong(own, values, groups)}
    return auc | {name: {"low": ends[0], "high": ends[1]} for name, ends in beside.items() if ends}


def _classification_report(scores: Scores, predicted: NDArray[np.intp]) -> list[dict[str, Any]]:
    """The rows of scikit-learn's table: each class, the accuracy, and the two averages."""
    indices = [str(index) for index in range(len(scores.classes))]  # since a class may be called "accuracy"
    table = classification_report(scores.labels, predicted, labels=range(len(indices)), target_names=indices,
                                  output_dict=True, zero_division=0)
    accuracy = {"precision": None, "recall": None, "f1-score": table["accuracy"], "support": len(predicted)}
    rows = [*zip(scores.classes, map(table.get, indices), strict=True), ("accuracy", accuracy),
            *((name, table[name]) for name in ("macro avg", "weighted avg"))]
    return [{"class": name, "precision": row["precision"], "recall": row["recall"], "f1": row["f1-score"],
             "support": int(row["support"])} for name, row in rows]


def _per_class(scores: Scores, threshold: float | None, *, seed: int,
               resamples: int) -> dict[str, dict[str, Any]]:
    """Each class against the rest."""
    content = {}
    for index, name in enumerate(scores.classes):
        judged = Judged(scores, threshold, against_rest=index)
        content[name] = {**_figures(judged, "rest", seed=seed, resamples=resamples),
                         "roc": _roc(judged.own, scores.values[:, index])}
    return content


def _roc(is_positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> dict[str, list[float]] | None:
    """The ROC curve, thinned; None where one class is missing."""
    if is_positive.all() or not is_positive.any():
        return None
    fpr, tpr, _ = roc_curve(is_positive, scores)
    kept = np.unique(np.linspace(0, len(fpr) - 1, min(_ROC_POINTS, len(fpr))).round().astype(int))
    return {"fpr": fpr[kept].round(5).tolist(), "tpr": tpr[kept].round(5).tolist()}
