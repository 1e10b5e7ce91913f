"""The report's pictures of where the network looks, as explain_pict.py left them in the run."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumo_tf.data.images import thumbnail
from pneumo_tf.errors import FilmError
from pneumo_tf.report.language import Language
from pneumo_tf.runs.folder import RunFolder

RECORD = "explanations/explanations.json"
_WIDTH = 1100
_QUALITY = 72
_BUDGET = 2_500_000  # bytes of all pictures, so that the page stays below 5 MB


@dataclass(frozen=True)
class ShownExplanation:
    """One film: a sentence on what is explained, its panel as a data URI, and what each method is worth."""

    name: str
    sentence: str
    picture: str
    rows: list[dict[str, str]]


def explanations(run: RunFolder, words: Language) -> list[ShownExplanation]:
    """Films with their panels, in the order they were explained, as far as the page has room."""
    path, shown, room = run.path / RECORD, [], _BUDGET
    for record in _records(path):
        encoded = _encoded(path.parent / record["panel"])
        room -= len(encoded)
        if room < 0:
            break
        if encoded:
            shown.append(ShownExplanation(record["name"], sentence(record, words),
                                          f"data:image/jpeg;base64,{encoded}", _rows(record, words)))
    return shown


def _records(path: Path) -> list[dict[str, Any]]:
    """Films of the record; none where there is no record, or not one of ours: it mustn't cost the report."""
    try:
        return [film for film in json.loads(path.read_text(encoding="utf-8"))["films"]
                if {"name", "label", "predicted", "explained", "score", "panel", "methods"} <= film.keys()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _encoded(path: Path) -> str:
    """A panel as a smaller JPEG in base64; "" where it is gone."""
    try:
        small = thumbnail(path, (_WIDTH, 2 * _WIDTH), mode="RGB", quality=_QUALITY)
    except FilmError:
        return ""
    return base64.b64encode(small).decode("ascii")


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


def _rows(record: dict[str, Any], words: Language) -> list[dict[str, str]]:
    return [{"method": words.named("explain.method", method),
             "verdict": words.named("explain.verdict", numbers["verdict"]),
             "r2": _number(numbers.get("r2"), words),
             "halves": _number(numbers.get("halves_spearman"), words),
             "deletion": _number(numbers.get("deletion"), words),
             "insertion": _number(numbers.get("insertion"), words)}
            for method, numbers in record["methods"].items()]


def _number(value: float | None, words: Language) -> str:
    return "–" if value is None else words.number(value, 2)
