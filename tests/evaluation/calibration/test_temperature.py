from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss

from pneumo_tf.evaluation.calibration.calibrators import Temperature


@pytest.mark.parametrize("factor", [0.5, 1, 3])
def test_the_temperature_undoes_what_made_the_scores_too_sure_or_too_timid(honest, sharpened, factor):
    found = Temperature.fit(sharpened(honest, factor))
    assert found.temperature == pytest.approx(factor, rel=0.08)
    mended = found.apply(sharpened(honest, factor))
    assert np.abs(mended.values - honest.values).max() < 0.03


def test_no_other_temperature_has_a_lower_log_loss(honest, sharpened, three_classes):
    for scores in (sharpened(honest, 2), three_classes):
        best = Temperature.fit(scores)
        losses = [log_loss(scores.labels, Temperature(best.temperature * factor).apply(scores).values)
                  for factor in (0.9, 0.99, 1, 1.01, 1.1)]
        assert np.argmin(losses) == 2


def test_a_temperature_of_1_changes_nothing_and_any_keeps_the_order(honest, three_classes):
    for scores in (honest, three_classes):
        np.testing.assert_allclose(Temperature(1.0).apply(scores).values, scores.values, atol=1e-6)
    hot = Temperature(4.0).apply(three_classes).values
    assert (hot.argmax(axis=1) == three_classes.values.argmax(axis=1)).all()
    np.testing.assert_allclose(hot.sum(axis=1), 1)


def test_scores_of_exactly_0_and_1_stay_numbers(scores_of):
    scores = scores_of([0, 1, 0, 1], [0.0, 1.0, 1.0, 0.0])
    assert np.isfinite(Temperature.fit(scores).apply(scores).values).all()


@pytest.mark.parametrize(("labels", "scores", "why"), [
    ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], "separated"), ([1, 1, 1], [0.1, 0.2, 0.8], "one_class_only"),
    ([0, 1, 1], [0.5, 0.5, 0.5], "tied_scores")])
def test_where_nothing_can_be_fitted_the_scores_stay_and_the_record_says_why(scores_of, labels, scores, why):
    found = Temperature.fit(scores_of(labels, scores))
    assert found.to_json() == {"method": "temperature", "temperature": 1.0, "fitted_on": "validation",
                               "films": len(labels), "why": why}


def test_the_positive_may_come_first(honest):
    mirrored = replace(honest, positive="NORMAL", values=honest.values[:, ::-1], labels=1 - honest.labels)
    assert Temperature.fit(mirrored).temperature == pytest.approx(Temperature.fit(honest).temperature)
    applied = Temperature(2.0).apply(mirrored).values
    np.testing.assert_allclose(applied[:, ::-1], Temperature(2.0).apply(honest).values)
