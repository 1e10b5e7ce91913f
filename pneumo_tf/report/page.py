"""Pages that open from disk, anywhere, for years: nothing in them is fetched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pneumo_tf.cohort import Cohort
from pneumo_tf.progress import announce
from pneumo_tf.report import overview
from pneumo_tf.report.cautions import cautions
from pneumo_tf.report.model_card import model_card
from pneumo_tf.report.rendering import render_page
from pneumo_tf.report.sections import comparison, external
from pneumo_tf.report.sections.forecast import foretold
from pneumo_tf.report.words import Language, language
from pneumo_tf.runs.folder import (
    FIGURES,
    METRICS,
    MODEL_CARD,
    PREDICTIONS,
    REPORT,
    RunFolder,
    read_run,
    republishing,
)
from pneumo_tf.storage import from_csv, make_folder, read_json, write_text

COMPARISON = "comparison.html"


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
    announce("Report")
    run = read_run(run_folder)
    make_folder(run_folder / FIGURES)
    first = {"moment": words.moment(str(run.facts.get("created") or "")),
             "lead": overview.tested(run, words), "cautions": cautions(run, words)}
    page = render_page("report", run, words, title=overview.question(run, words),
                       first=first | _figures(run, words))
    card = model_card(run, words)
    write_text(run_folder / REPORT, page)
    write_text(run_folder / MODEL_CARD, card)
    return run_folder / REPORT


def rewrite_report(run_folder: Path, *, lang: str) -> Path:
    """Write a run's report and model card anew, and publish them again where they were published.

    Returns:
        The path of the page.
    """
    with republishing(run_folder):
        return write_report(run_folder, lang=lang)


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
    announce("Report")
    there = _as_run(folder, run, cohort)
    make_folder(folder / FIGURES)
    first = {"moment": "", "lead": external.tested(there, words), "cautions": external.cautions(there, words)}
    write_text(folder / REPORT, render_page("external", there, words, title=words.say("external.question"),
                                            first=first | _figures(there, words)))
    return folder / REPORT


def write_comparison_page(record: dict[str, Any], folder: Path, *, lang: str = "en") -> Path:
    """Write comparison.html and figures/*.png into the folder of a comparison.

    Args:
        record: What comparison.json holds.
        folder: Exists.
        lang: "en" or "es".

    Returns:
        The path of the page.

    Raises:
        OptionError: A language without a catalogue.
        StorageError: The folder can't be written to.
    """
    words = language(lang)
    page = render_page("comparison", comparison.Comparison(record, folder), words,
                       title=comparison.title(record, words), first=comparison.overview(record, words))
    write_text(folder / COMPARISON, page)
    return folder / COMPARISON


def _figures(run: RunFolder, words: Language) -> dict[str, Any]:
    """What the first screens of a run and of films from elsewhere have in common."""
    return {"name": run.name, "sought": overview.sought(run, words),
            "frequencies": overview.frequencies(run, words),
            "expected": [*foretold(run, words), *overview.expected(run, words)],
            "headlines": overview.headlines(run, words)}


def _as_run(folder: Path, run: RunFolder, cohort: Cohort) -> RunFolder:
    """The evaluation as a run whose test films are those from elsewhere, which every section knows."""
    record = read_json(folder / METRICS)
    predictions = from_csv(pd.read_csv(folder / PREDICTIONS, dtype={"id": str, "patient": str},
                                       keep_default_na=False))
    changed = {"name": f"{run.name} · {record['name']}", "created": record["created"],
               "command": record["command"], "data": {"films": record["films_folder"]},
               "patients_known": any(cohort.patients)}
    return replace(run, path=folder, facts=run.facts | changed, predictions=predictions,
                   cohort=cohort.with_column("split", ["test"] * len(cohort)),
                   metrics=record | {"validation": run.metrics.get("validation")})
