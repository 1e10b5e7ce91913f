import json

import numpy as np
import pytest

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.evaluation.calibration import Temperature
from pneumo_tf.evaluation.dossier import dossier
from pneumo_tf.evaluation.metrics import evaluate

WORTH = {"calibration", "decision_curve", "predictive_values", "shortcuts"}


def cohort_of(scores):
    return Cohort(tuple(Radiograph(name, scores.classes[label], split="test")
                        for name, label in zip(scores.ids, scores.labels, strict=True)))


def dossier_of(scores, threshold):
    return dossier({"validation": scores, "test": scores}, threshold, temperature=Temperature(2.0),
                   cohort=cohort_of(scores), resamples=20)


def test_the_temperature_touches_only_what_calls_itself_calibrated(noisy):
    scores = noisy(200)
    found = dossier_of(scores, 0.4)
    plain = evaluate(scores, 0.4, resamples=20)
    assert found["validation"] == plain
    assert {key: value for key, value in found["test"].items() if key not in WORTH} == plain
    before, after = (found["test"]["calibration"][stage]["figures"]["slope"] for stage in ("before", "after"))
    assert after["value"] == pytest.approx(2 * before["value"], rel=1e-4)


def test_several_classes_have_their_figures_and_nothing_made_for_two(three_classes):
    found = dossier_of(three_classes, None)
    assert not WORTH & set(found["test"])
    assert found["test"]["per_class"]


def test_a_test_split_of_one_class_crashes_nothing(scores_of):
    found = dossier_of(scores_of([1, 1, 1], [0.9, 0.8, 0.2]), 0.5)
    assert found["test"]["shortcuts"]["why"] == "one_class_only"
    assert found["test"]["predictive_values"][0]["ppv"] is None
    assert np.isfinite(found["test"]["decision_curve"]["network"]).all()
    json.dumps(found, allow_nan=False)
