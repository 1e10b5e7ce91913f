import json

import numpy as np
import pytest

from pneumo_tf.evaluation.calibration import choice
from pneumo_tf.evaluation.calibration.choice import (
    METHODS,
    choose_calibrator,
    cross_fitted,
    fit_calibrator,
    read_calibrator,
)


def test_no_patient_is_judged_by_what_was_fitted_on_it(noisy, monkeypatch):
    scores = noisy(120, films_per_patient=3)
    seen = []

    def watch(method, validation):
        seen.append(set(validation.groups))
        return fit_calibrator(method, validation)

    monkeypatch.setattr(choice, "fit_calibrator", watch)
    cross_fitted(scores, resamples=20)
    everyone = set(scores.groups)
    assert len(seen) == 10 * len(METHODS)
    for method in range(len(METHODS)):
        left_out = [everyone - fitted for fitted in seen[10 * method:10 * method + 10]]
        assert sum(map(len, left_out)) == len(everyone) == len(set().union(*left_out))


def test_without_a_calibrator_it_is_the_plain_log_loss(noisy):
    found = cross_fitted(noisy(150), resamples=50)
    assert found["log_loss"]["none"]["value"] == pytest.approx(noisy(150).log_losses.mean())
    assert (found["films"], found["patients"], found["folds"]) == (150, 150, 10)


def test_scores_that_lie_too_high_are_mended_by_a_line_and_not_by_a_temperature(honest, sharpened):
    losses = cross_fitted(sharpened(honest, 1.0, 1.5), resamples=50)["log_loss"]
    assert set(losses) == set(METHODS)
    assert losses["platt"]["high"] < losses["temperature"]["low"]
    assert losses["platt"]["value"] == pytest.approx(honest.log_losses.mean(), abs=0.002)


def test_a_curve_that_copies_chance_is_found_out(noisy):
    scores = noisy(60)
    own = fit_calibrator("isotonic", scores).apply(scores).log_losses.mean()
    losses = cross_fitted(scores, resamples=20)["log_loss"]
    assert losses["isotonic"]["value"] > own + 0.05


def test_several_classes_are_compared_too(three_classes):
    losses = cross_fitted(three_classes, resamples=20)["log_loss"]
    assert all(np.isfinite(figure["value"]) for figure in losses.values())


@pytest.mark.parametrize(("labels", "patients"), [([0, 0, 1, 1], ["a", "b", "c", "c"]),
                                                  ([1, 1, 1], ["a", "b", "c"])])
def test_too_few_patients_of_a_class_are_said(scores_of, labels, patients):
    found = cross_fitted(scores_of(labels, [0.1, 0.4, 0.6, 0.9][:len(labels)], patients=patients))
    assert (found["log_loss"], found["why"]) == ({}, "few_patients")
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("method", METHODS[:-1])
@pytest.mark.parametrize(("with_it", "is_used"), [(0.29, True), (0.3, False), (0.31, False)])
def test_a_calibrator_that_helps_no_stranger_is_not_used_but_told(noisy, method, with_it, is_used):
    scores = noisy(200)
    compared = {"log_loss": {method: {"value": with_it}, "none": {"value": 0.3}}}
    fitted, chosen = fit_calibrator(method, scores), choose_calibrator(method, scores, compared)
    record = json.loads(json.dumps(chosen.to_json()))
    if is_used:
        assert chosen == fitted
    else:
        assert (record["method"], record["why"], record["films"]) == ("none", "worse", 200)
        assert record["tried"] == json.loads(json.dumps(fitted.to_json()))
        assert chosen.apply(scores) is scores
    assert json.loads(json.dumps(read_calibrator(record).to_json())) == record


def test_a_curve_that_copied_chance_is_not_used(honest):
    scores = honest.take(np.arange(60))
    compared = cross_fitted(scores, resamples=20)
    assert choose_calibrator("isotonic", scores, compared).why == "worse"
    assert choose_calibrator("none", scores, compared).why == ""


def test_where_nothing_could_be_compared_the_named_one_stays(noisy):
    scores = noisy(60)
    assert choose_calibrator("platt", scores, {"log_loss": {}}) == fit_calibrator("platt", scores)
