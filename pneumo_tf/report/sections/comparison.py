"""Several ways to train beside each other: the table, the distances, the curves and the commands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from pneumo_tf.report.cautions import Caution
from pneumo_tf.report.charts.curves import PANEL_METRICS, PanelAxes, last_values, panel, panel_axes
from pneumo_tf.report.charts.drawing import drawn
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import FIGURES, REPORT

_MARGIN = 0.06  # on either side of the drawn intervals
_PAGES = ("comparison",)


@dataclass(frozen=True)
class Comparison:
    """What comparison.json holds, best row first, and the folder that it lies in."""

    record: dict[str, Any]
    folder: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(self.record["rows"])


def overview(record: dict[str, Any], words: Language) -> dict[str, Any]:
    """What the first screen shows beside its title: the best row, and those that can't be told from it."""
    rows, rank = record["rows"], record.get("rank", "auc")
    content = {"name": record["name"], "moment": words.moment(record["created"]),
               "lead": _lead(record, words), "cautions": cautions(record, words)}
    if rank != "auc":
        best = words.say(f"comparison.best.{rank}", name=rows[0]["name"])
        return content | {"best": best, "best_area": _mean(rows[0], rank, words), "tied": ""}
    tied = [row for row in rows[1:] if _is_tied(row, rows[0])]
    names = [row["name"] for row in (rows[0], *tied)]
    lowest = words.number(min(row["figures"]["auc"]["mean"] for row in (rows[0], *tied)), 4)
    best = words.say("comparison.tie", names=", ".join(names)) if tied else names[0]
    highest = words.number(rows[0]["figures"]["auc"]["mean"], 4)
    return content | {
        "best": words.say("comparison.best", name=best), "tied": _told_apart(rows, len(tied), words),
        "best_area": words.between(lowest, highest) if tied else _mean(rows[0], "auc", words)}


def title(record: dict[str, Any], words: Language) -> str:
    """How many ways and runs are compared."""
    return words.say("comparison.title", settings=words.count(len(record["rows"]), "setting"),
                     runs=words.count(sum(len(row["runs"]) for row in record["rows"]), "run"))


def _lead(record: dict[str, Any], words: Language) -> str:
    films = words.count(record["films"], "film")
    if not record["patients_known"]:
        return words.say("comparison.lead.films", films=films)
    return words.say("comparison.lead", films=films, patients=words.count(record["patients"], "patient"))


def _is_tied(row: dict[str, Any], best: dict[str, Any]) -> bool:
    """Whether the films, or the seeds, can't tell a row from the one with the highest area.

    The seeds can't where the two means lie within two standard errors of their difference.
    """
    difference, (one, other) = row["difference"], (row["figures"]["auc"], best["figures"]["auc"])
    if difference["high"] is None or difference["high"] >= 0:
        return True
    if None in (one["sd"], other["sd"]):
        return False
    return bool(abs(one["mean"] - other["mean"]) <= 2 * (one["sd"]**2 / one["n"]
                                                         + other["sd"]**2 / other["n"]) ** 0.5)


def _told_apart(rows: list[dict[str, Any]], tied: int, words: Language) -> str:
    """How many rows can't be told from the first, or how surely it leads; nothing where there is one row."""
    if len(rows) == 1:
        return ""
    if tied:
        return words.say("comparison.tied", n=tied, others=len(rows) - 1, name=rows[0]["name"])
    has_seeds = min(len(row["runs"]) for row in rows) > 1
    return words.say("comparison.clear" if has_seeds else "comparison.clear.films")


def cautions(record: dict[str, Any], words: Language) -> list[Caution]:
    """What makes the figures worth less, the gravest first."""
    found = []
    if record["phantoms"]:
        found.append(Caution("alarm", words.say("caution.phantoms")))
    if record["split_by"] == "film":
        found.append(Caution("alarm", words.say("caution.split_by_film")))
    elif not record["patients_known"]:
        found.append(Caution("alarm", words.say("caution.patients_unknown")))
    if min(len(row["runs"]) for row in record["rows"]) < 2:
        found.append(Caution("caution", words.say("comparison.caution.seed")))
    return [*found, Caution("note", words.say("comparison.caution.chosen")),
            Caution("note", words.say("comparison.caution.test"))]


