"""The flow of films tells what was left out, and what was kept with a remark."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from pneumo_tf.cohort import Cohort, Dropped, Step
from pneumo_tf.report.sections.data import flow
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import RunFolder

REASONS = ("several frames in one file", "blank: every pixel alike", "too small for a film",
           "too long and narrow for a film", "image format that isn't read: export it as PNG",
           "another extension than --ext", "9 bits of grey, scaled as 12 like the others",
           "another spelling of a patient", "colour of 16 bits a channel, of which fewer are used")


def flow_of(step: Step, lang: str) -> dict:
    facts = {"classes": ["NORMAL", "PNEUMONIA"], "positive": "PNEUMONIA", "flow": [asdict(step)]}
    run = RunFolder(Path(), facts, {}, pd.DataFrame(), Cohort(()), pd.DataFrame())
    return flow(run, language(lang))["flow"][0]


def test_what_is_noted_stands_beside_what_was_dropped() -> None:
    step = Step("found in the folder", 7, (Dropped("a.dcm", REASONS[0]),), (Dropped("7 = 0007", REASONS[7]),))
    told = flow_of(step, "en")
    assert (told["dropped"], len(told["reasons"])) == ("1 file left out", 2)
    assert [file for file, _ in told["files"]] == ["a.dcm", "7 = 0007"]


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_told_in_spanish(reason: str) -> None:
    (told, _), = flow_of(Step("decoded films", 7, (Dropped("a", reason),)), "es")["reasons"]
    assert told != reason
