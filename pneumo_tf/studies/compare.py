"""Several ways to train, compared by their validation films: which ranks best, and how much is luck.

Reads finished run folders and nothing else. The test films are left alone: choosing by them would spend them.
"""

from __future__ import annotations

import shlex
import statistics as spread
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from pneumo_tf.errors import PneumoError
from pneumo_tf.evaluation.figures import Judged, area_name
from pneumo_tf.evaluation.intervals import bootstrap
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import less, mean_of
from pneumo_tf.evaluation.stressed import BALANCED
from pneumo_tf.language import say
from pneumo_tf.report.page import write_comparison_page
from pneumo_tf.runs.folder import RunFolder, read_run
from pneumo_tf.storage import make_folder, read_json, write_csv, write_json

_CURVES = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
Rank = Literal["auc", "stress"]
_FIGURES = ("auc", "accuracy", "log_loss", "epochs", "seconds")


class ComparisonError(PneumoError):
    """Runs that can't be compared with each other."""


@dataclass(frozen=True)
class Row:
    """One way to train.

    Attributes:
        name: What tells it from the others; empty: its recipe and backbone.
        runs: Folders of its finished runs, one for each seed.
        options: What tells it from the others, by option.
    """

    name: str
    runs: tuple[Path, ...]
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Run:
    """A run, and its scores of the validation films, by id."""

    folder: RunFolder
    scores: Scores


def compare(rows: Sequence[Row], *, name: str, seed: int = 42, resamples: int = 2000,
            rank: Rank = "auc") -> dict[str, Any]:
    """Figures of each row, its mean and SD over its runs, and its distance to the best; ready for JSON.

    The rows come by validation AUC, or by the mean balanced accuracy on stressed validation films, highest
    first. The interval of a difference is a bootstrap of the
    validation films' patients, drawn alike for both rows, with each row's areas averaged over its runs: it
    tells how much the films matter, and the SD how much the seed does.

    Args:
        rows: At least one, each with at least one run.
        name: Of the comparison.
        seed: Of the resamples.
        resamples: Number of them.
        rank: "auc" or "stress".

    Raises:
        RunError: A run folder that isn't finished or can't be read.
        ComparisonError: Runs whose films were split differently, validation films that have no area, or runs
            without stress that are to be ranked by it.
    """
    read = [[_read(folder) for folder in row.runs] for row in rows]
    _check([run for runs in read for run in runs])
    if rank == "stress":
        _check_stress([run for runs in read for run in runs])
    told = [_row(row, runs) for row, runs in zip(rows, read, strict=True)]
    order = sorted(range(len(rows)), key=lambda index: -told[index]["figures"][rank]["mean"])
    differences = _differences([read[index] for index in order], seed=seed, resamples=resamples)
    return {**_facts(read[0][0]), "name": name, "seed": seed, "resamples": resamples, "rank": rank,
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "rows": [told[index] | {"difference": difference}
                     for index, difference in zip(order, differences, strict=True)]}


def write_comparison(content: dict[str, Any], folder: Path, *, lang: str = "en") -> Path:
    """Write comparison.json, comparison.csv and comparison.html.

    Returns:
        The path of the page.

    Raises:
        OptionError: A language without a catalogue.
        StorageError: The folder can't be written to.
    """
    record = make_folder(folder) / "comparison.json"
    before = _runs_of(read_json(record)) if record.is_file() else set()
    if gone := before - _runs_of(content):
        say(f"The comparison in {folder} is replaced. {len(gone)} of its runs, which stay, are left out.",
            aside=True)
    write_json(record, content)
    write_csv(folder / "comparison.csv", table(content))
    return write_comparison_page(content, folder, lang=lang)


def _runs_of(content: dict[str, Any]) -> set[str]:
    return {run["folder"] for row in content["rows"] for run in row["runs"]}


def table(content: dict[str, Any]) -> pd.DataFrame:
    """One line per row: its options, means and SDs over its runs, its difference, and its commands."""
    lines = []
    for row in content["rows"]:
        means = {f"validation_{name}" if name in _FIGURES[:3] else name: row["figures"][name]["mean"]
                 for name in _FIGURES}
        means["validation_stress"] = row["figures"].get("stress", {}).get("mean")
        distance = row["difference"] or {"value": 0.0, "low": None, "high": None}
        lines.append({"row": row["name"], **row["options"], **means,
                      "validation_auc_sd": row["figures"]["auc"]["sd"],
                      **{f"difference_{part}": distance[part] for part in ("value", "low", "high")},
                      "runs": len(row["runs"]), "seeds": " ".join(str(run["seed"]) for run in row["runs"]),
                      "command": row["runs"][0]["command"]})
    return pd.DataFrame(lines)


