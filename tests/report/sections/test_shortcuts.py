import json

from pneumo_tf.report.page import write_report
from pneumo_tf.report.sections.shortcuts import content
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import read_run


def shown(run, code="en"):
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
    rows = shown(finished_run)["rows"]
    assert rows[0]["name"] == "the network, from the picture"
    assert rows[0]["test"] == f"{found['figures']['auc']['value']:.3f}"
    assert [row["test"] for row in rows[1:]] == sorted((row["test"] for row in rows[1:]), reverse=True)
    assert {"JPEG quality", "file size in bytes", "all file facts together"} < {row["name"] for row in rows}


def test_unknown_files_are_admitted(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    metrics["test"]["shortcuts"] = {"baselines": [], "why": "no_facts"}
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    assert "Nothing is known about the original files" in \
        write_report(finished_run).read_text(encoding="utf-8")
