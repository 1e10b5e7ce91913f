"""The report's tables, with every number already written in the reader's language."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pneumo_tf.report.language import Language
from pneumo_tf.runs.folder import RunFolder

SPLITS = ("train", "validation", "test")
_LISTED_FILES = 300
_CORRELATIONS = ("mcc",)  # from −1 to 1: neither a percentage nor a bar from 0 to 100
_AREAS = ("auc", "macro_auc", "average_precision", "f1", "macro_f1")


@dataclass(frozen=True)
class FigureRow:
    """One figure as text; `bar` is its interval and value in percent of the width, for drawing."""

    name: str
    means: str
    value: str
    interval: str
    counts: str
    method: str
    bar: tuple[float, float, float] | None


def figure_row(name: str, figure: dict[str, Any], words: Language, *, positive: str) -> FigureRow:
    """A figure of metrics.json in words; the reason stands where the value doesn't exist."""
    title = words.named("figure", name)
    means = words.say(f"figure.{name}.means", positive=positive)
    if figure["value"] is None:
        return FigureRow(title, means, "–", words.say(f"why.{figure['why']}"), "", "", None)
    low, high, value = figure["low"], figure["high"], figure["value"]
    interval = "" if low is None else words.say("number.interval", low=share(name, low, words),
                                                high=share(name, high, words))
    has_bar = low is not None and name not in _CORRELATIONS
    return FigureRow(title, means, share(name, value, words), interval, _counts(figure, words),
                     _method(figure, words), (100 * low, 100 * high, 100 * value) if has_bar else None)


def figure_rows(run: RunFolder, words: Language) -> list[FigureRow]:
    """Every figure of the test split."""
    return [figure_row(name, figure, words, positive=run.positive)
            for name, figure in run.test["figures"].items()]


def class_rows(run: RunFolder, words: Language) -> dict[str, list[FigureRow]]:
    """Each class against the rest; empty for two classes."""
    names = ("sensitivity", "specificity", "auc")
    return {label: [figure_row(name, figures[name], words, positive=label) for name in names]
            for label, figures in run.test.get("per_class", {}).items()}


def point_rows(run: RunFolder, words: Language) -> list[dict[str, Any]]:
    """Sensitivity and specificity at the operating point, validation beside test."""
    fixed = run.facts.get("operating_point") or {}
    validation = (run.metrics.get("validation") or {}).get("figures") or {}
    rows = []
    for name in ("sensitivity", "specificity"):
        then = validation.get(name) or {"value": fixed.get(name), "low": None, "high": None}
        before = "–" if then["value"] is None else _with_interval(name, then, words)
        now = run.test["figures"][name]
        rows.append({"name": words.say(f"figure.{name}"), "validation": before,
                     "test": "–" if now["value"] is None else _with_interval(name, now, words)})
    return rows


def report_rows(run: RunFolder, words: Language) -> list[dict[str, str]]:
    """The classification report, two decimals as scikit-learn prints it."""
    def decimal(value: float | None) -> str:
        return "" if value is None else words.number(value, 2)

    last_rows = len(run.classes)
    return [{"name": row["class"] if index < last_rows else words.say(f"result.report.{row['class']}"),
             "precision": decimal(row["precision"]), "recall": decimal(row["recall"]),
             "f1": decimal(row["f1"]), "support": words.number(row["support"])}
            for index, row in enumerate(run.test["classification_report"])]


def flow(run: RunFolder, words: Language) -> list[dict[str, Any]]:
    """What each stage kept and dropped, with reasons."""
    return [_stage(step, words) for step in run.facts.get("flow") or []]


def splits(run: RunFolder, words: Language) -> list[dict[str, Any]]:
    """Films and patients per class and split, and their sums."""
    films = [(film.label, film.split, film.patient) for film in run.cohort if film.split]
    rows = []
    for label in [*run.classes, None]:
        mine = [film for film in films if label in (None, film[0])]
        cells = [_split_cell([f for f in mine if split in (None, f[1])], words) for split in (*SPLITS, None)]
        rows.append({"name": label or words.say("split.total"), "cells": cells, "is_total": label is None})
    return rows


def stages(run: RunFolder, words: Language) -> list[dict[str, Any]]:
    """Time and peak memory per stage, with the share of the longest one for drawing."""
    content = run.facts.get("stages") or []
    longest = max((stage["seconds"] for stage in content), default=0) or 1
    rows = [{"name": words.named("stage", stage["stage"]), "time": words.duration(stage["seconds"]),
             "memory": words.size(stage["peak_memory_bytes"]) if stage.get("peak_memory_bytes") else "–",
             "share": 100 * stage["seconds"] / longest} for stage in content]
    if len(content) > 1:
        total = words.duration(sum(stage["seconds"] for stage in content))
        peak = max(stage.get("peak_memory_bytes") or 0 for stage in content)
        rows.append({"name": words.say("cost.total"), "time": total, "share": None,
                     "memory": words.size(peak) if peak else "–"})
    return rows


def share(name: str, value: float, words: Language) -> str:
    """A figure by its name: areas and correlations as decimals, the others as percentages."""
    return words.number(value, 3) if name in (*_CORRELATIONS, *_AREAS) else words.percent(value)


def _with_interval(name: str, figure: dict[str, Any], words: Language) -> str:
    value = share(name, figure["value"], words)
    if figure["low"] is None:
        return value
    interval = words.say("number.interval", low=share(name, figure["low"], words),
                         high=share(name, figure["high"], words))
    return f"{value} ({interval})"


def _counts(figure: dict[str, Any], words: Language) -> str:
    if "count" not in figure:
        return ""
    return words.say("result.of", count=words.number(figure["count"]), of=words.number(figure["of"]))


def _method(figure: dict[str, Any], words: Language) -> str:
    if "resamples" not in figure:
        by_patient = figure.get("method") == "Wilson by patient"
        kind = ("wilson_by_patient" if by_patient else "wilson") if "count" in figure else "newcombe"
        return words.say(f"method.{kind}")
    parts = [words.say("method.bootstrap", resamples=words.number(figure["resamples"]))]
    if figure.get("skipped"):
        parts.append(words.say("method.skipped", n=words.number(figure["skipped"])))
    parts += [words.say(f"method.{name}", low=words.number(figure[name]["low"], 3),
                        high=words.number(figure[name]["high"], 3))
              for name in ("delong", "delong_by_patient") if name in figure]
    return "; ".join(parts)


def _stage(step: dict[str, Any], words: Language) -> dict[str, Any]:
    dropped = [(file["file"], words.named("reason", file["reason"])) for file in step.get("dropped") or []]
    reasons = Counter(reason for _, reason in dropped).most_common()
    return {"name": words.named("stage", step["stage"]),
            "kept": words.say("flow.kept", films=words.count(step["kept"], "film")),
            "dropped": words.say("flow.dropped", files=words.count(len(dropped), "file")) if dropped else "",
            "reasons": [(reason, words.number(number)) for reason, number in reasons],
            "files": dropped[:_LISTED_FILES],
            "more": words.say("flow.more", files=words.count(len(dropped) - _LISTED_FILES, "file"))
            if len(dropped) > _LISTED_FILES else ""}


def _split_cell(films: list[tuple[str, str, str]], words: Language) -> str:
    patients = [patient for _, _, patient in films]
    known = "?" if films and not all(patients) else words.number(len(set(patients)))
    return words.say("split.cell", films=words.number(len(films)), patients=known)
