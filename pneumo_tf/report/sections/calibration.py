"""The scores as probabilities, before and after they are calibrated, and decisions that rest on them."""

from __future__ import annotations

from typing import Any

from pneumo_tf.report.charts import results
from pneumo_tf.report.charts.drawing import drawn
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Cell, Estimate, Language
from pneumo_tf.runs.folder import FIGURES, RunFolder

_STAGES = ("before", "after")


def calibration(run: RunFolder, words: Language) -> dict[str, Any]:
    """The reliability diagram, the figures of calibration and the calibrator; no chart without a record."""
    found, fitted = run.test.get("calibration"), run.facts.get("calibration") or {}
    if not found:
        return {"chart": None}
    stages = _STAGES[:1] if fitted.get("method") == "none" or fitted.get("why") else _STAGES
    bins = {words.say(f"calibration.{stage}"): found[stage]["bins"] for stage in stages}
    chart = drawn("reliability", lambda: results.reliability(bins, words, top_label=not run.is_binary),
                  run.path / FIGURES)
    lead = "calibration.lead" if run.is_binary else "calibration.lead.several"
    return {"chart": chart, "lead": words.say(lead, positive=run.positive),
            "alt": words.say("calibration.alt", points=spoken_bins(found["before"]["bins"], words)),
            "stages": list(bins), "rows": _rows([found[stage]["figures"] for stage in stages], run, words),
            "calibrator": _calibrator(run, words), **_compared(run, words)}


def spoken_bins(bins: list[dict[str, float]], words: Language) -> str:
    """The points of a reliability diagram in words."""
    return "; ".join(words.say("calibration.point", score=words.number(part["mean_score"], 2),
                               share=words.number(part["share"], 2)) for part in bins)


def _rows(stages: list[dict[str, Any]], run: RunFolder, words: Language) -> list[tuple[str, str, list[Cell]]]:
    """Each figure with its meaning, and for each stage its value with what stands beside it."""
    rows = []
    for name in stages[0]:
        means = "brier.several" if name == "brier" and not run.is_binary else name
        rows.append((words.say(f"figure.{name}"), words.say(f"figure.{means}.means"),
                     [_cell(figures[name], words) for figures in stages]))
    return rows


def _cell(figure: Estimate, words: Language) -> Cell:
    """A value and its interval; what chance alone would give instead, where the figure has that."""
    value, beside = words.estimate(figure, words.decimals)
    if "chance" in figure and figure["value"] is not None:
        beside = words.say("calibration.chance", interval=words.interval(figure["chance"], words.decimals))
    return value, beside


def _calibrator(run: RunFolder, words: Language) -> str:
    """How the calibrator came about, or why there is none."""
    fitted = run.facts.get("calibration") or {}
    if not fitted:
        return ""
    if fitted.get("why") == "worse":
        losses = run.metrics["validation"]["calibrators"]["log_loss"]
        tried = fitted["tried"]["method"]
        return words.say("calibration.worse", method=words.say(f"calibration.method.{tried}"),
                         calibrated=words.decimals(losses[tried]["value"]),
                         plain=words.decimals(losses["none"]["value"]))
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
    is_best = used is None or losses[used]["value"] <= losses[ranked[0]]["value"]
    return {"compared_rows": [(words.say(f"calibration.method.{method}"), method == used,
                               *words.estimate(losses[method], words.decimals)) for method in ranked],
            "compared_lead": words.say("calibration.compared.lead", folds=words.number(found["folds"]),
                                       films=words.count(found["films"], "film"),
                                       patients=words.count(found["patients"], "patient")),
            "compared_best": "" if is_best else
            words.say("calibration.compared.best", option=f"--calibration {ranked[0]}")}


def benefit(run: RunFolder, words: Language) -> dict[str, Any]:
    """The decision curve, and predictive values where the disease is rarer; no chart without a record."""
    curve, rows = run.test.get("decision_curve"), run.test.get("predictive_values") or []
    if not curve:
        return {"chart": None, "lead": words.say("page.unrecorded" if run.is_binary else "page.two_classes")}
    points = "; ".join(words.say("benefit.point", threshold=words.number(curve["threshold"][index], 2),
                                 network=words.number(curve["network"][index], 3),
                                 all=words.number(curve["all"][index], 3))
                       for index in range(5, len(curve["threshold"]), 20))
    has_band = curve.get("low", [None])[0] is not None
    return {"chart": drawn("benefit", lambda: results.decision_curve(curve, words), run.path / FIGURES),
            "alt": words.say("benefit.alt", points=points),
            "lead": words.say("benefit.lead") + (f" {words.say('benefit.band')}" if has_band else ""),
            "rare_lead": words.say("benefit.rare.lead", positive=run.positive),
            "rows": [(words.percent(row["prevalence"], None),
                      *(_predictive(row[name], words) for name in ("ppv", "npv"))) for row in rows]}


def _predictive(figure: dict[str, Any] | float | None, words: Language) -> Cell:
    """The value and its interval, never rounded to certain; older runs have the value alone."""
    def write(value: float) -> str:
        return f"> {words.percent(0.999)}" if 0.9995 <= value < 1 else words.percent(value)

    known = figure if isinstance(figure, dict) else {"value": figure}
    return ("–", "") if known["value"] is None else words.estimate(known, write)


CALIBRATION = Section("calibration", calibration, "trust", 10, answers=("updating", "performance"))
BENEFIT = Section("benefit", benefit, "trust", 20, answers=("performance",))
