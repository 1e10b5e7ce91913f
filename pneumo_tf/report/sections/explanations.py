"""Pictures of where the network looks, as explain_pict.py left them in the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pneumo_tf.report.charts.pictures import Captioned, large_picture, large_pictures, panel_picture
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import EXPLANATIONS, EXPLANATIONS_RECORD, RunFolder
from pneumo_tf.storage import read_json

_BUDGET = 1_500_000  # characters of all pictures, so that the page stays below 5 MB


def content(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """Films with their panels, in the order they were explained, as far as the page has room."""
    folder, shown, room = run.path / EXPLANATIONS, [], _BUDGET
    for record in _records(folder / EXPLANATIONS_RECORD):
        picture = panel_picture(folder / record["panel"]) or ""
        room -= len(picture)
        if room < 0:
            break
        if picture:
            shown.append({"name": record["name"], "sentence": sentence(record, words), "picture": picture,
                          "rows": _rows(record, words), "beside": _beside(record, words)})
    return {"explained": shown} if shown else None


def enlarged(films: Sequence[Captioned], run: RunFolder, words: Language) -> list[Captioned]:
    """The films with their large pictures, and where the network looked beside those that were explained."""
    large, found = large_pictures(run, [film.id for film in films]), _overlays(run, films, words)
    return [replace(film, large=large[film.id], overlay=found.get(film.id)) for film in films]


def sentence(record: Mapping[str, Any], words: Language) -> str:
    """What a film is called, which class is explained, its score and probability, and the true class."""
    threshold, probability = record.get("threshold"), record.get("calibrated_probability")
    said = words.say(
        "explain.title.film", name=record["name"], predicted=record["predicted"],
        explained=record["explained"], score=words.number(record["score"], 4),
        threshold="" if threshold is None else words.say("explain.title.threshold",
                                                         threshold=words.number(threshold, 4)),
        probability="" if probability is None else words.say("explain.title.probability",
                                                             probability=words.number(probability, 4)))
    return f"{said} {words.say('explain.title.label', label=record['label'])}" if record["label"] else said


def _overlays(run: RunFolder, films: Sequence[Captioned], words: Language) -> dict[str, tuple[str, str]]:
    """Where the network looked, as a picture with its words, by the ids of the films that were explained."""
    wanted, found = {film.id for film in films}, {}
    for record in _records(run.path / EXPLANATIONS / EXPLANATIONS_RECORD):
        shown = [method for method, numbers in record["methods"].items() if numbers["verdict"] == "shown"]
        if record["name"] not in wanted or not shown:
            continue
        path = (run.path / EXPLANATIONS / record["panel"]).with_name(f"{shown[0]}.png")
        if picture := large_picture(path):
            found[record["name"]] = (picture, words.say("explain.overlay", label=record["explained"],
                                                        method=words.named("explain.method", shown[0])))
    return found


def _records(path: Path) -> list[dict[str, Any]]:
    """Films of the record; none where there is no record, or not one of ours: it mustn't cost the report."""
    try:
        return [film for film in read_json(path)["films"]
                if {"name", "label", "predicted", "explained", "score", "panel", "methods"} <= film.keys()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _beside(record: dict[str, Any], words: Language) -> str:
    """A caution where pictures lie beside the lungs; empty where none does."""
    methods = [words.named("explain.method", method) for method, numbers in record["methods"].items()
               if numbers.get("beside_lungs")]
    return words.say("explain.beside", methods=", ".join(methods)) if methods else ""


def _rows(record: dict[str, Any], words: Language) -> list[dict[str, str]]:
    columns = {"r2": "r2", "halves": "halves_spearman", "deletion": "deletion", "insertion": "insertion",
               "lungs": "mass_in_lungs"}
    return [{"method": words.named("explain.method", method),
             "verdict": words.named("explain.verdict", numbers["verdict"]),
             **{column: "–" if numbers.get(key) is None else words.number(numbers[key], 2)
                for column, key in columns.items()}}
            for method, numbers in record["methods"].items()]


EXPLAIN = Section("explain", content, "single", 40, answers=("explanation",))
