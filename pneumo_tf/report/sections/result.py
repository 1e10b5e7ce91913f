"""What the network got right and wrong: matrix, figures, operating point and every other threshold."""

from __future__ import annotations

from functools import partial
from typing import Any

from pneumo_tf.report.charts import results
from pneumo_tf.report.charts.drawing import drawn
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import FigureRow, Language, figure_row
from pneumo_tf.runs.folder import FIGURES, RunFolder

_PER_CLASS = ("sensitivity", "specificity", "auc")
_PAGES = ("report", "external")


def result(run: RunFolder, words: Language) -> dict[str, Any]:
    """The confusion matrix, the classification report and every figure of the test split."""
    test, classes = run.test, run.classes
    cells = [words.say("result.confusion.cell", actual=actual, predicted=predicted, n=words.number(count))
             for actual, row in zip(classes, test["confusion"], strict=True)
             for predicted, count in zip(classes, row, strict=True)]
    chart = drawn("confusion", lambda: results.confusion(test["confusion"], test["confusion_normalised"],
                                                         classes, words), run.path / FIGURES)
    return {"is_narrow": len(classes) < 4, "chart": chart,
            "alt": words.say("result.confusion.alt", cells="; ".join(cells)),
            "report_rows": _report_rows(run, words), "figure_rows": figure_rows(run, words),
            "class_rows": class_rows(run, words)}


def figure_rows(run: RunFolder, words: Language) -> list[FigureRow]:
    """Every figure of the test split."""
    return [figure_row(name, figure, words, positive=run.positive)
            for name, figure in run.test["figures"].items()]


def class_rows(run: RunFolder, words: Language) -> dict[str, list[FigureRow]]:
    """Each class against the rest; empty for two classes."""
    return {label: [figure_row(name, figures[name], words, positive=label) for name in _PER_CLASS]
            for label, figures in run.test.get("per_class", {}).items()}


def point(run: RunFolder, words: Language) -> dict[str, Any]:
    """Sensitivity and specificity at the operating point, validation beside test; no rows for several."""
    if not run.is_binary:
        return {"rows": []}
    fixed = run.facts.get("operating_point") or {}
    validation = (run.metrics.get("validation") or {}).get("figures") or {}
    rows = []
    for name in ("sensitivity", "specificity"):
        before = validation.get(name) or {"value": fixed.get(name), "low": None, "high": None}
        rows.append((words.say(f"figure.{name}"),
                     *(_in_brackets(name, figure, words) for figure in (before, run.test["figures"][name]))))
    films = fixed.get("cross_validated_films") or 0
    return {"rows": rows, "rule": rule(run, words),
            "lead": words.say("point.lead", positive=run.positive,
                              threshold=words.number(run.test["threshold"], 3)),
            "cross": words.say("point.cross", films=words.count(films, "film")) if films else ""}


def rule(run: RunFolder, words: Language) -> str:
    """How the threshold was chosen."""
    name = str((run.facts.get("operating_point") or {}).get("rule", ""))
    kind, _, bound = name.partition("=")
    kind = kind.removesuffix(">")
    if kind == "cost":
        cost, _, share = bound.partition("@")
        return words.say("point.rule.cost_elsewhere", cost=words.short(float(cost)),
                         share=words.short(100 * float(share))) if share else \
            words.say("point.rule.cost", cost=words.short(float(cost)))
    if kind == "stressed" and bound:
        kind = "stressed_bound"
    return words.say(f"point.rule.{kind}", rule=name) if f"point.rule.{kind}" in words.texts else name


def roc(run: RunFolder, words: Language) -> dict[str, Any]:
    """The ROC curve of each class that has one."""
    test = run.test
    parts, curves = _per_class_or_positive(run), roc_curves(run)
    if not curves:
        return {"chart": None}
    areas = ", ".join(f"{name} {words.number(part['auc']['value'], 3)}" for name, part in parts.items()
                      if part["auc"]["value"] is not None)
    precision = test.get("average_precision")
    return {"chart": drawn("roc", lambda: results.roc(curves, words, point=roc_point(run)),
                           run.path / FIGURES),
            "alt": words.say("roc.alt", areas=areas),
            "precision": "" if precision is None else
            words.say("roc.precision", value=words.number(precision, 3))}


def _report_rows(run: RunFolder, words: Language) -> list[dict[str, str]]:
    """The classification report, two decimals as scikit-learn prints it."""
    rows = []
    for index, row in enumerate(run.test["classification_report"]):
        decimals = {key: "" if row[key] is None else words.number(row[key], 2)
                    for key in ("precision", "recall", "f1")}
        is_class = index < len(run.classes)
        rows.append({"name": row["class"] if is_class else words.say(f"result.report.{row['class']}"),
                     **decimals, "support": words.number(row["support"])})
    return rows


def _in_brackets(name: str, figure: dict[str, Any], words: Language) -> str:
    """A figure with its interval behind it."""
    if figure["value"] is None:
        return "–"
    value, interval = words.estimate(figure, partial(words.figure, name))
    return f"{value} ({interval})" if interval else value


def roc_curves(run: RunFolder) -> dict[str, dict[str, list[float]]]:
    """`fpr` and `tpr` of the positive class, or of each of several against the rest, where there are any."""
    return {name: part["roc"] for name, part in _per_class_or_positive(run).items() if part["roc"]}


def _per_class_or_positive(run: RunFolder) -> dict[str, Any]:
    test = run.test
    return {run.positive: {"auc": test["figures"]["auc"], "roc": test.get("roc")}} if run.is_binary \
        else dict(test["per_class"])


def roc_point(run: RunFolder) -> tuple[float, float] | None:
    """The operating point as (false positive rate, sensitivity); None for several classes."""
    if not run.is_binary:
        return None
    figures = run.test["figures"]
    sensitivity, specificity = (figures[name]["value"] for name in ("sensitivity", "specificity"))
    return None if None in (sensitivity, specificity) else (1 - specificity, sensitivity)


RESULT = Section("result", result, "result", 40, answers=("metrics", "performance"), pages=_PAGES)
POINT = Section("point", point, "result", 50, answers=("threshold",), pages=_PAGES)
ROC = Section("roc", roc, "result", 60, answers=("performance",), pages=_PAGES)
