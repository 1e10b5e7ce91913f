"""One HTML file that opens from disk, anywhere, for years: nothing in it is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pneumo_tf.report import (
    cautions,
    checklist,
    distribution,
    duplicates,
    errors,
    explanations,
    facts,
    films,
    model_card,
    overview,
    plots,
    repeats,
    robustness,
    subgroups,
    tables,
    worth,
)
from pneumo_tf.report.language import Language, language
from pneumo_tf.report.rendering import render
from pneumo_tf.runs.folder import RunFolder, read_run
from pneumo_tf.storage import make_folder, write_text

PAGE = "report.html"
# The parts of the page and the templates of their sections, in reading order. A section that a run has
# nothing for writes nothing, and is then in no list of contents either.
_OUTLINE = {
    "films": ("data", "distribution", "duplicates", "sample"),
    "result": ("result",),
    "trust": ("worth", "subgroups", "robustness", "repeats"),
    "single": ("grid", "errors", "explanations"),
    "made": ("curve", "cost", "limit", "checklist"),
}
# What the sections say, beside what is short enough to be said here.
_CONTENTS = (plots, distribution, duplicates, worth, subgroups, robustness, repeats, errors)


def write_report(run_folder: Path, *, lang: str = "en") -> Path:
    """Write `report.html`, `model_card.md` and `figures/*.png` into a finished run's folder.

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
    page = render("report.html.j2", _content(run, words), words)
    card = model_card.model_card(run, words)
    write_text(run_folder / PAGE, page)
    write_text(run_folder / model_card.CARD, card)
    return run_folder / PAGE


def _content(run: RunFolder, words: Language) -> dict[str, Any]:
    said: dict[str, Any] = {
        "run": run,
        "outline": _OUTLINE,
        "name": run.name,
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
        "wrong": run.wrong,
        "explained": explanations.explanations(run, words),
        "figure_rows": tables.figure_rows(run, words),
        "class_rows": tables.class_rows(run, words),
        "report_rows": tables.report_rows(run, words),
        "point_rows": tables.point_rows(run, words) if run.is_binary else [],
        "point_rule": facts.rule(run, words),
        "stages": tables.stages(run, words),
        "fact_groups": facts.groups(run, words),
        "command": facts.command(run),
        "checklist": checklist.checklist(words),
    }
    for module in _CONTENTS:
        said |= module.content(run, words)
    return said
