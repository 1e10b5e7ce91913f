"""What the scores are worth as probabilities, before and after they are calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pneumo_tf.report import figures
from pneumo_tf.report.drawing import drawn
from pneumo_tf.report.language import Language
from pneumo_tf.runs.folder import RunFolder

_STAGES = ("before", "after")


@dataclass(frozen=True)
class CalibrationRow:
    """One figure of calibration, as text: for each stage its value, and its interval or why there is none."""

    name: str
    means: str
    cells: list[tuple[str, str]]


def content(run: RunFolder, words: Language) -> dict[str, Any]:
    """What the section on calibration shows; what a run didn't record is empty."""
    found, fitted = run.test.get("calibration"), run.facts.get("calibration") or {}
    if not found:
        return {"reliability": None}
    stages = _STAGES[:1] if fitted.get("method") == "none" or fitted.get("why") else _STAGES
    bins = {words.say(f"calibration.{stage}"): found[stage]["bins"] for stage in stages}
    top_label = not run.is_binary
    svg = drawn("reliability", lambda: figures.reliability(bins, words, top_label=top_label),
                run.path / "figures")
    return {"reliability": Markup(svg), "reliability_alt": _alt(found["before"]["bins"], words),
            "calibration_stages": [words.say(f"calibration.{stage}") for stage in stages],
            "calibration_rows": _rows([found[stage]["figures"] for stage in stages], words,
                                      several=top_label),
            "calibrator": _calibrator(run, words), **_compared(run, words)}


def interval(figure: dict[str, Any], words: Language) -> str:
    """The ends of a figure; nothing where there are none."""
    if figure.get("low") is None:
        return ""
    return words.say("number.interval", low=words.number(figure["low"], 3),
                     high=words.number(figure["high"], 3))


def _rows(stages: list[dict[str, Any]], words: Language, *, several: bool) -> list[CalibrationRow]:
    return [CalibrationRow(words.say(f"calibration.{name}"), _means(name, words, several=several),
                           [_text(figures[name], words) for figures in stages]) for name in stages[0]]


def _means(name: str, words: Language, *, several: bool) -> str:
    if name == "brier" and several:
        return words.say("calibration.brier.several.means")
    return words.say(f"calibration.{name}.means")


def _text(figure: dict[str, Any], words: Language) -> tuple[str, str]:
    if figure["value"] is None:
        return "–", words.say(f"why.{figure['why']}")
    beside = interval(figure, words)
    if "chance" in figure:
        beside = words.say("calibration.chance", interval=interval(figure["chance"], words))
    return words.number(figure["value"], 3), beside


def _calibrator(run: RunFolder, words: Language) -> str:
    """How the calibrator came about, or why there is none."""
    fitted = run.facts.get("calibration") or {}
    if not fitted:
        return ""
    if fitted.get("why"):
        return words.say("calibration.unfitted", why=words.say(f"why.{fitted['why']}"))
    films, method = words.count(fitted.get("films", 0), "film"), fitted.get("method", "temperature")
    if method == "platt" and run.is_binary:
        line = fitted["lines"][0]
        return words.say("calibration.platt", films=films, slope=words.number(line["slope"], 2),
                         intercept=words.number(line["intercept"], 2))
    if method == "temperature":
        value = fitted["temperature"]
        # Below half a hundredth the two decimals shown would contradict the sentence.
        kind = "sure" if value > 1.005 else "timid" if value < 0.995 else "right"
        return words.say(f"calibration.{kind}", temperature=words.number(value, 2), films=films)
    key = "calibration.platt.several" if method == "platt" else f"calibration.{method}"
    return words.say(key, films=films)


def _compared(run: RunFolder, words: Language) -> dict[str, Any]:
    """The calibrators on validation patients that they weren't fitted on, best first."""
    found = (run.metrics.get("validation") or {}).get("calibrators") or {}
    losses = found.get("log_loss") or {}
    if not losses:
        return {"compared_rows": []}
    ranked = sorted(losses, key=lambda method: float(losses[method]["value"]))
    used = (run.facts.get("calibration") or {}).get("method")
    return {"compared_rows": [(words.say(f"calibration.method.{method}"), method == used,
                               words.number(losses[method]["value"], 3), interval(losses[method], words))
                              for method in ranked],
            "compared_lead": words.say("calibration.compared.lead", folds=words.number(found["folds"]),
                                       films=words.count(found["films"], "film"),
                                       patients=words.count(found["patients"], "patient")),
            "compared_best": "" if used in (None, ranked[0]) else
            words.say("calibration.compared.best", option=f"--calibration {ranked[0]}")}


def _alt(bins: list[dict[str, float]], words: Language) -> str:
    points = "; ".join(words.say("calibration.point", score=words.number(part["mean_score"], 2),
                                 share=words.number(part["share"], 2)) for part in bins)
    return words.say("calibration.alt", points=points)
