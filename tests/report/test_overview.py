"""The first line of a report says what is looked for."""

from pathlib import Path

import pandas as pd
import pytest

from pneumo_tf.cohort import Cohort
from pneumo_tf.report.overview import question
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import RunFolder


def run_of(*classes: str, positive: str) -> RunFolder:
    facts = {"classes": list(classes), "positive": positive}
    return RunFolder(Path(), facts, {}, pd.DataFrame(), Cohort(()), pd.DataFrame())


@pytest.mark.parametrize("classes", [("NORMAL", "PNEUMONIA"), ("Normal", "Neumonía")])
def test_pneumonia_is_asked_for_in_plain_words_however_it_is_spelled(classes: tuple[str, str]) -> None:
    run = run_of(*classes, positive=classes[1])
    assert question(run, language("en")) == "Does this chest film show pneumonia?"


@pytest.mark.parametrize(("lang", "start"), [("en", "What is looked for is MELANOMA: "),
                                             ("es", "Lo que se busca es MELANOMA: ")])
def test_any_other_class_is_named_as_the_one_that_is_looked_for(lang: str, start: str) -> None:
    assert question(run_of("MELANOMA", "NEVUS", positive="MELANOMA"), language(lang)).startswith(start)


def test_a_search_for_the_healthy_is_never_told_as_one_for_pneumonia() -> None:
    asked = question(run_of("NORMAL", "PNEUMONIA", positive="NORMAL"), language("en"))
    assert asked.startswith("What is looked for is NORMAL: ")
