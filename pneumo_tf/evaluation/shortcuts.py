"""How far one gets without seeing disease: the class guessed from facts of the files, or of the pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.evaluation.figures import Judged
from pneumo_tf.evaluation.intervals import Estimate, resampled
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import auc_of, less, once

Floats = NDArray[np.float64]
Columns = dict[str, tuple[Floats, ...]]

# The baselines of all facts of a kind together.
ALL_FILES, ALL_FRAMING, ALL_PIXELS = "all", "all_framing", "all_pixels"
FRAMING_FACTS = ("aspect", "near_black", "corner_marks", "lungs_width", "lungs_height")
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")
# Files differ in these by factors, so that their logarithms are compared.
_BY_FACTORS = ("bytes", "megapixels", "aspect")
PIXEL_FACTS = ("brightness", "contrast", "border", "sharpness")
# JPEG's ringing lifts black by a few grey levels; a row of film still has a corner or a letter that is lit.
_BLACK, _DARK_SHARE = 16, 0.98
# A fact that fewer films have says more of who noted it than of the films.
_KNOWN = 0.5


def shortcuts(cohort: Cohort, test: Scores, *, pixels: Mapping[str, Floats] | None = None, seed: int = 42,
              resamples: int = 1000) -> dict[str, Any]:
    """Areas under the ROC curve of trivial facts on the test films, ready for JSON.

    Each fact alone, its direction chosen on the training films, and all of a kind together by a logistic
    regression fitted on these. Films without a fact get the training films' median of it.

    Args:
        cohort: Films with a split, and the facts of their original files where known.
        test: The test films' labels, patients and the network's scores.
        pixels: (len(cohort),) float by name, as `pixel_facts` gives them, in the cohort's order.

    Returns:
        `baselines`, of each {"name", "kind", "train", "value", "low", "high", "difference", …}. `kind` is
        "file" (jpeg_quality, bytes, megapixels, colour, jpeg and "all", as far as known), "framing" (aspect,
        near_black, corner_marks, lungs_width, lungs_height and "all_framing") or "pixels" (brightness,
        contrast, border, sharpness and "all_pixels"). `difference` is the network's area less
        this one's, with the interval of the two on the same resamples of patients. Empty, with a reason as
        `why`, where nothing is known or a class is missing.
    """
    place = {film.id: row for row, film in enumerate(cohort)}
    trained = [row for row, film in enumerate(cohort) if film.split == "train"]
    rows = {"train": trained, "test": [place[name] for name in test.ids]}
    is_trained = np.array([cohort.radiographs[row].label == test.positive for row in trained], dtype=bool)
    is_tested = test.labels == test.positive_index
    if any(labels.all() or not labels.any() for labels in (is_trained, is_tested)):
        return {"baselines": [], "why": "one_class_only"}
    of_pixels = {name: tuple(values[rows[split]] for split in ("train", "test"))
                 for name, values in (pixels or {}).items()}
    known = _known_columns(cohort, rows)
    framing = {name: known.pop(name) for name in FRAMING_FACTS if name in known}
    kinds = {"file": _with_all(known, ALL_FILES, is_trained),
             "framing": _with_all(framing, ALL_FRAMING, is_trained),
             "pixels": _with_all(of_pixels, ALL_PIXELS, is_trained)}
    if not any(kinds.values()):
        return {"baselines": [], "why": "no_facts"}
    directed = {name: _directed(values, is_trained) for columns in kinds.values()
                for name, values in columns.items()}
    figures = _areas(test, {name: values for name, (_, values) in directed.items()}, seed=seed,
                     resamples=resamples)
    return {"baselines": [{"name": name, "kind": kind, "train": directed[name][0], **figures[name]}
                          for kind, columns in kinds.items() for name in columns]}


def fact_table(films: Sequence[Radiograph]) -> dict[str, Floats]:
    """(n,) float by fact of the original films, NaN where unknown.

    `jpeg_quality` in 1–100, `bytes`, `megapixels`, `colour` and `jpeg` (0 or 1); `aspect` (width by height);
    and the shares of `filters.framing_facts`, in 0–1.
    """
    rows = [fact_numbers(film.facts) for film in films]
    return {name: np.array([row[name] for row in rows]) for name in fact_numbers({})}


def _areas(test: Scores, baselines: Mapping[str, Floats], *, seed: int,
           resamples: int) -> dict[str, Estimate]:
    """The area of each baseline, with what the network is ahead of it as `difference`."""
    judged = Judged(test)
    network = once(judged.statistic("auc"))
    areas = {name: once(auc_of(judged.own, values)) for name, values in baselines.items()}
    ahead = {f"network - {name}": less(network, area) for name, area in areas.items()}
    figures = resampled({**areas, **ahead}, test.groups, seed=seed, resamples=resamples)
    kept = ("value", "low", "high")
    return {name: {**figures[name], "difference": {key: figures[f"network - {name}"][key] for key in kept}}
            for name in areas}


def _directed(column: tuple[Floats, ...], is_trained: NDArray[np.bool_]) -> tuple[float, Floats]:
    """The area on the training films, and the test films' values turned so that high means positive there."""
    train, test = column
    area = float(auc_of(is_trained, train)(np.ones((1, len(train))))[0])
    return (area, test) if area >= 0.5 else (1 - area, -test)


