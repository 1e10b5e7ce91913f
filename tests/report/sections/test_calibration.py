import json

import pytest

from pneumo_tf.report.page import write_report
from pneumo_tf.report.sections.calibration import benefit, calibration
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import read_run

LINE = {"method": "platt", "films": 539, "lines": [{"intercept": 0.4, "slope": 1.25}]}


def shown(run, code="en"):
    (run / "figures").mkdir(exist_ok=True)
    return calibration(read_run(run), language(code))


def decided(run, code="en"):
    (run / "figures").mkdir(exist_ok=True)
    return benefit(read_run(run), language(code))


def metrics_of(run):
    return json.loads((run / "metrics.json").read_text())


def test_calibration_is_told_before_and_after(finished_run):
    found = metrics_of(finished_run)["test"]["calibration"]
    rows = {name: cells for name, _, cells in shown(finished_run)["rows"]}
    assert list(rows) == ["Log loss", "Brier score", "Expected calibration error", "Calibration slope",
                          "Calibration intercept"]
    brier = found["after"]["figures"]["brier"]
    interval = f"{brier['low']:.3f} to {brier['high']:.3f}"
    assert rows["Brier score"][1] == (f"{brier['value']:.3f}", interval)
    error = found["before"]["figures"]["ece"]
    chance = f"perfect: {error['chance']['low']:.3f} to {error['chance']['high']:.3f}"
    assert rows["Expected calibration error"][0] == (f"{error['value']:.3f}", chance)


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
    assert found["stages"] == ["as the model gives it"]
    assert {len(cells) for _, _, cells in found["rows"]} == {1}


def test_what_could_not_be_fitted_says_why(finished_run, changed):
    changed(finished_run, calibration={"method": "temperature", "temperature": 1.0, "films": 12,
                                       "why": "separated"})
    assert "without a single error" in shown(finished_run)["calibrator"]
    assert "sin un solo error" in shown(finished_run, "es")["calibrator"]


def losses(**values):
    return {"films": 539, "patients": 396, "folds": 10,
            "log_loss": {name: {"value": value, "low": value / 2, "high": 2 * value}
                         for name, value in values.items()}}


def test_what_made_the_log_loss_no_lower_is_not_applied_and_said_so(finished_run, changed):
    metrics = metrics_of(finished_run)
    metrics["validation"]["calibrators"] = losses(temperature=0.12, platt=0.11, none=0.11)
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    changed(finished_run, calibration={"method": "none", "films": 539, "why": "worse",
                                       "tried": {"method": "temperature", "temperature": 0.5}})
    found = shown(finished_run)
    assert found["stages"] == ["as the model gives it"]
    assert "(temperature) isn't applied" in found["calibrator"]
    assert "no lower (0.120, without it 0.110)" in found["calibrator"]
    assert "(temperatura) no se aplica" in shown(finished_run, "es")["calibrator"]
    assert [name for name, is_used, *_ in found["compared_rows"] if is_used] == ["nothing"]
    assert found["compared_best"] == ""  # another is as good, not better


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
    rows = shown(run)["rows"]
    assert [name for name, _, _ in rows] == ["Log loss", "Brier score", "Expected calibration error"]
    assert "2 the worst" in rows[1][1]
    text = write_report(run).read_text(encoding="utf-8")
    assert "Films in 15 groups by their highest score" in text
    assert "share of films called rightly" in text  # an axis of the figure


def test_predictive_values_are_told_for_rarer_disease(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    rows = decided(finished_run)["rows"]
    assert [row[0] for row in rows] == ["1%", "5%", "10%", "30%"]
    ppv = metrics["test"]["predictive_values"][0]["ppv"]
    assert rows[0][1] == (f"{ppv['value']:.1%}", f"{ppv['low']:.1%} to {ppv['high']:.1%}")


def test_older_runs_have_predictive_values_without_intervals(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    metrics["test"]["predictive_values"] = [{"prevalence": 0.05, "ppv": None, "npv": 0.9876},
                                            {"prevalence": 0.01, "ppv": 1.0, "npv": 0.99996}]
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    assert decided(finished_run, "es")["rows"] == [
        ("5\u00a0%", ("–", ""), ("98,8\u00a0%", "")),
        ("1\u00a0%", ("100,0\u00a0%", ""), ("> 99,9\u00a0%", ""))]


def test_the_decision_curve_can_be_read_aloud(finished_run):
    curve = json.loads((finished_run / "metrics.json").read_text())["test"]["decision_curve"]
    assert f"acting from 0.10 on: network {curve['network'][5]:.3f}, all positive {curve['all'][5]:.3f}" \
        in decided(finished_run)["alt"]


def test_a_named_prevalence_keeps_its_decimals(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    metrics["test"]["predictive_values"] = [{"prevalence": share, "ppv": None, "npv": None}
                                            for share in (0.025, 0.3, 0.0005)]
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    assert [row[0] for row in decided(finished_run)["rows"]] == ["2.5%", "30%", "0.05%"]


def test_the_band_is_drawn_and_said_where_the_run_has_one(finished_run):
    said = "Band: 95% interval"
    banded = decided(finished_run)
    assert said in banded["lead"]
    metrics = metrics_of(finished_run)
    del metrics["test"]["decision_curve"]["low"], metrics["test"]["decision_curve"]["high"]
    (finished_run / "metrics.json").write_text(json.dumps(metrics))
    plain = decided(finished_run)
    assert said not in plain["lead"]
    assert len(plain["chart"]) < len(banded["chart"])
