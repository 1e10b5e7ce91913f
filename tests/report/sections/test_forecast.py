"""The forecast in the report: on the first screen, and how it was made."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pneumo_tf.evaluation.stressed import stress_figures
from pneumo_tf.report.page import write_report
from pneumo_tf.report.sections.forecast import FORECAST, foretold
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import METRICS, ROBUSTNESS, read_run


def under_stress(run: Path, *, lost: float = 0.3) -> dict[str, Any]:
    """What stress costs the run's test films: scores drawn towards the positive class."""
    films = read_run(run).scores("test")
    drawn = (1 - lost) * films.values + lost * np.eye(2)[films.positive_index]
    return stress_figures(films, {"hospital_1": drawn}, 0.5, together={"hospital_1"}, resamples=30)


def leave(run: Path, name: str, **content: Any) -> Path:
    path = run / name
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(before | content))
    return run


@pytest.fixture
def foretelling(finished_run: Path) -> Path:
    """A run whose training put validation films under stress."""
    return leave(finished_run, METRICS, stress=under_stress(finished_run))


@pytest.mark.parametrize(("lang", "words"), [("en", "On films of other hospitals, expect"),
                                             ("es", "En imágenes de otros hospitales, es de esperar")])
def test_the_first_screen_says_what_to_expect_and_leads_to_how_it_was_made(
        foretelling: Path, lang: str, words: str) -> None:
    page = write_report(foretelling, lang=lang).read_text(encoding="utf-8")
    first = page.partition('<section id="')[0]
    assert words in first
    assert 'href="#forecast"' in first
    assert '<section id="forecast">' in page


def test_the_sentences_give_the_ends_of_the_ranges(foretelling: Path) -> None:
    found, alarms = foretold(read_run(foretelling), language("en"))
    low, high = map(int, re.findall(r"(\d+) to (\d+) of 100", found)[0])
    assert 0 <= low <= high <= 100
    assert high - low <= 30
    low, high = map(int, re.findall(r"call (\d+) to (\d+) PNEUMONIA", alarms)[0])
    assert 0 <= low <= high <= 100
    assert high - low <= 30


def test_test_films_under_stress_come_before_validation_films(
        foretelling: Path, filled: Callable[..., str]) -> None:
    before = filled(FORECAST, read_run(foretelling))
    leave(foretelling, ROBUSTNESS, stress=under_stress(foretelling, lost=0.6))
    after = filled(FORECAST, read_run(foretelling))
    assert "These are validation films" in before
    assert "These are test films" in after


def test_nothing_is_foretold_without_stress_of_phantoms_or_of_several_classes(
        finished_run: Path, changed: Callable[..., Path], filled: Callable[..., str]) -> None:
    assert filled(FORECAST, read_run(finished_run)) == ""
    leave(finished_run, METRICS, stress={"skipped": "2.0 films a second: too slow for 15 s"})
    assert filled(FORECAST, read_run(finished_run)) == ""
    leave(finished_run, METRICS, stress=under_stress(finished_run))
    assert filled(FORECAST, read_run(finished_run)) != ""
    changed(finished_run, phantoms=True)
    assert filled(FORECAST, read_run(finished_run)) == ""


def test_several_classes_have_no_forecast(run_of: Callable[..., Path], filled: Callable[..., str]) -> None:
    assert filled(FORECAST, read_run(run_of(classes=("NORMAL", "bacteria", "virus")))) == ""


def test_in_spanish_without_a_word_of_english(foretelling: Path, filled: Callable[..., str]) -> None:
    text = re.sub(r"<[^>]*>", " ", filled(FORECAST, read_run(foretelling), "es"))
    assert not re.search(r"\b(the|films|expect|stress)\b", text)
