"""One HTML file that opens from disk, anywhere, for years: nothing in it is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from pneumo_tf.report import cautions, explanations, facts, figures, films, overview, tables, worth
from pneumo_tf.report.drawing import drawn
from pneumo_tf.report.language import Language, language
from pneumo_tf.report.rendering import render
from pneumo_tf.report.run_folder import RunFolder, read_run
from pneumo_tf.storage import make_folder, write_text

_METRICS = ("loss", "accuracy", "auc")


def write_report(run_folder: Path, *, lang: str = "en") -> Path:
    """Write `report.html` and `figures/*.png` into a finished run's folder.

    Reads the folder and the films that its split.csv points to; a film that is gone leaves a placeholder.

    Args:
        run_folder: Holds run.json, history.csv, split.csv, predictions.csv and metrics.json.
        lang: "en" or "es".

    Returns:
        The path of the page.

    Raises:
        OptionError: A language without a catalogue.
        RunError: A file of the run is missing or can't be read.
        LabelError: split.csv is no table of radiographs.
        StorageError: The folder can't be written to.
    """
    words = language(lang)
    run = read_run(run_folder)
    make_folder(run_folder / "figures")
    page = run_folder / "report.html"
    write_text(page, render("report.html.j2", _content(run, words), words))
    return page


def _content(run: RunFolder, words: Language) -> dict[str, Any]:
    return {
        "run": run,
        "name": str(run.facts.get("name") or run.path.name),
        "moment": words.moment(str(run.facts.get("created") or "")),
        "question": overview.question(run, words),
        "tested": overview.tested(run, words),
        "frequencies": overview.frequencies(run, words),
        "headlines": overview.headlines(run, words),
        "cautions": cautions.cautions(run, words),
        "flow": tables.flow(run, words),
        "splits": tables.splits(run, words),
        "split_facts": facts.split_facts(run, words),
        "sample": films.sample(run),
        "grid": films.grid(run),
        "explained": explanations.explanations(run, words),
        "figure_rows": tables.figure_rows(run, words),
        "class_rows": tables.class_rows(run, words),
        "report_rows": tables.report_rows(run, words),
        "point_rows": tables.point_rows(run, words) if run.is_binary else [],
        "point_rule": facts.rule(run, words),
        "stages": tables.stages(run, words),
        "fact_groups": facts.groups(run, words),
        "command": facts.command(run),
        "wrong": _wrong(run),
        **worth.content(run, words),
        **_drawings(run, words),
    }


def _wrong(run: RunFolder) -> int:
    tested = run.predictions[run.predictions["split"] == "test"]
    return int((tested["label"] != tested["predicted"]).sum())


def _drawings(run: RunFolder, words: Language) -> dict[str, Any]:
    """The SVG of every figure beside its alternative text; None or nothing where a figure has no data."""
    folder, test = run.path / "figures", run.test
    matrix = drawn("confusion", lambda: figures.confusion(test["confusion"], test["confusion_normalised"],
                                                          run.classes, words), folder)
    rankings = _rankings(run)
    area = drawn("roc", lambda: figures.roc(rankings, words, point=_point(run)) if rankings else None, folder)
    curves = []
    for metric in _METRICS:
        curve = drawn(metric, lambda metric=metric: figures.learning_curve(  # type: ignore[misc]
            run.history, metric, words), folder)
        if curve:
            curves.append((Markup(curve), _curve_alt(run, metric, words)))
    return {"confusion": Markup(matrix), "confusion_alt": _confusion_alt(run, words), "curves": curves,
            "roc": Markup(area) if area else None, "roc_alt": _roc_alt(run, words)}


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
