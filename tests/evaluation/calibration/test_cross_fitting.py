import json

import numpy as np
import pytest

from pneumo_tf.evaluation.calibration import cross_fitting
from pneumo_tf.evaluation.calibration.calibrators import METHODS, fit_calibrator
from pneumo_tf.evaluation.calibration.cross_fitting import cross_fitted
from pneumo_tf.evaluation.calibration.logits import log_losses


def test_no_patient_is_judged_by_what_was_fitted_on_it(noisy, monkeypatch):
    scores = noisy(120, films_per_patient=3)
    seen = []

    def watch(method, validation):
        seen.append(set(validation.groups))
        return fit_calibrator(method, validation)

    monkeypatch.setattr(cross_fitting, "fit_calibrator", watch)
    cross_fitted(scores, resamples=20)
    everyone = set(scores.groups)
    assert len(seen) == 10 * len(METHODS)
    for method in range(len(METHODS)):
        left_out = [everyone - fitted for fitted in seen[10 * method:10 * method + 10]]
        assert sum(map(len, left_out)) == len(everyone) == len(set().union(*left_out))


def test_without_a_calibrator_it_is_the_plain_log_loss(noisy):
    found = cross_fitted(noisy(150), resamples=50)
    assert found["log_loss"]["none"]["value"] == pytest.approx(log_losses(noisy(150)).mean())
    assert (found["films"], found["patients"], found["folds"]) == (150, 150, 10)


def test_scores_that_lie_too_high_are_mended_by_a_line_and_not_by_a_temperature(honest, sharpened):
    losses = cross_fitted(sharpened(honest, 1.0, 1.5), resamples=50)["log_loss"]
    assert set(losses) == set(METHODS)
    assert losses["platt"]["high"] < losses["temperature"]["low"]
    assert losses["platt"]["value"] == pytest.approx(log_losses(honest).mean(), abs=0.002)


def test_a_curve_that_copies_chance_is_found_out(noisy):
    scores = noisy(60)
    own = log_losses(fit_calibrator("isotonic", scores).apply(scores)).mean()
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
