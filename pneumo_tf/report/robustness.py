"""The report's sections on perturbed films and on several views of each, as evaluate_model.py left them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumo_tf.report.language import Language
from pneumo_tf.runs.folder import RunFolder

RECORD, PICTURES = "robustness.json", "robustness"


@dataclass(frozen=True)
class PerturbedRow:
    """What one perturbation changed, as text.

    Attributes:
        picture: A film perturbed so, as a data URI; None where there is none.
        changed: Films that are called another class, with their share.
        bar: Interval and value of that share in percent of the width.
        shifts: Each class with the mean change of its own score.
        area: The change of the area, and its interval.
    """

    name: str
    picture: str | None
    changed: str
    bar: tuple[float, float, float] | None
    shifts: list[tuple[str, str]]
    area: tuple[str, str]


@dataclass(frozen=True)
class WayRow:
    """One way to combine views, as text: each figure its value, its change, and the change's interval."""

    name: str
    means: str
    threshold: str
    figures: list[tuple[str, str, str]]


def content(run: RunFolder, words: Language) -> dict[str, Any]:
    """What both sections show; nothing where the run's films weren't scored again.

    Raises:
        RunError: The record is no JSON.
    """
    record = run.record(RECORD)
    if not record:
        return {"perturbed": [], "perturbed_original": None, "perturbed_lead": "", "perturbed_most": "",
                "view_tables": [], "view_figures": [], "view_lead": "", "verdict": []}
    return {"perturbed": [_perturbed(row, run, words) for row in record["perturbations"]],
            "perturbed_original": _picture(run.path / PICTURES / "original.jpeg"),
            "perturbed_lead": _lead(record, words), "perturbed_most": _most(record, words),
            "view_tables": _tables(record, words),
            "view_figures": [words.named("figure", name) for name in _figure_names(record)],
            "view_lead": words.say("tta.lead", views=record["views"]["count"],
                                   preset=record["views"]["preset"]),
            "verdict": _verdict(record, words)}


def _lead(record: dict[str, Any], words: Language) -> str:
    return words.say("robust.lead", films=words.count(record["films"], "film"),
                     patients=words.count(record["patients"], "patient"), of=words.number(record["of"]))


def _most(record: dict[str, Any], words: Language) -> str:
    """The perturbation that changes most calls, in a sentence."""
    most = max(record["perturbations"], key=lambda row: float(row["changed"]["value"]))
    if not most["changed"]["count"]:
        return words.say("robust.none")
    return words.say("robust.most", name=words.say(f"robust.{most['name']}"),
                     share=words.percent(most["changed"]["value"]))


def _perturbed(row: dict[str, Any], run: RunFolder, words: Language) -> PerturbedRow:
    share = row["changed"]
    counts = words.say("result.of", count=words.number(share["count"]), of=words.number(share["of"]))
    return PerturbedRow(
        words.say(f"robust.{row['name']}"), _picture(run.path / PICTURES / f"{row['name']}.jpeg"),
        f"{words.percent(share['value'])} ({counts})",
        (100 * share["low"], 100 * share["high"], 100 * share["value"]),
        [(name, _signed(row["shift"][name]["value"], words, 2)) for name in run.classes],
        (words.say("robust.area.cell", change=_signed(row["auc"]["value"], words, 3)),
         _interval(row["auc"], words, 3)))


def _picture(path: Path) -> str | None:
    try:
        return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError:
        return None


def _figure_names(record: dict[str, Any]) -> list[str]:
    return list(record["views"]["ways"][0]["own"]["figures"])


def _tables(record: dict[str, Any], words: Language) -> list[tuple[str, list[WayRow]]]:
    """A title and the rows at each kind of threshold."""
    ways = record["views"]["ways"]
    tables = [("tta.own" if record["threshold"] is not None else "tta.several", "own"),
              ("tta.refixed", "refixed")]
    films = words.count(record["views"]["validation_films"], "film")
    return [(words.say(key, films=films) if kind == "refixed" else words.say(key),
             [_way(way["name"], way[kind], words) for way in ways])
            for key, kind in tables if ways[0][kind]]


def _way(name: str, found: dict[str, Any], words: Language) -> WayRow:
    threshold = "" if found["threshold"] is None else \
        words.say("tta.threshold", threshold=words.number(found["threshold"], 3))
    cells = []
    for figure, content in found["figures"].items():
        value = "–" if content["value"] is None else words.percent(content["value"])
        cells.append((value, *_change((found["changes"] or {}).get(figure), words)))
    return WayRow(words.say(f"tta.way.{name}"), words.say(f"tta.way.{name}.means"), threshold, cells)


def _change(change: dict[str, Any] | None, words: Language) -> tuple[str, str]:
    """A change in percentage points, and its interval."""
    if change is None or change["value"] is None:
        return "", ""
    points = {key: None if change[key] is None else 100 * change[key] for key in ("value", "low", "high")}
    return _signed(points["value"], words, 1), _interval(points, words, 1)


def _verdict(record: dict[str, Any], words: Language) -> list[str]:
    """Whether the maximum may be used, in sentences."""
    verdict, ways = record["views"]["verdict"], {way["name"]: way for way in record["views"]["ways"]}
    gain = words.say(f"tta.gain.{verdict['gain']}")
    if verdict["rise"] is None or verdict["rise"]["value"] is None:
        return [words.say("tta.verdict.several"), gain]
    lost, interval = _change(ways[verdict["way"]]["own"]["changes"]["specificity"], words)
    rise = words.say("tta.verdict.rise", rise=words.number(verdict["rise"]["value"], 3),
                     positive=record["positive"], specificity=f"{lost} ({interval})" if interval else lost)
    return [rise, words.say("tta.verdict.threshold"), gain]


def _interval(figure: Mapping[str, Any], words: Language, digits: int) -> str:
    if figure["low"] is None:
        return ""
    return words.say("number.interval", low=_signed(figure["low"], words, digits),
                     high=_signed(figure["high"], words, digits))


def _signed(value: float | None, words: Language, digits: int) -> str:
    if value is None:
        return "–"
    text = words.number(abs(value), digits)
    return text if not float(f"{value:.{digits}f}") else f"{'−' if value < 0 else '+'}{text}"
