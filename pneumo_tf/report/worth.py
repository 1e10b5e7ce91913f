"""What the scores are worth: as probabilities, for decisions, and beside what the files alone give away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pneumo_tf.report import figures
from pneumo_tf.report.drawing import drawn
from pneumo_tf.report.language import Language
from pneumo_tf.report.run_folder import RunFolder


@dataclass(frozen=True)
class CalibrationRow:
    """One figure of calibration, as text: each cell its value, and its interval or why there is none."""

    name: str
    means: str
    before: tuple[str, str]
    after: tuple[str, str]


@dataclass(frozen=True)
class ShortcutRow:
    """The area of one file fact, or of the network, as text; `bar` as in a FigureRow."""

    name: str
    test: str
    interval: str
    train: str
    bar: tuple[float, float, float] | None


def content(run: RunFolder, words: Language) -> dict[str, Any]:
    """What the sections on worth show; what a run didn't record, or can't with several classes, is empty."""
    return {**_calibration(run, words), **_benefit(run, words), "shortcut_rows": _shortcuts(run, words),
            "shortcut_why": (run.test.get("shortcuts") or {}).get("why", "")}


def _calibration(run: RunFolder, words: Language) -> dict[str, Any]:
    found = run.test.get("calibration")
    if not found:
        return {"reliability": None, "reliability_alt": "", "calibration_rows": [], "temperature": ""}
    bins = {words.say(f"calibration.{stage}"): found[stage]["bins"] for stage in ("before", "after")}
    svg = drawn("reliability", lambda: figures.reliability(bins, words), run.path / "figures")
    return {"reliability": Markup(svg), "reliability_alt": _alt(found["before"]["bins"], words),
            "calibration_rows": _rows(found, words), "temperature": _temperature(run, words)}


def _rows(found: dict[str, Any], words: Language) -> list[CalibrationRow]:
    return [CalibrationRow(words.say(f"calibration.{name}"), words.say(f"calibration.{name}.means"),
                           *(_text(found[stage]["figures"][name], words) for stage in ("before", "after")))
            for name in found["before"]["figures"]]


def _text(figure: dict[str, Any], words: Language) -> tuple[str, str]:
    if figure["value"] is None:
        return "–", words.say(f"why.{figure['why']}")
    return words.number(figure["value"], 3), _interval(figure, words)


def _interval(figure: dict[str, Any], words: Language) -> str:
    if figure["low"] is None:
        return ""
    return words.say("number.interval", low=words.number(figure["low"], 3),
                     high=words.number(figure["high"], 3))


def _temperature(run: RunFolder, words: Language) -> str:
    """How the temperature came about, or why there is none."""
    fitted = run.facts.get("calibration") or {}
    if not fitted:
        return ""
    if fitted.get("why"):
        return words.say("calibration.unfitted", why=words.say(f"why.{fitted['why']}"))
    value = fitted["temperature"]
    # Below half a hundredth the two decimals shown would contradict the sentence.
    kind = "sure" if value > 1.005 else "timid" if value < 0.995 else "right"
    return words.say(f"calibration.{kind}", temperature=words.number(value, 2),
                     films=words.count(fitted["films"], "film"))


def _alt(bins: list[dict[str, float]], words: Language) -> str:
    points = "; ".join(words.say("calibration.point", score=words.number(part["mean_score"], 2),
                                 share=words.number(part["share"], 2)) for part in bins)
    return words.say("calibration.alt", points=points)


def _benefit(run: RunFolder, words: Language) -> dict[str, Any]:
    curve, rows = run.test.get("decision_curve"), run.test.get("predictive_values") or []
    if not curve:
        return {"benefit": None, "benefit_alt": "", "predictive_rows": []}
    svg = drawn("benefit", lambda: figures.decision_curve(curve, words), run.path / "figures")
    worth = "; ".join(words.say("benefit.point", threshold=words.number(curve["threshold"][index], 2),
                                network=words.number(curve["network"][index], 3),
                                all=words.number(curve["all"][index], 3))
                      for index in range(5, len(curve["threshold"]), 20))
    return {"benefit": Markup(svg), "benefit_alt": words.say("benefit.alt", points=worth),
            "predictive_rows": [[words.percent(row["prevalence"], 0),
                                 *(_share(row[name], words) for name in ("ppv", "npv"))] for row in rows]}


def _share(value: float | None, words: Language) -> str:
    """A percentage that rounding never makes certain."""
    if value is None:
        return "–"
    return f"> {words.percent(0.999)}" if 0.9995 <= value < 1 else words.percent(value)


def _shortcuts(run: RunFolder, words: Language) -> list[ShortcutRow]:
    """File facts, best first, below the network."""
    known = (run.test.get("shortcuts") or {}).get("baselines") or []
    if not known:
        return []
    network = {"name": "network", "train": None, **run.test["figures"]["auc"]}
    ranked = sorted(known, key=lambda baseline: -baseline["value"])
    return [_shortcut_row(baseline, words) for baseline in (network, *ranked)]


def _shortcut_row(baseline: dict[str, Any], words: Language) -> ShortcutRow:
    low, high, value = (baseline[key] for key in ("low", "high", "value"))
    has_interval = None not in (low, high, value)
    return ShortcutRow(words.say(f"shortcut.{baseline['name']}"),
                       "–" if value is None else words.number(value, 3), _interval(baseline, words),
                       "" if baseline["train"] is None else words.number(baseline["train"], 3),
                       (100 * low, 100 * high, 100 * value) if has_interval else None)
