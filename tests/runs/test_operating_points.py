"""A run's own operating point, and those of places, by their names."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from pneumo_tf.cohort import Cohort
from pneumo_tf.errors import OptionError, PneumoError
from pneumo_tf.evaluation.calibration.calibrators import Line, Platt, Temperature
from pneumo_tf.runs.folder import RunError, RunFolder
from pneumo_tf.runs.operating_points import RunPoint, keep_point, names_of, point_of


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    facts = {"name": "20261125-fast", "classes": ["NORMAL", "PNEUMONIA"], "positive": "PNEUMONIA",
             "operating_point": {"threshold": 0.25, "rule": "youden"},
             "calibration": {"method": "temperature", "temperature": 2.0, "films": 90}}
    return RunFolder(tmp_path, facts, {}, pd.DataFrame(), Cohort(()), pd.DataFrame())


def test_without_a_name_it_is_the_run_s_own(run: RunFolder) -> None:
    point = point_of(run)
    assert (point.name, point.threshold, point.rule) == ("", 0.25, "youden")
    assert point.calibrator == Temperature(2.0, films=90)


def test_several_classes_have_no_threshold(run: RunFolder) -> None:
    run.facts["classes"] = ["A", "B", "PNEUMONIA"]
    assert point_of(run).threshold is None


def test_a_place_s_point_is_found_again_as_it_was_kept(run: RunFolder) -> None:
    kept = RunPoint("clinic", 0.4, Platt((Line(0.3, 1.2),), films=80), "cost=10", {"films": 80, "seed": 1})
    path = keep_point(run, kept)
    assert json.loads(path.read_text())["calibration"]["fitted_on"] == "clinic"
    found = point_of(run, "clinic")
    assert (found.name, found.threshold, found.rule, found.calibrator) == ("clinic", 0.4, "cost=10",
                                                                            kept.calibrator)
    assert found.record["films"] == 80
    assert names_of(run) == ["clinic"]


def test_an_unknown_place_is_answered_with_those_that_there_are(run: RunFolder) -> None:
    with pytest.raises(OptionError, match=r"Received: clinic\. Make it with adapt_pict\.py"):
        point_of(run, "clinic")
    keep_point(run, RunPoint("clinica", 0.4, Temperature(), "youden", {}))
    with pytest.raises(OptionError, match=r"Did you mean clinica\? It has: clinica"):
        point_of(run, "clinic")


@pytest.mark.parametrize("change", [{"run": "another"}, {"threshold": None}, {"threshold": 1.5},
                                    {"threshold": "0.4"}, {"calibration": {"method": "platt"}}])
def test_a_record_that_was_edited_or_made_for_another_run_is_refused(run: RunFolder,
                                                                     change: dict[str, object]) -> None:
    path = keep_point(run, RunPoint("clinic", 0.4, Temperature(), "youden", {}))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(PneumoError, match=r"made for this run|must be whole"):
        point_of(run, "clinic")
    path.write_text("{")
    with pytest.raises(RunError, match="must be JSON"):
        point_of(run, "clinic")


@pytest.mark.parametrize("name", ["../run", "a/b", ".hidden", "nul"])
def test_a_name_reaches_no_other_file(run: RunFolder, name: str) -> None:
    with pytest.raises(OptionError, match="must do as a folder's"):
        point_of(run, name)
