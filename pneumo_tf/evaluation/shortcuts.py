"""How far one gets without looking at a pixel: the class guessed from facts of the original files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.evaluation.intervals import Interval, Statistic, bootstrap
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import auc_of

Floats = NDArray[np.float64]

_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")
# A fact that fewer films have says more of who noted it than of the films.
_KNOWN = 0.5


def shortcuts(cohort: Cohort, test: Scores, *, seed: int = 42, resamples: int = 1000) -> dict[str, Any]:
    """Areas under the ROC curve of file facts on the test films, ready for JSON.

    Each fact alone, its direction chosen on the training films, and all together by a logistic regression
    fitted on these. Films without a fact get the training films' median of it.

    Args:
        cohort: Films with a split, and the facts of their original files where known.
        test: The test films' labels and patients; their scores aren't looked at.
        seed: Of the resamples.
        resamples: Number of them.

    Returns:
        `baselines`, of each {"name", "train", "value", "resamples", "low", "high"}: jpeg_quality, bytes,
        megapixels, aspect, colour, jpeg and "all", as far as known; empty with a reason as `why` where
        nothing is known or a class is missing.
    """
    by_id = {film.id: film for film in cohort}
    trained = [film for film in cohort if film.split == "train"]
    tested = [by_id[name] for name in test.ids]
    is_trained = np.array([film.label == test.positive for film in trained], dtype=bool)
    is_tested = test.labels == test.positive_index
    if any(labels.all() or not labels.any() for labels in (is_trained, is_tested)):
        return {"baselines": [], "why": "one_class_only"}
    columns = _columns(trained, tested)
    if not columns:
        return {"baselines": [], "why": "no_facts"}
    if len(columns) > 1:
        columns["all"] = _together(columns, is_trained)
    directed = {name: _directed(*values, is_trained) for name, values in columns.items()}
    statistics: dict[str, Statistic] = {name: auc_of(is_tested, values)
                                        for name, (_, values) in directed.items()}
    intervals = bootstrap(statistics, test.groups, seed=seed, resamples=resamples)
    return {"baselines": [
        {"name": name, "train": directed[name][0], "value": _area(statistic, len(tested)),
         "resamples": resamples, **_bounds(intervals[name])} for name, statistic in statistics.items()]}


def _directed(train: Floats, test: Floats, is_trained: NDArray[np.bool_]) -> tuple[float, Floats]:
    """The area on the training films, and the test films' values turned so that high means positive there."""
    area = _area(auc_of(is_trained, train), len(train))
    return (area, test) if area >= 0.5 else (1 - area, -test)


def _area(statistic: Statistic, films: int) -> float:
    return float(statistic(np.ones((1, films)))[0])


def _bounds(interval: Interval) -> dict[str, float | None]:
    """The interval's ends; none where all films share the fact."""
    if interval.low == interval.high:
        return {"low": None, "high": None}
    return {"low": interval.low, "high": interval.high}


def _columns(trained: list[Radiograph], tested: list[Radiograph]) -> dict[str, tuple[Floats, Floats]]:
    """Every known fact of the training and the test films, gaps filled."""
    train, test = (_table(films) for films in (trained, tested))
    content = {}
    for name in train:
        both = (train[name], test[name])
        if min(np.isfinite(values).mean() for values in both) >= _KNOWN:
            middle = np.nanmedian(train[name])
            content[name] = (np.nan_to_num(both[0], nan=middle), np.nan_to_num(both[1], nan=middle))
    return content


def _table(films: list[Radiograph]) -> dict[str, Floats]:
    """(n,) float by fact, NaN where unknown; sizes as logarithms, since files differ by factors."""
    rows = [_numbers(film.facts) for film in films]
    return {name: np.array([row[name] for row in rows]) for name in _numbers({})}


def _numbers(facts: Mapping[str, str]) -> dict[str, float]:
    width, height = _number(facts, "width"), _number(facts, "height")
    mode, kind = facts.get("mode", ""), facts.get("format", "")
    return {"jpeg_quality": _number(facts, "jpeg_quality"), "bytes": float(np.log(_number(facts, "bytes"))),
            "megapixels": float(np.log(width * height)), "aspect": float(np.log(width / height)),
            "colour": float(mode not in _GREY) if mode else float("nan"),
            "jpeg": float(kind == "JPEG") if kind else float("nan")}


def _number(facts: Mapping[str, str], name: str) -> float:
    """A positive number; NaN for anything else, since split.csv may have been edited by hand."""
    try:
        value = float(facts.get(name, ""))
    except ValueError:
        return float("nan")
    return value if 0 < value < float("inf") else float("nan")


def _together(columns: dict[str, tuple[Floats, Floats]], is_trained: NDArray[np.bool_]) \
        -> tuple[Floats, Floats]:
    """Log odds of the training and the test films."""
    train, test = (np.column_stack([pair[side] for pair in columns.values()]) for side in (0, 1))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train, is_trained)
    return model.decision_function(train), model.decision_function(test)
