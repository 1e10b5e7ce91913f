"""The page of a comparison: one HTML file, like the report of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pneumo_tf.report.cautions import Caution
from pneumo_tf.report.drawing import drawn
from pneumo_tf.report.language import Language, language
from pneumo_tf.report.panels import METRICS, Frame, frame, last_values, panel
from pneumo_tf.report.rendering import render
from pneumo_tf.storage import write_text

PAGE = "comparison.html"
_MARGIN = 0.06  # on either side of the drawn intervals


@dataclass(frozen=True)
class Distance:
    """A row's difference to the best as text, and where it is drawn, in percent of the width.

    Attributes:
        bar: Low end, high end and value of the interval; None where there is none.
        zero: Where no difference lies.
    """

    name: str
    value: str
    interval: str
    bar: tuple[float, float, float] | None
    zero: float


def write_page(content: dict[str, Any], folder: Path, *, lang: str = "en") -> Path:
    """Write comparison.html and figures/*.png into the folder of a comparison.

    Args:
        content: What comparison.json holds.
        folder: Exists.
        lang: "en" or "es".

    Returns:
        The path of the page.

    Raises:
        OptionError: A language without a catalogue.
        StorageError: The folder can't be written to.
    """
    words = language(lang)
    write_text(folder / PAGE, render("comparison.html.j2", _content(content, folder, words), words))
    return folder / PAGE


def _content(content: dict[str, Any], folder: Path, words: Language) -> dict[str, Any]:
    rows = content["rows"]
    title = words.say("comparison.title", settings=words.count(len(rows), "setting"),
                      runs=words.count(sum(len(row["runs"]) for row in rows), "run"))
    return {"name": content["name"], "moment": words.moment(content["created"]), "title": title,
            "lead": _lead(content, words), "best": rows[0], "best_area": _area(rows[0], words),
            "tied": _tied(rows, words), "cautions": _cautions(content, words),
            "area": words.say("comparison.auc" if len(content["classes"]) == 2 else "comparison.macro_auc"),
            "table_rows": [_cells(row, words) for row in rows], "distances": _distances(rows, words),
            "resamples": words.number(content["resamples"]), "commands": [_commands(row) for row in rows],
            "groups": [_panels(rows, metric, folder / "figures", words) for metric in METRICS]}


def _lead(content: dict[str, Any], words: Language) -> str:
    films = words.count(content["films"], "film")
    if not content["patients_known"]:
        return words.say("comparison.lead.films", films=films)
    return words.say("comparison.lead", films=films, patients=words.count(content["patients"], "patient"))


def _tied(rows: list[dict[str, Any]], words: Language) -> str:
    """How many rows can't be told from the best; nothing where there is one row."""
    others = [row["difference"] for row in rows[1:]]
    tied = sum(other["high"] is None or other["high"] >= 0 for other in others)
    if not others:
        return ""
    return words.say("comparison.tied", n=tied, others=len(others)) if tied else words.say("comparison.clear")


def _cautions(content: dict[str, Any], words: Language) -> list[Caution]:
    found = []
    if content["phantoms"]:
        found.append(Caution("alarm", words.say("caution.phantoms")))
    if content["split_by"] == "film":
        found.append(Caution("alarm", words.say("caution.split_by_film")))
    elif not content["patients_known"]:
        found.append(Caution("alarm", words.say("caution.patients_unknown")))
    if min(len(row["runs"]) for row in content["rows"]) < 2:
        found.append(Caution("caution", words.say("comparison.caution.seed")))
    return [*found, Caution("note", words.say("comparison.caution.chosen")),
            Caution("note", words.say("comparison.caution.test"))]


def _cells(row: dict[str, Any], words: Language) -> dict[str, Any]:
    figures = row["figures"]
    return {"name": row["name"], "auc": _area(row, words), "runs": words.number(len(row["runs"])),
            "accuracy": words.percent(figures["accuracy"]["mean"]),
            "log_loss": words.number(figures["log_loss"]["mean"], 3),
            "epochs": words.number(figures["epochs"]["mean"], 0 if figures["epochs"]["mean"] % 1 == 0 else 1),
            "seconds": words.duration(figures["seconds"]["mean"])}


def _area(row: dict[str, Any], words: Language) -> str:
    figure = row["figures"]["auc"]
    mean = words.number(figure["mean"], 4)
    if figure["sd"] is None:
        return mean
    return words.say("comparison.spread", mean=mean, sd=words.number(figure["sd"], 4))


def _distances(rows: list[dict[str, Any]], words: Language) -> list[Distance]:
    """Every row but the best, drawn on one scale that holds all intervals and zero."""
    known = [row["difference"] for row in rows[1:] if row["difference"]["low"] is not None]
    ends = [0.0, *(other[part] for other in known for part in ("low", "high", "value"))]
    width = (max(ends) - min(ends)) or 1.0
    start, whole = min(ends) - _MARGIN * width, (1 + 2 * _MARGIN) * width

    def place(value: float) -> float:
        return 100 * (value - start) / whole

    return [Distance(row["name"], _signed(row["difference"]["value"], words), _interval(row, words),
                     None if row["difference"]["low"] is None else
                     (place(row["difference"]["low"]), place(row["difference"]["high"]),
                      place(row["difference"]["value"])), place(0)) for row in rows[1:]]


def _interval(row: dict[str, Any], words: Language) -> str:
    low, high = row["difference"]["low"], row["difference"]["high"]
    if low is None:
        return words.say("comparison.difference.none")
    return words.say("number.interval", low=_signed(low, words), high=_signed(high, words))


def _signed(value: float, words: Language) -> str:
    text = words.number(abs(value), 4)
    return text if not float(f"{value:.4f}") else f"{'−' if value < 0 else '+'}{text}"


def _commands(row: dict[str, Any]) -> tuple[str, list[str]]:
    return row["name"], [run["command"] for run in row["runs"]]


def _panels(rows: list[dict[str, Any]], metric: str, folder: Path, words: Language) -> dict[str, Any]:
    """One panel per row of a metric, as SVG with its alternative text; none where no run has the metric."""
    axes = frame(rows, metric)
    pictures = [_panel(row, number, axes, folder, words=words) for number, row in enumerate(rows, 1) if axes]
    return {"title": words.named("curve.metric", metric), "pictures": pictures,
            "is_clipped": axes is not None and axes.is_clipped}


def _panel(row: dict[str, Any], number: int, axes: Frame, folder: Path, *,
           words: Language) -> tuple[str, Markup, str]:
    metric = axes.metric
    svg = drawn(f"{metric}-{number}", lambda: panel(row["runs"], axes, words), folder)
    values = [f"{words.say(f'curve.{side}')} {words.number(value, 3)}"
              for side, value in last_values(row["runs"], metric).items()]
    alt = words.say("comparison.curve.alt", metric=words.named("curve.metric", metric), name=row["name"],
                    values=", ".join(values) or "–")
    return row["name"], Markup(svg), alt
