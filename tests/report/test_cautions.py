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
    ({"split_by": "film", "films_without_patient": 3}, "alarm: The films were split one by one"),
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


@pytest.mark.parametrize("name", ["auc", "sensitivity", "specificity"])
@pytest.mark.parametrize(("most", "is_said"), [(0.95, False), (0.9, True)])
def test_a_split_better_than_all_others_by_any_headline_figure_is_said(finished_run, name, most, is_said):
    figures = {name: {"own": 0.93, "least": 0.8, "most": most}}
    (finished_run / "repeats.json").write_text(json.dumps({"figures": figures}))
    assert ("caution: Perhaps a lucky split" in told(finished_run)) is is_said


def test_films_split_one_by_one_without_a_patient_on_two_sides_are_no_leak(finished_run, changed):
    said = told(changed(finished_run, split_by="film"))
    assert "split one by one" not in said
    assert "good: No known patient" in said


def with_figures(run, **changes):
    """A run whose test figures are changed."""
    def change(metrics):
        for name, figure in changes.items():
            metrics["test"]["figures"][name] |= figure
    return with_metrics(run, change)


@pytest.mark.parametrize(("value", "low", "high", "said"), [
    (0.59, 0.35, 0.80, "alarm: It may be no better than guessing. Area under the ROC curve: 0.590 (0.350 to"),
    (0.59, 0.51, 0.70, None), (0.3, 0.2, 0.4, "alarm: Worse than guessing."),
    (0.8, None, None, "caution: Whether it is better than guessing can't be told"),
    (None, None, None, None)])
def test_guessing_is_said_where_the_interval_reaches_it_and_only_there(finished_run, value, low, high, said):
    figure = {"value": value, "low": low, "high": high, "why": "no_negative_films"}
    text = told(with_figures(finished_run, auc=figure))
    assert ("guessing" in text) is bool(said)
    assert (said or "") in text


def test_scores_that_rank_well_may_still_be_called_no_better_than_by_guessing(finished_run):
    assert "yes or no" not in told(finished_run)
    text = told(with_figures(finished_run, mcc={"value": 0.1, "low": -0.1, "high": 0.3}))
    assert "alarm: As a yes or no it may be no better than guessing" in text


def test_one_answer_for_every_film_is_said(finished_run):
    def change(metrics):
        metrics["test"]["confusion"] = [[0, 18], [0, 18]]
        metrics["test"]["figures"]["mcc"] |= {"value": None, "low": None, "why": "one_class_predicted"}
    assert "alarm: It calls every test film PNEUMONIA" in told(with_metrics(finished_run, change))


def test_several_classes_may_be_guessed_too(run_of):
    run = run_of(classes=("A", "B", "C"))
    assert "guessing" not in told(run)
    text = told(with_figures(run, macro_auc={"value": 0.55, "low": 0.45, "high": 0.66}))
    assert "Macro area under the ROC curve: 0.550" in text


def a_fact(value, low, *, lead, ends, kind="file"):
    difference = dict(zip(("value", "low", "high"), (lead, *ends), strict=True))
    return {"name": "jpeg_quality" if kind == "file" else "brightness", "kind": kind, "value": value,
            "low": low, "high": min(1, value + 0.1), "difference": difference}


@pytest.mark.parametrize("kind", ["file", "pixels"])
@pytest.mark.parametrize(("network", "fact", "said"), [
    ((0.590, 0.35), (1.0, None, -0.41, (-0.65, -0.2)), "this isn't what it learnt"),
    ((0.93, 0.88), (0.92, 0.87, 0.01, (-0.04, 0.06)), "It may have learnt how the"),
    ((0.93, 0.88), (0.70, 0.60, 0.23, (0.13, 0.33)), None),
    ((0.93, 0.70), (0.80, 0.60, 0.13, (-0.1, 0.3)), "can't be told"),
    ((0.93, 0.88), (0.92, 0.45, 0.01, (-0.04, 0.06)), None),
    ((0.56, 0.40), (0.57, 0.51, -0.01, (-0.2, 0.2)), None)])
def test_a_fact_is_held_against_the_network_by_the_interval_of_both(finished_run, kind, network, fact, said):
    def change(metrics):
        metrics["test"]["figures"]["auc"] |= {"value": network[0], "low": network[1]}
        value, low, lead, ends = fact
        metrics["test"]["shortcuts"] = {"baselines": [a_fact(value, low, lead=lead, ends=ends, kind=kind)]}
    text = told(with_metrics(finished_run, change))
    about = [line for line in text.splitlines() if "the class away" in line]
    assert len(about) == bool(said)
    assert (said or "") in text


def test_few_patients_with_many_films_are_few(run_of):
    run = run_of(per_class=400)
    assert "Few test" not in told(run)
    said = told(with_figures(run, sensitivity={"patients": 7}))
    assert "caution: Few test patients: the films of PNEUMONIA are of only 7 patients." in said


@pytest.mark.parametrize(("name", "said"), [("auc", "area under the ROC curve may be anything from 0.700 to"),
                                            ("specificity", "specificity may be anything from 70% to 99%")])
def test_every_headline_figure_may_be_wide(run_of, name, said):
    run = run_of(per_class=400)
    assert said not in told(run)
    assert said in told(with_figures(run, **{name: {"low": 0.7, "high": 0.99}}))


def test_no_film_on_two_sides_is_no_comfort_where_two_look_the_same(finished_run):
    found = {"near_duplicates": {"films": 120, "pairs": 1, "across": 1, "found": []}}
    assert "good" not in told(with_metrics(finished_run, lambda metrics: metrics.update(found)))


@pytest.mark.parametrize(("high", "is_said"), [(-0.01, True), (0.02, False)])
def test_a_small_change_that_costs_a_figure_is_said_though_few_calls_change(finished_run, high, is_said):
    row = {"name": "blur", "changed": {"value": 0.08}, "auc": {"value": -0.01, "low": -0.02, "high": 0.0},
           "sensitivity": {"value": -0.16, "low": -0.3, "high": high}}
    (finished_run / "robustness.json").write_text(json.dumps({"perturbations": [row]}))
    assert ("Sensitivity: −16.0" in told(finished_run)) is is_said