def table(compared: Comparison, words: Language) -> dict[str, Any]:
    """Every row with its means over the seeds."""
    area = "auc" if len(compared.record["classes"]) == 2 else "macro_auc"
    columns = {"auc": f"comparison.{area}", "runs": "comparison.runs", "accuracy": "figure.accuracy",
               "log_loss": "figure.log_loss", "epochs": "comparison.epochs", "seconds": "comparison.seconds"}
    if all("stress" in row["figures"] for row in compared.rows):
        columns["stress"] = "comparison.stress"
    return {"columns": [(key, words.say(heading)) for key, heading in columns.items()],
            "rows": [_cells(row, words) | {"reports": _reports(row, compared.folder)}
                     for row in compared.rows]}


def _reports(row: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    """The seed of each run whose report is there, and the way to it from the folder of the comparison."""
    reports = [(str(run["seed"]), Path(run["folder"]) / REPORT) for run in row["runs"] if run.get("folder")]
    # Relative, so that the folders can be moved together.
    return [(seed, quote(Path(os.path.relpath(path, folder)).as_posix())) for seed, path in reports
            if path.is_file()]


def _cells(row: dict[str, Any], words: Language) -> dict[str, Any]:
    figures = row["figures"]
    return {"name": row["name"], "auc": _mean(row, "auc", words), "runs": words.number(len(row["runs"])),
            "accuracy": words.percent(figures["accuracy"]["mean"]),
            "log_loss": words.number(figures["log_loss"]["mean"], 3),
            "epochs": words.number(figures["epochs"]["mean"], 0 if figures["epochs"]["mean"] % 1 == 0 else 1),
            "seconds": words.duration(figures["seconds"]["mean"]),
            "stress": _mean(row, "stress", words) if "stress" in figures else ""}


def _mean(row: dict[str, Any], name: str, words: Language) -> str:
    figure = row["figures"][name]
    mean = words.number(figure["mean"], 4)
    if figure["sd"] is None:
        return mean
    return words.say("comparison.spread", mean=mean, sd=words.number(figure["sd"], 4))


def distances(compared: Comparison, words: Language) -> dict[str, Any] | None:
    """Every row but the best, drawn on one scale that holds all intervals and zero; None for one row."""
    best, *others = compared.rows
    if not others:
        return None
    known = [row["difference"] for row in others if row["difference"]["low"] is not None]
    ends = [0.0, *(other[part] for other in known for part in ("low", "high", "value"))]
    width = (max(ends) - min(ends)) or 1.0
    start, whole = min(ends) - _MARGIN * width, (1 + 2 * _MARGIN) * width

    def place(value: float) -> float:
        return 100 * (value - start) / whole

    write, rows = partial(words.signed, digits=4), []
    for row in others:
        value, low, high = (row["difference"][key] for key in ("value", "low", "high"))
        interval = words.interval(row["difference"], write) or words.say("comparison.difference.none")
        bar = None if low is None else (place(low), place(high), place(value))
        rows.append({"name": row["name"], "value": write(value), "interval": interval, "bar": bar,
                     "zero": place(0)})
    lead = words.say("comparison.difference.lead", name=best["name"],
                     resamples=words.number(compared.record["resamples"]))
    return {"lead": lead, "rows": rows}


def curves(compared: Comparison, words: Language) -> dict[str, Any]:
    """A panel for each row and metric, with its alternative text; a metric that no run has is left out."""
    groups = []
    for metric in PANEL_METRICS:
        if axes := panel_axes(compared.rows, metric):
            pictures = [_panel(row, number, axes, compared.folder / FIGURES, words=words)
                        for number, row in enumerate(compared.rows, 1)]
            groups.append({"title": words.named("curve.metric", metric), "pictures": pictures,
                           "is_clipped": axes.is_clipped})
    return {"groups": groups}


def _panel(row: dict[str, Any], number: int, axes: PanelAxes, folder: Path, *,
           words: Language) -> tuple[str, Markup, str]:
    metric = axes.metric
    chart = drawn(f"{metric}-{number}", lambda: panel(row["runs"], axes, words), folder)
    values = [f"{words.say(f'curve.{side}')} {words.decimals(value)}"
              for side, value in last_values(row["runs"], metric).items()]
    alt = words.say("comparison.curve.alt", metric=words.named("curve.metric", metric), name=row["name"],
                    values=", ".join(values) or "–")
    return row["name"], chart, alt


def commands(compared: Comparison, _: Language) -> dict[str, Any]:
    """The commands that repeat each row, one for each seed."""
    return {"commands": [(row["name"], [run["command"] for run in row["runs"]]) for row in compared.rows]}


TABLE = Section("comparison.table", table, place=10, pages=_PAGES)
DIFFERENCE = Section("comparison.difference", distances, place=20, pages=_PAGES)
CURVE = Section("comparison.curve", curves, place=30, pages=_PAGES)
COMMAND = Section("comparison.command", commands, place=40, pages=_PAGES)