def _known_columns(cohort: Cohort, rows: Mapping[str, list[int]]) -> Columns:
    """Every known fact of the original training and test films, gaps filled."""
    table = fact_table(cohort.radiographs)
    columns = {}
    for name, values in table.items():
        train, test = (values[rows[split]] for split in ("train", "test"))
        if min(np.isfinite(train).mean(), np.isfinite(test).mean()) >= _KNOWN:
            filled = [np.nan_to_num(part, nan=np.nanmedian(train)) for part in (train, test)]
            columns[name] = tuple(map(np.log, filled) if name in _BY_FACTORS else filled)
    return columns


def fact_numbers(facts: Mapping[str, str]) -> dict[str, float]:
    """What a manifest says of one film, as `fact_table` has it."""
    width, height = _number(facts, "width"), _number(facts, "height")
    mode, kind = facts.get("mode", ""), facts.get("format", "")
    return {"jpeg_quality": _number(facts, "jpeg_quality"), "bytes": _number(facts, "bytes"),
            "megapixels": width * height / 1e6, "aspect": width / height,
            "colour": float(mode not in _GREY) if mode else float("nan"),
            "jpeg": float(kind == "JPEG") if kind else float("nan"),
            **{name: _number(facts, name, least=0) for name in FRAMING_FACTS[1:]}}


def _number(facts: Mapping[str, str], name: str, *, least: float = 1e-9) -> float:
    """A finite number of at least `least`; NaN for anything else: split.csv may have been edited by hand."""
    try:
        value = float(facts.get(name, ""))
    except ValueError:
        return float("nan")
    return value if least <= value < float("inf") else float("nan")


def _with_all(columns: Columns, name: str, is_trained: NDArray[np.bool_]) -> Columns:
    """The columns, and where there are several the log odds that all give together, under `name`."""
    from sklearn.linear_model import (
        LogisticRegression,  # whoever asks for the facts alone needn't wait for it
    )
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(columns) < 2:
        return columns
    train, test = (np.column_stack([pair[side] for pair in columns.values()]) for side in (0, 1))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train, is_trained)
    return {**columns, name: (model.decision_function(train), model.decision_function(test))}


def pixel_facts(films: Iterable[NDArray[np.uint8]]) -> dict[str, Floats]:
    """Facts of every film, one film in memory at a time.

    Args:
        films: uint8 (H, W), (H, W, 1) or (H, W, 3) each, of any sizes.

    Returns:
        (n,) float64 by name: `brightness`, the mean grey level, and `contrast`, its standard deviation, both
        in 0–255; `border`, the share of the picture in near-black rows and columns at its edges, in 0–1;
        `sharpness`, the logarithm of 1 + the variance of the Laplacian (Pech-Pacheco et al. 2000, ICPR).
    """
    rows = []
    for film in films:
        grey = _grey(film)
        mean, deviation = cv2.meanStdDev(grey)
        sharpness = np.log1p(cv2.Laplacian(grey, cv2.CV_32F).var())
        rows.append((mean[0, 0], deviation[0, 0], _border(grey), sharpness))
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(PIXEL_FACTS))
    return {name: table[:, column] for column, name in enumerate(PIXEL_FACTS)}


def _grey(film: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if film.ndim == 2:
        return film
    if film.shape[2] == 1:
        return film[:, :, 0]
    return np.asarray(cv2.cvtColor(film, cv2.COLOR_RGB2GRAY), np.uint8)


def _border(grey: NDArray[np.uint8]) -> float:
    """1 less the share of the smallest box that holds every row and column with something on it."""
    dark = grey <= _BLACK
    lit = [np.flatnonzero(dark.mean(axis=axis) < _DARK_SHARE) for axis in (0, 1)]
    if not all(map(len, lit)):
        return 1.0
    width, height = (int(places[-1] - places[0]) + 1 for places in lit)
    return 1 - width * height / grey.size
