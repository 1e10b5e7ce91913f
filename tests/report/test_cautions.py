import json

import pandas as pd
import pytest

from pneumo_tf.report.cautions import cautions
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import read_run


def told(run) -> str:
    found = cautions(read_run(run), language("en"))
    return "\n".join(f"{caution.level}: {caution.text}" for caution in found)


def with_metrics(run, change):
    metrics = json.loads((run / "metrics.json").read_text())
    change(metrics)
    (run / "metrics.json").write_text(json.dumps(metrics))
    return run


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


@pytest.mark.parametrize(("gap", "is_said"), [(0.06, False), (0.04, True)])
def test_pixel_facts_that_come_near_the_network_are_said_beside_file_facts(finished_run, gap, is_said):
    def change(metrics):
        area = metrics["test"]["figures"]["auc"]["value"] = 0.93
        metrics["test"]["shortcuts"] = {"baselines": [
            {"name": "bytes", "kind": "file", "value": area},
            {"name": "border", "kind": "pixels", "value": 0.6},
            {"name": "brightness", "kind": "pixels", "value": area - gap}]}

    said = told(with_metrics(finished_run, change))
    assert "caution: The files give the class away" in said
    assert (f"reaches an area under the ROC curve of {0.93 - gap:.3f}, the network 0.930" in said) is is_said
    assert ("The look of the films nearly gives the class away" in said) is is_said


@pytest.mark.parametrize(("across", "expected"), [(0, None), (1, "1 pair of films"), (2, "2 pairs of films")])
def test_films_that_look_the_same_in_two_splits_are_said(finished_run, across, expected):
    found = {"near_duplicates": {"films": 120, "pairs": 3, "across": across, "found": []}}
    said = told(with_metrics(finished_run, lambda metrics: metrics.update(found)))
    assert ("look the same" in said) is bool(expected)
    assert (expected or "") in said


def with_robustness(run, **changed):
    rows = [{"name": name, "changed": {"value": value}} for name, value in changed.items()]
    (run / "robustness.json").write_text(json.dumps({"perturbations": rows}))
    return run


@pytest.mark.parametrize(("changed", "expected"), [
    ({"blur": 0.1, "negative": 0.9}, None),
    ({"blur": 0.2, "border": 0.15}, "Small changes of a film change its verdict on 20% of the films"),
    ({"blur": 0.2, "border": 0.25}, "It reads the margins: with them covered it changes its verdict on 25%"),
])
def test_a_verdict_that_small_changes_turn_is_said(finished_run, changed, expected):
    said = told(with_robustness(finished_run, **changed))
    assert ("its verdict" in said) is bool(expected)
    assert (expected or "") in said


@pytest.mark.parametrize(("most", "is_said"), [(0.95, False), (0.9, True)])
def test_a_split_better_than_all_others_is_said(finished_run, most, is_said):
    (finished_run / "repeats.json").write_text(json.dumps({"figures": {"auc": {"own": 0.93, "most": most}}}))
    assert ("caution: A lucky split" in told(finished_run)) is is_said
