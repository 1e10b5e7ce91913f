import json

import pytest

from pneumo_tf.report.calibration import content
from pneumo_tf.report.facts import rule
from pneumo_tf.report.language import language
from pneumo_tf.report.page import write_report
from pneumo_tf.runs.folder import read_run

LINE = {"method": "platt", "films": 539, "lines": [{"intercept": 0.4, "slope": 1.25}]}


def shown(run, code="en"):
    (run / "figures").mkdir(exist_ok=True)
    return content(read_run(run), language(code))


def metrics_of(run):
    return json.loads((run / "metrics.json").read_text())


def test_calibration_is_told_before_and_after(finished_run):
    found = metrics_of(finished_run)["test"]["calibration"]
    rows = {row.name: row for row in shown(finished_run)["calibration_rows"]}
    assert list(rows) == ["Log loss", "Brier score", "Expected calibration error", "Calibration slope",
                          "Calibration intercept"]
    brier = found["after"]["figures"]["brier"]
    interval = f"{brier['low']:.3f} to {brier['high']:.3f}"
    assert rows["Brier score"].cells[1] == (f"{brier['value']:.3f}", interval)
    error = found["before"]["figures"]["ece"]
    chance = f"perfect: {error['chance']['low']:.3f} to {error['chance']['high']:.3f}"
    assert rows["Expected calibration error"].cells[0] == (f"{error['value']:.3f}", chance)


@pytest.mark.parametrize(("temperature", "said"), [
    (1.7, "Temperature 1.70, fitted on 539 films, those of the operating point, by least log loss: above 1"),
    (0.65, "below 1, so the scores there were too timid"), (1.001, "the scores needed no change")])
def test_the_temperature_is_explained(finished_run, changed, temperature, said):
    changed(finished_run, calibration={"temperature": temperature, "films": 539})
    assert said in shown(finished_run)["calibrator"]


def test_platts_line_is_written_out(finished_run, changed):
    changed(finished_run, calibration=LINE)
    assert "fitted on 539 films" in shown(finished_run)["calibrator"]
    assert "1.25 times that of the score, plus 0.40" in shown(finished_run)["calibrator"]
    assert "1,25 veces" in shown(finished_run, "es")["calibrator"]


def test_the_isotonic_curve_is_named(finished_run, changed):
    changed(finished_run, calibration={"method": "isotonic", "films": 539, "curves": []})
    assert shown(finished_run)["calibrator"].startswith("A rising curve (isotonic regression), fitted on 539")


@pytest.mark.parametrize("fitted", [{"method": "none", "films": 12},
                                    {"method": "platt", "films": 12, "why": "reversed", "lines": []}])
def test_scores_that_stay_are_shown_once(finished_run, changed, fitted):
    changed(finished_run, calibration=fitted)
    found = shown(finished_run)
    assert found["calibration_stages"] == ["as the model gives it"]
    assert {len(row.cells) for row in found["calibration_rows"]} == {1}


def test_what_could_not_be_fitted_says_why(finished_run, changed):
    changed(finished_run, calibration={"method": "temperature", "temperature": 1.0, "films": 12,
                                       "why": "separated"})
    assert "without a single error" in shown(finished_run)["calibrator"]
    assert "sin un solo error" in shown(finished_run, "es")["calibrator"]


def losses(**values):
    return {"films": 539, "patients": 396, "folds": 10,
            "log_loss": {name: {"value": value, "low": value / 2, "high": 2 * value}
                         for name, value in values.items()}}


def test_the_calibrators_are_compared_on_validation_best_first(finished_run):
    metrics = metrics_of(finished_run)
    metrics["validation"]["calibrators"] = losses(temperature=0.108, platt=0.08, isotonic=0.09, none=0.113)
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    found = shown(finished_run)
    assert found["compared_rows"][0] == ("Platt's line", False, "0.080", "0.040 to 0.160")
    assert [name for name, is_used, *_ in found["compared_rows"] if is_used] == ["temperature"]
    assert found["compared_best"] == \
        "The best of these, by however little, can be had with --calibration platt."
    assert "539 films of 396 patients" in found["compared_lead"]
    assert "The test films have no say here." in write_report(finished_run).read_text(encoding="utf-8")


def test_a_calibrator_that_did_best_is_not_recommended_again(finished_run):
    metrics = metrics_of(finished_run)
    metrics["validation"]["calibrators"] = losses(temperature=0.07, platt=0.08, isotonic=0.09, none=0.113)
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    assert shown(finished_run)["compared_best"] == ""


def test_without_a_comparison_none_is_shown(finished_run):
    assert shown(finished_run)["compared_rows"] == []
    assert "Other ways to calibrate" not in write_report(finished_run).read_text(encoding="utf-8")


def test_several_classes_are_judged_by_the_class_that_they_are_called(run_of):
    run = run_of(classes=("A", "B", "C"))
    rows = shown(run)["calibration_rows"]
    assert [row.name for row in rows] == ["Log loss", "Brier score", "Expected calibration error"]
    assert "2 the worst" in rows[1].means
    text = write_report(run).read_text(encoding="utf-8")
    assert "sorted by their highest score into 15 groups" in text
    assert "share of films called rightly" in text  # an axis of the figure


@pytest.mark.parametrize(("name", "code", "said"), [
    ("youden", "en", "Youden: the highest sensitivity + specificity"),
    ("sensitivity>=0.95", "en", "the highest specificity at the sensitivity asked for (sensitivity>=0.95)"),
    ("specificity>=0.9", "es", "la mayor sensibilidad con la especificidad pedida (specificity>=0.9)"),
    ("cost=10", "en", "the least cost, where a missed film is as bad as 10 false alarms"),
    ("cost=2.5@0.02", "es", "el menor coste, si pasar por alto una radiografía es tan grave como 2,5 falsas "
                            "alarmas y son positivas 2 de cada 100"),
    ("by the stars", "en", "by the stars")])
def test_every_rule_of_the_operating_point_has_its_words(finished_run, changed, name, code, said):
    changed(finished_run, operating_point={"rule": name, "threshold": 0.5})
    assert rule(read_run(finished_run), language(code)) == said
