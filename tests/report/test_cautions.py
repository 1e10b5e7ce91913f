import json

import pandas as pd
import pytest

from pneumo_tf.report.cautions import cautions
from pneumo_tf.report.language import language
from pneumo_tf.report.run_folder import read_run


def told(run) -> str:
    found = cautions(read_run(run), language("en"))
    return "\n".join(f"{caution.level}: {caution.text}" for caution in found)


def test_a_sound_run_still_says_what_no_run_can_know(run_of):
    said = told(run_of(per_class=400))
    assert "good: No known patient has films in more than one split." in said
    assert "note: Other hospitals" in said
    assert "note: Not a medical device." in said
    assert "alarm" not in said


@pytest.mark.parametrize(("change", "expected"), [
    ({"phantoms": True}, "alarm: These films are synthetic"),
    ({"split_by": "film"}, "alarm: The films were split one by one"),
    ({"patients_known": False}, "alarm: Nobody knows which films belong to one patient"),
    ({"films_without_patient": 3}, "caution: Of 3 films the patient isn't known"),
])
def test_what_weakens_a_run_is_said(finished_run, changed, change, expected):
    assert expected not in told(finished_run)
    assert expected in told(changed(finished_run, **change))


def test_a_leak_is_found_in_the_table_whatever_the_run_claims(finished_run):
    table = pd.read_csv(finished_run / "split.csv", dtype=str)
    table.loc[table["split"] == "test", "patient"] = table.loc[table["split"] == "train", "patient"].iloc[0]
    table.to_csv(finished_run / "split.csv", index=False)
    said = told(finished_run)
    assert "alarm: 1 patient with films in more than one split." in said
    assert "No known patient" not in said


def test_few_films_and_wide_intervals_are_said(run_of):
    said = told(run_of(per_class=60))
    assert "caution: Few test films: only 18 films of NORMAL." in said
    assert "caution: Wide interval: sensitivity may be anything from" in said


def test_alarms_come_first(finished_run, changed):
    levels = [line.split(":")[0] for line in told(changed(finished_run, phantoms=True)).splitlines()]
    assert levels[0] == "alarm"
    assert levels[-2:] == ["note", "note"]


@pytest.mark.parametrize(("gap", "is_said"), [(0.06, False), (0.04, True), (-0.02, True)])
def test_file_facts_that_come_near_the_network_are_said(finished_run, gap, is_said):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    area = metrics["test"]["figures"]["auc"]["value"] = 0.93
    poor = {"name": "aspect", "value": 0.6}
    metrics["test"]["shortcuts"] = {"baselines": [poor, {"name": "bytes", "value": area - gap}]}
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    sentence = "caution: The files give the class away: without looking at a pixel, file size in bytes"
    assert (sentence in told(finished_run)) is is_said
