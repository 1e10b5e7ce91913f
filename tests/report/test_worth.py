import json

from pneumo_tf.report.language import language
from pneumo_tf.report.page import write_report
from pneumo_tf.report.worth import content
from pneumo_tf.runs.folder import read_run


def shown(run, code="en"):
    (run / "figures").mkdir(exist_ok=True)
    return content(read_run(run), language(code))


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
    rows = shown(finished_run)["predictive_rows"]
    assert [row[0] for row in rows] == ["1%", "5%", "10%", "30%"]
    ppv = metrics["test"]["predictive_values"][0]["ppv"]
    assert rows[0][1] == (f"{ppv['value']:.1%}", f"{ppv['low']:.1%} to {ppv['high']:.1%}")


def test_older_runs_have_predictive_values_without_intervals(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    metrics["test"]["predictive_values"] = [{"prevalence": 0.05, "ppv": None, "npv": 0.9876},
                                            {"prevalence": 0.01, "ppv": 1.0, "npv": 0.99996}]
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    assert shown(finished_run, "es")["predictive_rows"] == [
        ["5\u00a0%", ("–", ""), ("98,8\u00a0%", "")],
        ["1\u00a0%", ("100,0\u00a0%", ""), ("> 99,9\u00a0%", "")]]


def test_the_decision_curve_can_be_read_aloud(finished_run):
    curve = json.loads((finished_run / "metrics.json").read_text())["test"]["decision_curve"]
    assert f"acting from 0.10 on: network {curve['network'][5]:.3f}, all positive {curve['all'][5]:.3f}" \
        in shown(finished_run)["benefit_alt"]


def test_a_named_prevalence_keeps_its_decimals(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    metrics["test"]["predictive_values"] = [{"prevalence": share, "ppv": None, "npv": None}
                                            for share in (0.025, 0.3, 0.0005)]
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    assert [row[0] for row in shown(finished_run)["predictive_rows"]] == ["2.5%", "30%", "0.05%"]


def test_the_band_is_drawn_where_the_run_has_one(finished_run):
    assert shown(finished_run)["has_band"]
    metrics = json.loads((finished_run / "metrics.json").read_text())
    banded = shown(finished_run)["benefit"]
    del metrics["test"]["decision_curve"]["low"], metrics["test"]["decision_curve"]["high"]
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    plain = shown(finished_run)
    assert not plain["has_band"]
    assert len(plain["benefit"]) < len(banded)
