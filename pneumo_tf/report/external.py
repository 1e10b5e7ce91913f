"""The page on films from elsewhere: the report's own page with other parts."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from pneumo_tf.cohort import Cohort
from pneumo_tf.report import facts, figures, films, overview, plots, tables
from pneumo_tf.report.cautions import Caution
from pneumo_tf.report.drawing import drawn
from pneumo_tf.report.language import Language, language
from pneumo_tf.report.rendering import render
from pneumo_tf.runs.folder import RunFolder
from pneumo_tf.storage import make_folder, write_text

PAGE = "report.html"
_OUTLINE = {"result": ("external", "result"), "single": ("grid",), "made": ("external_made",)}
# Below so many films of a class an interval of a share is wider than 20 points.
_FEW_FILMS = 30
_DECIMALS = ("auc", "macro_auc", "brier")


@dataclass(frozen=True)
class DropRow:
    """One figure here and there, as text; each cell its value and its interval, or why there is none."""

    name: str
    internal: tuple[str, str]
    external: tuple[str, str]
    difference: tuple[str, str]


@dataclass(frozen=True)
class BoughtRow:
    """What labelled films would change of one figure, as text."""

    name: str
    before: str
    after: str
    range: str
    improved: str


def write_external_report(folder: Path, run: RunFolder, cohort: Cohort, *, lang: str = "en") -> Path:
    """Write `report.html` and `figures/*.png` beside an evaluation's metrics.json and predictions.csv.

    Args:
        folder: The evaluation's.
        run: The run that was evaluated.
        cohort: The films from elsewhere.
        lang: "en" or "es".

    Returns:
        The path of the page.

    Raises:
        OptionError: A language without a catalogue.
        StorageError: The folder can't be written to.
    """
    words = language(lang)
    record = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    predictions = pd.read_csv(folder / "predictions.csv", dtype={"id": str, "patient": str},
                              keep_default_na=False)
    make_folder(folder / "figures")
    there = _as_run(folder, run, record, cohort=cohort, predictions=predictions)
    write_text(folder / PAGE, render("report.html.j2", _content(there, record, words), words))
    return folder / PAGE


def _as_run(folder: Path, run: RunFolder, record: dict[str, Any], *, cohort: Cohort,
            predictions: pd.DataFrame) -> RunFolder:
    """The evaluation as a run whose test films are those from elsewhere, which every part of a page knows."""
    changed = {"name": f"{run.name} · {record['name']}", "created": record["created"],
               "command": record["command"], "data": {"films": record["films_folder"]},
               "patients_known": any(cohort.patients)}
    return replace(run, path=folder, facts=run.facts | changed, cohort=cohort.with_column(
        "split", ["test"] * len(cohort)), predictions=predictions,
        metrics={"test": record["test"], "validation": run.metrics.get("validation")})


def _content(run: RunFolder, record: dict[str, Any], words: Language) -> dict[str, Any]:
    return {
        "run": run, "outline": _OUTLINE, "name": run.name, "moment": "",
        "question": words.say("external.question"),
        "tested": _tested(run, words),
        "frequencies": overview.frequencies(run, words), "headlines": overview.headlines(run, words),
        "cautions": _cautions(run, record, words),
        "drop_rows": _drops(record, words), "prevalence": _prevalence(record, words),
        "bought_rows": _bought(record, words), "bought_lead": _bought_lead(record, words),
        **_calibration(run, words),
        "figure_rows": tables.figure_rows(run, words), "class_rows": tables.class_rows(run, words),
        "report_rows": tables.report_rows(run, words),
        "point_rows": tables.point_rows(run, words) if run.is_binary else [],
        "point_rule": facts.rule(run, words), "grid": films.grid(run), "wrong": run.wrong,
        "command": facts.command(run),
        "made_pairs": [(words.say(f"external.fact.{key}"), str(record[key])) for key in
                       ("films_folder", "labels", "labels_sha256", "created", "seed")],
        **plots.content(replace(run, history=run.history.iloc[:0]), words),
    }


def _tested(run: RunFolder, words: Language) -> str:
    films, patients = words.count(run.test["films"], "film"), words.count(run.test["patients"], "patient")
    if not run.facts["patients_known"]:
        return words.say("external.tested.films", films=films)
    return words.say("external.tested.patients", films=films, patients=patients)


def _cautions(run: RunFolder, record: dict[str, Any], words: Language) -> list[Caution]:
    """What must be known before these figures are believed, the gravest first."""
    overlap, found = record["overlap"], []
    if run.facts.get("phantoms"):
        found.append(Caution("alarm", words.say("caution.phantoms")))
    if overlap["films"]:
        found.append(Caution("alarm", words.say("external.caution.films",
                                                films=words.count(overlap["films"], "film"))))
    if overlap.get("uncompared"):
        found.append(Caution("caution", words.say("external.caution.uncompared",
                                                  films=words.count(overlap["uncompared"], "film"))))
    if overlap["patients"]:
        found.append(Caution("caution", words.say("external.caution.patients",
                                                  patients=words.count(overlap["patients"], "patient"))))
    return [*found, *_lost(record, words), *_scarce(run, words)]


def _lost(record: dict[str, Any], words: Language) -> list[Caution]:
    """Figures that are worse than at home beyond chance, or that none is."""
    worse = [name for name, row in record["drop"].items() if name not in ("brier", "prevalence")
             and row["difference"]["high"] is not None and row["difference"]["high"] < 0]
    if worse:
        names = ", ".join(words.say(f"figure.{name}") for name in worse)
        return [Caution("caution", words.say("external.caution.worse", figures=names))]
    return [Caution("note", words.say("external.caution.same"))]


def _scarce(run: RunFolder, words: Language) -> list[Caution]:
    """Classes of which there are few films, or none."""
    counts = {name: sum(row) for name, row in zip(run.classes, run.test["confusion"], strict=True)}
    absent = [name for name, count in counts.items() if not count]
    few = {name: count for name, count in counts.items() if 0 < count < _FEW_FILMS}
    return [*([Caution("alarm", words.say("caution.missing_class", classes=", ".join(absent)))]
              if absent else []),
            *(Caution("caution", words.say("caution.few", n=words.count(count, "film"), label=name))
              for name, count in few.items())]


def _drops(record: dict[str, Any], words: Language) -> list[DropRow]:
    return [DropRow(_named(name, words), _cell(name, row["internal"], words),
                    _cell(name, row["external"], words), _cell(name, row["difference"], words, signed=True))
            for name, row in record["drop"].items()]


def _named(name: str, words: Language) -> str:
    own = f"external.figure.{name}"
    return words.say(own) if own in words.texts else words.say(f"figure.{name}")


def _cell(name: str, figure: dict[str, Any], words: Language, *, signed: bool = False) -> tuple[str, str]:
    if figure["value"] is None:
        return "–", words.say(f"why.{figure['why']}")
    value, low, high = (None if figure[key] is None else _text(name, figure[key], words, signed=signed)
                        for key in ("value", "low", "high"))
    return str(value), "" if low is None else words.say("number.interval", low=low, high=high)


def _text(name: str, value: float, words: Language, *, signed: bool) -> str:
    """A share as a percentage, its difference in points; an area or a score with three decimals."""
    digits = 3 if name in _DECIMALS else 1
    shown = value if name in _DECIMALS else 100 * value
    if not signed:
        return words.number(value, 3) if name in _DECIMALS else words.percent(value)
    sign = "" if not float(f"{shown:.{digits}f}") else "−" if value < 0 else "+"
    return sign + words.number(abs(shown), digits)


def _prevalence(record: dict[str, Any], words: Language) -> str:
    """How frequent the positive class is here and there, and what that means."""
    shares = record["drop"].get("prevalence")
    if not shares:
        return ""
    low, high = (shares["difference"][end] for end in ("low", "high"))
    kind = "same" if low is not None and low <= 0 <= high else "other"
    return words.say(f"external.prevalence.{kind}", here=words.percent(shares["internal"]["value"]),
                     there=words.percent(shares["external"]["value"]), positive=record["test"]["positive"])


def _bought_lead(record: dict[str, Any], words: Language) -> str:
    found = record.get("recalibration")
    if not found:
        return ""
    counted = {"films": words.count(found["labelled"], "film"), "repeats": words.number(found["repeats"]),
               "skipped": words.number(found["skipped"])}
    return words.say("external.bought.lead" if found["figures"] else "external.bought.none", **counted)


def _bought(record: dict[str, Any], words: Language) -> list[BoughtRow]:
    rows = []
    for name, found in (record.get("recalibration") or {"figures": {}})["figures"].items():
        kind = "brier" if name == "log_loss" else name  # three decimals for both
        before, after, low, high = (_text(kind, found[key], words, signed=False)
                                    for key in ("before", "after", "low", "high"))
        rows.append(BoughtRow(_named(name, words), before, after,
                              words.say("number.interval", low=low, high=high),
                              words.percent(found["improved"], 0)))
    return rows


def _calibration(run: RunFolder, words: Language) -> dict[str, Any]:
    """The reliability diagram with the run's own calibrator, and its figures; None for several classes."""
    found = run.test.get("calibration")
    if not found:
        return {"elsewhere_reliability": None, "elsewhere_alt": "", "elsewhere_rows": []}
    bins = {words.say(f"external.calibration.{stage}"): found[stage]["bins"] for stage in ("before", "after")}
    svg = drawn("reliability", lambda: figures.reliability(bins, words), run.path / "figures")
    points = "; ".join(words.say("calibration.point", score=words.number(part["mean_score"], 2),
                                 share=words.number(part["share"], 2)) for part in found["after"]["bins"])
    rows = [(words.say(f"calibration.{name}"), *(_cell("brier", found[stage]["figures"][name], words)
                                                 for stage in ("before", "after")))
            for name in found["after"]["figures"]]
    return {"elsewhere_reliability": Markup(svg), "elsewhere_rows": rows,
            "elsewhere_alt": words.say("external.calibration.alt", points=points)}
