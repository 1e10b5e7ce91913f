"""What the scores are worth for decisions, and beside what the files alone give away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pneumo_tf.report import calibration, figures
from pneumo_tf.report.calibration import interval
from pneumo_tf.report.drawing import drawn
from pneumo_tf.report.language import Language
from pneumo_tf.runs.folder import RunFolder


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
    return {**calibration.content(run, words), **_benefit(run, words),
            "shortcut_rows": _shortcuts(run, words),
            "shortcut_why": (run.test.get("shortcuts") or {}).get("why", "")}


def _benefit(run: RunFolder, words: Language) -> dict[str, Any]:
    curve, rows = run.test.get("decision_curve"), run.test.get("predictive_values") or []
    if not curve:
        return {"benefit": None, "benefit_alt": "", "has_band": False, "predictive_rows": []}
    svg = drawn("benefit", lambda: figures.decision_curve(curve, words), run.path / "figures")
    worth = "; ".join(words.say("benefit.point", threshold=words.number(curve["threshold"][index], 2),
                                network=words.number(curve["network"][index], 3),
                                all=words.number(curve["all"][index], 3))
                      for index in range(5, len(curve["threshold"]), 20))
    return {"benefit": Markup(svg), "benefit_alt": words.say("benefit.alt", points=worth),
            "has_band": curve.get("low", [None])[0] is not None,
            "predictive_rows": [[_prevalence(row["prevalence"], words),
                                 *(_predictive(row[name], words) for name in ("ppv", "npv"))]
                                for row in rows]}


def _prevalence(share: float, words: Language) -> str:
    """A percentage with as many decimals as were typed."""
    return words.percent(share, len(f"{100 * share:.4g}".partition(".")[2]))


def _predictive(figure: dict[str, Any] | float | None, words: Language) -> tuple[str, str]:
    """The value and its interval; older runs have the value alone."""
    if not isinstance(figure, dict):
        return _share(figure, words), ""
    if figure["low"] is None:
        return _share(figure["value"], words), ""
    return _share(figure["value"], words), words.say(
        "number.interval", low=_share(figure["low"], words), high=_share(figure["high"], words))


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
                       "–" if value is None else words.number(value, 3), interval(baseline, words),
                       "" if baseline["train"] is None else words.number(baseline["train"], 3),
                       (100 * low, 100 * high, 100 * value) if has_interval else None)
