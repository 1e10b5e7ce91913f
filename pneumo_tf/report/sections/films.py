"""A look at the films: a sample of all of them, and test films with what the network said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from pneumo_tf.report.charts.pictures import Captioned, spread_indices, thumbnails
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import RunFolder

_GRID = 25
_SAMPLE = 8
_SAMPLE_IN_ALL = 48


class Tested(NamedTuple):
    """A test film; its score is of the positive class for two classes, else the highest."""

    id: str
    label: str
    predicted: str
    score: float


def sample(run: RunFolder, words: Language) -> dict[str, Any]:
    """A few films of each class, evenly spread over the table."""
    size = max(2, min(_SAMPLE, _SAMPLE_IN_ALL // len(run.classes)))
    shown = {}
    for label in run.classes:
        names = [film.id for film in run.cohort if film.label == label]
        pictures = thumbnails(run, [names[index] for index in spread_indices(len(names), size)])
        shown[label] = [Captioned(name, picture, words.say("sample.alt", id=name, label=label))
                        for name, picture in pictures.items()]
    return {"sample": shown}


def grid(run: RunFolder, words: Language) -> dict[str, Any]:
    """25 test films as they come, evenly spread over all, so that errors are as frequent among them."""
    table = tested_films(run).sort_values("id")
    films = list(films_of(table.iloc[spread_indices(len(table), _GRID)]))
    pictures = thumbnails(run, [film.id for film in films])
    return {"lead": words.say("grid.lead", wrong=words.number(run.wrong),
                              films=words.count(run.test["films"], "film")),
            "grid": [_captioned(film, pictures[film.id], run, words) for film in films]}


def tested_films(run: RunFolder) -> pd.DataFrame:
    """The test films of predictions.csv with the score to show, `shown_score`."""
    table = run.predictions[run.predictions["split"] == "test"].copy()
    scores = table[[f"p_{name}" for name in run.classes]]
    table["shown_score"] = table[f"p_{run.positive}"] if run.is_binary else scores.max(axis=1)
    return table


def films_of(table: pd.DataFrame) -> Iterator[Tested]:
    """The rows of such a table."""
    columns = zip(table["id"], table["label"], table["predicted"], table["shown_score"], strict=True)
    return (Tested(name, label, predicted, float(score)) for name, label, predicted, score in columns)


def _captioned(film: Tested, picture: str | None, run: RunFolder, words: Language) -> Captioned:
    is_wrong = film.label != film.predicted
    kind = "wrong" if not run.is_binary else "missed" if film.label == run.positive else "alarm"
    score = words.number(film.score, 2)
    alt = words.say("grid.alt", id=film.id, label=film.label, predicted=film.predicted, score=score)
    names = f"{film.label} → {film.predicted}" if is_wrong else film.label
    verdict = f"✕ {words.say(f'grid.{kind}')}" if is_wrong else f"✓ {words.say('grid.right')}"
    return Captioned(film.id, picture, alt, verdict, [f"{names} · {score}"], is_wrong)


SAMPLE = Section("sample", sample, "films", 50)
GRID = Section("grid", grid, "single", 10, answers=("failures",), pages=("report", "external"))
