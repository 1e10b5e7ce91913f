import json

import pytest

from pneumo_tf.report.language import language
from pneumo_tf.report.page import write_report
from pneumo_tf.report.run_folder import read_run
from pneumo_tf.report.worth import content


def shown(run, code="en"):
    (run / "figures").mkdir(exist_ok=True)
    return content(read_run(run), language(code))


def test_calibration_is_told_before_and_after_the_temperature(finished_run):
    found = json.loads((finished_run / "metrics.json").read_text())["test"]["calibration"]
    rows = {row.name: row for row in shown(finished_run)["calibration_rows"]}
    assert set(rows) == {"Brier score", "Expected calibration error", "Calibration slope",
                         "Calibration intercept"}
    brier = found["after"]["figures"]["brier"]
    interval = f"{brier['low']:.3f} to {brier['high']:.3f}"
    assert rows["Brier score"].after == (f"{brier['value']:.3f}", interval)
    error = found["before"]["figures"]["ece"]["value"]
    assert rows["Expected calibration error"].before == (f"{error:.3f}", "")


@pytest.mark.parametrize(("temperature", "said"), [
    (1.7, "Temperature 1.70, fitted on 539 films, those of the operating point, by least log loss: above 1"),
    (0.65, "below 1, so the scores there were too timid"), (1.001, "the scores needed no change")])
def test_the_temperature_is_explained(finished_run, changed, temperature, said):
    changed(finished_run, calibration={"temperature": temperature, "films": 539})
    assert said in shown(finished_run)["temperature"]


def test_a_temperature_that_could_not_be_fitted_says_why(finished_run, changed):
    changed(finished_run, calibration={"temperature": 1.0, "films": 12, "why": "separated"})
    assert "without a single error" in shown(finished_run)["temperature"]
    assert "sin un solo error" in shown(finished_run, "es")["temperature"]


def test_several_classes_and_older_runs_say_that_there_is_nothing(run_of, finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    del metrics["test"]["calibration"]
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    assert "The run has no record of this." in write_report(finished_run).read_text(encoding="utf-8")
    several = run_of(classes=("A", "B", "C"))
    assert "computed for two classes only" in write_report(several).read_text(encoding="utf-8")


def test_the_file_facts_stand_below_the_network_best_first(finished_run):
    found = json.loads((finished_run / "metrics.json").read_text())["test"]
    rows = shown(finished_run)["shortcut_rows"]
    assert rows[0].name == "the network, from the picture"
    assert rows[0].test == f"{found['figures']['auc']['value']:.3f}"
    assert [row.test for row in rows[1:]] == sorted((row.test for row in rows[1:]), reverse=True)
    assert {"JPEG quality", "file size in bytes", "all file facts together"} < {row.name for row in rows}


def test_unknown_files_are_admitted(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    metrics["test"]["shortcuts"] = {"baselines": [], "why": "no_facts"}
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    assert "Nothing is known about the original files" in \
        write_report(finished_run).read_text(encoding="utf-8")


def test_predictive_values_are_told_for_rarer_disease(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    assert [row[0] for row in shown(finished_run)["predictive_rows"]] == ["1%", "5%", "10%", "30%"]
    metrics["test"]["predictive_values"] = [{"prevalence": 0.05, "ppv": None, "npv": 0.9876},
                                            {"prevalence": 0.01, "ppv": 1.0, "npv": 0.99996}]
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    assert shown(finished_run, "es")["predictive_rows"] == [
        ["5\u00a0%", "–", "98,8\u00a0%"], ["1\u00a0%", "100,0\u00a0%", "> 99,9\u00a0%"]]


def test_the_decision_curve_can_be_read_aloud(finished_run):
    curve = json.loads((finished_run / "metrics.json").read_text())["test"]["decision_curve"]
    assert f"acting from 0.10 on: network {curve['network'][5]:.3f}, all positive {curve['all'][5]:.3f}" \
        in shown(finished_run)["benefit_alt"]
