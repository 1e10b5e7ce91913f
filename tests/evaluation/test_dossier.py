import json

import numpy as np
import pytest

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.evaluation.calibration.calibrators import Temperature
from pneumo_tf.evaluation.dossier import dossier
from pneumo_tf.evaluation.metrics import evaluate

FOR_TWO = {"decision_curve", "predictive_values", "shortcuts"}
WORTH = {"calibration", *FOR_TWO}
WHERE = {"errors", "subgroups"}


def cohort_of(scores):
    return Cohort(tuple(Radiograph(name, scores.classes[label], split="test")
                        for name, label in zip(scores.ids, scores.labels, strict=True)))


def dossier_of(scores, threshold):
    return dossier({"validation": scores, "test": scores}, threshold, calibrator=Temperature(2.0),
                   cohort=cohort_of(scores), resamples=20)


def test_the_temperature_touches_only_what_calls_itself_calibrated(noisy):
    scores = noisy(200)
    found = dossier_of(scores, 0.4)
    plain = evaluate(scores, 0.4, resamples=20)
    assert {key: value for key, value in found["validation"].items() if key != "resampling"} == plain
    assert {key: value for key, value in found["test"].items() if key not in WORTH | WHERE} == plain
    before, after = (found["test"]["calibration"][stage]["figures"]["slope"] for stage in ("before", "after"))
    assert after["value"] == pytest.approx(2 * before["value"], rel=1e-4)


def test_several_classes_have_their_figures_and_nothing_made_for_two(three_classes):
    found = dossier_of(three_classes, None)
    assert not FOR_TWO & set(found["test"])
    assert found["test"]["per_class"]


def test_a_test_split_of_one_class_crashes_nothing(scores_of):
    found = dossier_of(scores_of([1, 1, 1], [0.9, 0.8, 0.2]), 0.5)
    assert found["test"]["shortcuts"]["why"] == "one_class_only"
    assert found["test"]["predictive_values"][0]["ppv"]["value"] is None
    assert np.isfinite(found["test"]["decision_curve"]["network"]).all()
    json.dumps(found, allow_nan=False)


def test_every_kind_of_scores_says_where_it_errs(noisy, three_classes):
    for scores, threshold in ((noisy(200), 0.4), (three_classes, None)):
        found = dossier_of(scores, threshold)
        assert set(found["test"]) > WHERE
        assert found["validation"]["resampling"]["drawn"] == len(scores.ids)
        assert found["doubts"]["films"] == {"validation": len(scores.ids), "test": len(scores.ids)}


def test_training_films_are_doubted_only_by_scores_of_strangers(noisy):
    scores = noisy(100)
    found = dossier({"train": scores, "validation": scores, "test": scores}, 0.5, held_out=noisy(30, seed=5),
                    calibrator=Temperature(), cohort=cohort_of(scores), resamples=20)
    assert found["doubts"]["films"] == {"validation": 100, "test": 100, "train": 30}


def test_pixels_are_shortcuts_too(noisy):
    scores = noisy(80)
    films = tuple(Radiograph(film.id, film.label, split=("train", "test")[row % 2])
                  for row, film in enumerate(cohort_of(scores)))
    cohort = Cohort(films)
    pictures = (np.full((8, 8), 40 + 100 * (film.label == "PNEUMONIA"), np.uint8) for film in cohort)
    found = dossier({"validation": scores, "test": scores}, 0.5, calibrator=Temperature(), cohort=cohort,
                    films=pictures, resamples=20)
    values = {baseline["name"]: baseline["value"] for baseline in found["test"]["shortcuts"]["baselines"]}
    assert values["brightness"] == 1