def _read(folder: Path) -> _Run:
    run = read_run(folder)
    scores = run.scores("validation")
    return _Run(run, scores.take(np.argsort(scores.ids, kind="stable")))


def _check_stress(runs: Sequence[_Run]) -> None:
    """All runs were put under stress by their training."""
    for run in runs:
        if _stressed(run) is None:
            stress = run.folder.metrics.get("stress") or {}
            raise ComparisonError("Runs are ranked by stress where every training measured it.",
                                  received=f"{run.folder.path}, {stress.get('skipped', 'without a record')}",
                                  remedy="Leave --rank stress out, or train that run again.")


def _stressed(run: _Run) -> float | None:
    """The mean balanced accuracy on stressed validation films; None where it wasn't measured."""
    mean = (run.folder.metrics.get("stress") or {}).get("mean")
    return None if mean is None else mean[BALANCED]["value"]


def _check(runs: Sequence[_Run]) -> None:
    """All runs were validated on the same films, of every class."""
    first = runs[0]
    for run in runs:
        if _films(run) != _films(first):
            raise ComparisonError("Runs can be compared only where their films were split alike.",
                                  received=f"{first.folder.path} and {run.folder.path}, which differ",
                                  remedy="Train them again with the same films, labels and --split-seed.")
    if len(np.unique(first.scores.labels)) < len(first.scores.classes):
        raise ComparisonError("Runs are compared by validation films of every class.",
                              received=f"{first.folder.path}, whose validation films lack one",
                              remedy="Add films, or raise --validation-fraction.")


def _films(run: _Run) -> tuple[Any, ...]:
    """Equal for runs that can be compared: the split, and the films that validate with their classes."""
    return (run.folder.facts.get("split_sha256"), run.scores.classes, run.scores.positive,
            tuple(run.scores.ids), tuple(run.scores.labels.tolist()))


def _facts(run: _Run) -> dict[str, Any]:
    """What all runs share."""
    facts = run.folder.facts
    return {"films": len(run.scores.ids), "patients": len(np.unique(run.scores.groups)),
            "classes": list(run.scores.classes), "positive": run.scores.positive,
            "phantoms": bool(facts.get("phantoms")), "split_by": facts.get("split_by"),
            "patients_known": bool(facts.get("patients_known")), "split_sha256": facts.get("split_sha256")}


def _row(row: Row, runs: Sequence[_Run]) -> dict[str, Any]:
    told = [_run(run) for run in runs]
    facts = runs[0].folder.facts
    return {"name": row.name or f"{facts.get('recipe')} · {facts.get('backbone')}",
            "options": dict(row.options), "runs": told,
            "figures": {name: _summary([run[name] for run in told]) for name in (*_FIGURES, "stress")
                        if None not in [run[name] for run in told]}}


def _run(run: _Run) -> dict[str, Any]:
    """One run's figures on the validation films, its curves, and the command that repeats it."""
    facts, scores, history = run.folder.facts, run.scores, run.folder.history
    command = [part for part in facts.get("command") or [] if part != "--resume"]
    return {"folder": str(run.folder.path), "seed": facts.get("seed"), "command": shlex.join(command),
            "auc": Judged(scores).value(area_name(scores)),
            "accuracy": float(np.mean(scores.values.argmax(axis=1) == scores.labels)),
            "log_loss": Judged(scores).value("log_loss"), "epochs": len(history), "stress": _stressed(run),
            "seconds": float(sum(stage["seconds"] for stage in facts.get("stages") or [])),
            "history": {name: [None if pd.isna(value) else float(value) for value in history[name]]
                        for name in _CURVES if name in history}}


def _summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, SD (n − 1; None with a single run) and number of runs."""
    return {"mean": spread.fmean(values), "sd": spread.stdev(values) if len(values) > 1 else None,
            "n": len(values)}


def _differences(ranked: Sequence[Sequence[_Run]], *, seed: int,
                 resamples: int) -> list[dict[str, Any] | None]:
    """Each row's area less the first one's, over the same resamples of patients; None for the first."""
    area = area_name(ranked[0][0].scores)
    areas = [mean_of([Judged(run.scores).statistic(area) for run in runs]) for runs in ranked]
    distances = {str(index): less(area, areas[0]) for index, area in enumerate(areas) if index}
    scores = ranked[0][0].scores
    intervals = bootstrap(distances, scores.groups, seed=seed, resamples=resamples)
    once = np.ones((1, len(scores.ids)))
    return [None, *({"value": float(distance(once)[0]), "low": intervals[index].low,
                     "high": intervals[index].high} for index, distance in distances.items())]
