"""The figures of a run itself, each beside its alternative text."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from pneumo_tf.report import figures
from pneumo_tf.report.drawing import drawn
from pneumo_tf.report.language import Language
from pneumo_tf.runs.folder import RunFolder

_METRICS = ("loss", "accuracy", "auc")


def content(run: RunFolder, words: Language) -> dict[str, Any]:
    """The SVG of every figure beside its alternative text; None or nothing where a figure has no data."""
    folder, test = run.path / "figures", run.test
    matrix = drawn("confusion", lambda: figures.confusion(test["confusion"], test["confusion_normalised"],
                                                          run.classes, words), folder)
    rankings = _rankings(run)
    area = drawn("roc", lambda: figures.roc(rankings, words, point=_point(run)) if rankings else None, folder)
    return {"confusion": Markup(matrix), "confusion_alt": _confusion_alt(run, words),
            "curves": _curves(run, words), "roc": Markup(area) if area else None,
            "roc_alt": _roc_alt(run, words)}


def _curves(run: RunFolder, words: Language) -> list[tuple[Markup, str]]:
    curves = []
    for metric in _METRICS:
        curve = drawn(metric, lambda metric=metric: figures.learning_curve(  # type: ignore[misc]
            run.history, metric, words), run.path / "figures")
        if curve:
            curves.append((Markup(curve), _curve_alt(run, metric, words)))
    return curves


def _rankings(run: RunFolder) -> dict[str, dict[str, list[float]]]:
    """ROC curves by class; classes without one are left out."""
    if run.is_binary:
        return {run.positive: run.test["roc"]} if run.test.get("roc") else {}
    return {name: figures["roc"] for name, figures in run.test["per_class"].items() if figures["roc"]}


def _point(run: RunFolder) -> tuple[float, float] | None:
    figures = run.test["figures"]
    if not run.is_binary or None in (figures["specificity"]["value"], figures["sensitivity"]["value"]):
        return None
    return 1 - figures["specificity"]["value"], figures["sensitivity"]["value"]


def _curve_alt(run: RunFolder, metric: str, words: Language) -> str:
    last = run.history.iloc[-1]
    values = [f"{words.say(key)} {words.number(last[column], 3)}"
              for key, column in (("curve.train", metric), ("curve.validation", f"val_{metric}"))
              if column in last and last[column] == last[column]]
    return words.say("curve.alt", metric=words.named("curve.metric", metric), values=", ".join(values))


def _confusion_alt(run: RunFolder, words: Language) -> str:
    cells = [words.say("result.confusion.cell", actual=actual, predicted=predicted, n=words.number(count))
             for actual, row in zip(run.classes, run.test["confusion"], strict=True)
             for predicted, count in zip(run.classes, row, strict=True)]
    return words.say("result.confusion.alt", cells="; ".join(cells))


def _roc_alt(run: RunFolder, words: Language) -> str:
    figures = run.test["figures"]
    areas = {run.positive: figures["auc"]} if run.is_binary else \
        {name: part["auc"] for name, part in run.test["per_class"].items()}
    named = [f"{name} {words.number(figure['value'], 3)}" for name, figure in areas.items()
             if figure["value"] is not None]
    return words.say("roc.alt", areas=", ".join(named))
