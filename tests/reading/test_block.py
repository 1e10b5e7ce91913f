"""One film's answer in words: the call, what it rests on, and what speaks against it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pneumo_tf.cohort import Cohort
from pneumo_tf.evaluation.calibration.calibrators import Uncalibrated
from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.block import block
from pneumo_tf.reading.predict import Reader
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import RunFolder
from pneumo_tf.runs.operating_points import RunPoint, keep_point

ILL = Answer("film.png", "PNEUMONIA", 0.9123, 0.61, 0.97, 0.8412, 0.5, "", "", 12.3, (0.0877, 0.9123))
SHARE = {"value": 0.8, "low": 0.7, "high": 0.88, "count": 80, "of": 100}
NONE = {"value": None, "low": None, "high": None, "why": "none_predicted_negative"}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    test = {"figures": {"ppv": SHARE, "npv": NONE}, "confusion": [[0, 20], [0, 80]],
            "per_class": {"B": {"ppv": SHARE}}}
    facts = {"classes": ["NORMAL", "PNEUMONIA"], "positive": "PNEUMONIA", "patients_known": True}
    return RunFolder(tmp_path, facts, {"test": test}, pd.DataFrame(), Cohort(()), pd.DataFrame())


def told(answer: Answer, run: RunFolder, reader: Reader, lang: str = "en") -> str:
    return " ".join(block(answer, run, replace(reader, words=language(lang), views=8)).split())


def test_it_says_the_call_and_how_often_such_a_call_was_right(run: RunFolder, reader: Reader) -> None:
    assert told(ILL, run, reader) == (
        "film.png: PNEUMONIA Probability of PNEUMONIA 91.2% (61.0% to 97.0% over 8 views of the film) "
        "Score 0.8412; PNEUMONIA from 0.5000 on Of 100 films called PNEUMONIA in the test, 80 were: 80.0% "
        "(70.0% to 88.0% with 95% confidence). 80.0% of the test films are PNEUMONIA; where fewer are, such "
        "calls are right less often. Against believing it: nothing was found. Not a medical device. Nobody "
        "may be treated, or sent home, because of it.")


def test_a_negative_call_has_the_negative_predictive_value(run: RunFolder, reader: Reader) -> None:
    answer = replace(ILL, call="NORMAL", probability=0.0877)
    assert "How often such a call is right can't be said: it called every film positive." in \
        told(answer, run, reader)


def test_at_a_place_the_films_of_that_place_say_how_often_such_a_call_was_right(
        run: RunFolder, reader: Reader) -> None:
    figures = {"ppv": {"after": SHARE | {"value": 0.9, "count": 18, "of": 20}}, "npv": {"after": NONE}}
    keep_point(run, RunPoint("clinic", 0.5, Uncalibrated(), "youden", {"figures": figures}))
    said = " ".join(block(ILL, run, reader, at="clinic").split())
    assert "Of 20 films called PNEUMONIA at clinic, 18 were: 90.0%" in said
    assert "in the test" not in said
    said = " ".join(block(replace(ILL, call="NORMAL"), run, reader, at="clinic").split())
    assert "can't be said: it called every film positive." in said


def test_without_views_there_is_no_range(run: RunFolder, reader: Reader) -> None:
    assert "Probability of PNEUMONIA 91.2% Score" in told(replace(ILL, low=None, high=None), run, reader)


def test_a_refusal_says_why_and_sends_the_film_to_a_person(run: RunFolder, reader: Reader) -> None:
    answer = Answer("film.png", refusal="unreadable", reason="imagen truncada o dañada")
    assert told(answer, run, reader, "es").startswith(
        "film.png: sin respuesta Rechazada (unreadable): imagen truncada o dañada Esta imagen debe "
        "leerla una persona.")


def test_what_speaks_against_it_is_said_of_the_film_and_of_the_run(run: RunFolder, reader: Reader) -> None:
    doubtful = replace(run, facts={**run.facts, "phantoms": True, "split_by": "film"})
    raw = replace(reader, predictor=replace(reader.predictor, calibrator=Uncalibrated()))
    assert ("Against believing it: 3 of 7 views; the probability isn't calibrated; the run learnt from "
            "synthetic films, and its answers say nothing about people; in the test the same person may be "
            "on both sides") in told(replace(ILL, reason="3 of 7 views"), doubtful, raw)


def test_of_several_classes_the_called_one_is_told(run: RunFolder, reader: Reader) -> None:
    several = replace(run, facts={**run.facts, "classes": ["A", "B", "C"], "positive": "A"},
                      metrics={"test": {**run.test, "confusion": [[5, 5, 0], [0, 80, 0], [0, 10, 0]]}})
    predictor = replace(reader.predictor, classes=("A", "B", "C"), positive="A", threshold=None)
    answer = replace(ILL, call="B", threshold=None)
    said = told(answer, several, replace(reader, predictor=predictor))
    assert "Probability of B 91.2%" in said
    assert "Score 0.8412; the highest of 3 classes" in said
    assert "80.0% of the test films are B" in said
