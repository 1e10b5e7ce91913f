import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss

from pneumo_tf.errors import OptionError
from pneumo_tf.evaluation.calibration.calibrators import Uncalibrated
from pneumo_tf.evaluation.calibration.choice import (
    METHODS,
    CalibrationError,
    fit_calibrator,
    read_calibrator,
)


@pytest.mark.parametrize("method", METHODS)
def test_what_run_json_holds_of_a_calibrator_makes_it_anew(method, noisy, three_classes):
    for scores in (noisy(200), three_classes):
        fitted = fit_calibrator(method, scores)
        record = json.loads(json.dumps({**fitted.to_json(), "cross_validated_films": 0}, allow_nan=False))
        read = read_calibrator(record)
        assert read == fitted
        assert (record["method"], record["films"]) == (method, len(scores.ids))
        np.testing.assert_array_equal(read.apply(scores).values, fitted.apply(scores).values)


@pytest.mark.parametrize("method", METHODS)
def test_every_calibrator_gives_probabilities_and_keeps_the_films(method, noisy, three_classes):
    for scores in (noisy(200), three_classes):
        found = fit_calibrator(method, scores).apply(scores)
        np.testing.assert_allclose(found.values.sum(axis=1), 1)
        assert found.values.min() >= 0
        assert replace(found, values=scores.values) == scores


@pytest.mark.parametrize("method", METHODS)
def test_no_calibrator_makes_the_log_loss_of_its_own_films_worse(method, honest, sharpened, three_classes):
    for scores in (sharpened(honest, 3.0, 1.0), three_classes):
        before, after = (part.log_losses.mean()
                         for part in (scores, fit_calibrator(method, scores).apply(scores)))
        assert after <= before + 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_where_nothing_can_be_fitted_the_scores_stay(method, scores_of, three_classes):
    missing = replace(three_classes, labels=np.minimum(three_classes.labels, 1))
    for scores, why in ((scores_of([1, 1, 1], [0.1, 0.2, 0.8]), "one_class_only"),
                        (scores_of([0, 1, 1], [0.3, 0.3, 0.3]), "tied_scores"), (missing, "missing_class")):
        fitted = fit_calibrator(method, scores)
        assert fitted.why == (why if method != "none" else "")
        np.testing.assert_allclose(fitted.apply(scores).values, scores.values, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_positive_may_come_first(method, honest):
    mirrored = replace(honest, positive="NORMAL", values=honest.values[:, ::-1], labels=1 - honest.labels)
    straight, back = (fit_calibrator(method, scores).apply(scores).values for scores in (honest, mirrored))
    np.testing.assert_allclose(back[:, ::-1], straight, atol=1e-5)


def test_the_log_loss_is_scikit_learns(noisy, three_classes):
    for scores in (noisy(200), three_classes):
        values = np.clip(scores.values, 1e-7, 1 - 1e-7)
        assert scores.log_losses.mean() == pytest.approx(log_loss(scores.labels, values), rel=1e-5)


def test_an_older_run_without_a_record_is_left_as_it_is():
    assert read_calibrator(None) == read_calibrator({}) == Uncalibrated()


BROKEN = {
    "an unknown method": {"method": "magic"},
    "no method": {"temperature": 2.0},
    "no temperature": {"method": "temperature"},
    "a temperature of 0": {"method": "temperature", "temperature": 0},
    "a temperature that is text": {"method": "temperature", "temperature": "warm"},
    "a line without a slope": {"method": "platt", "lines": [{"intercept": 1.0}]},
    "corners without partners": {"method": "isotonic", "curves": [{"score": [0, 1], "probability": [0]}]},
    "a curve that runs backwards": {"method": "isotonic",
                                    "curves": [{"score": [1, 0], "probability": [0, 1]}]},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_record_that_is_not_whole_is_refused(name):
    with pytest.raises(CalibrationError, match="must be whole"):
        read_calibrator(BROKEN[name])


def test_an_unknown_method_is_refused(noisy):
    with pytest.raises(OptionError, match=r"'sigmoid'. Choose one of: temperature, platt, isotonic, none\."):
        fit_calibrator("sigmoid", noisy(20))
