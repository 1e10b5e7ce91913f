import json

import numpy as np
import pytest
from sklearn.metrics import log_loss

from pneumo_tf.evaluation.losses import errors, most_confused


def test_pairs_come_by_how_often_they_are_confused():
    matrix = [[50, 3, 7], [1, 40, 0], [7, 2, 30]]
    assert most_confused(matrix, ["a", "b", "c"]) == [
        ("a", "c", 7), ("c", "a", 7), ("a", "b", 3), ("c", "b", 2), ("b", "a", 1)]
    assert most_confused(matrix, ["a", "b", "c"], min_val=3) == [("a", "c", 7), ("c", "a", 7), ("a", "b", 3)]
    assert most_confused([[5, 0], [0, 5]], ["a", "b"], min_val=0) == []


def test_the_tutorials_matrix():
    assert most_confused([[401, 4], [32, 418]], ["NORMAL", "PNEUMONIA"], min_val=5) == [
        ("PNEUMONIA", "NORMAL", 32)]


def test_the_losses_average_to_scikit_learns(noisy):
    scores = noisy(20)
    found = errors(scores, scores, 0.5)["top_losses"]
    assert len(found) == 20
    assert np.mean([film["loss"] for film in found]) == pytest.approx(
        log_loss(scores.labels, scores.positive_scores))
    assert [film["loss"] for film in found] == sorted((film["loss"] for film in found), reverse=True)


def test_each_film_tells_what_it_is_what_was_said_and_how_sure(scores_of):
    scores = scores_of([1, 0, 1], [0.1, 0.2, 0.9])
    first = errors(scores, scores, 0.5)["top_losses"][0]
    assert first == {"id": "film-0", "actual": "PNEUMONIA", "predicted": "NORMAL", "score": 0.1,
                     "loss": pytest.approx(-np.log(0.1)), "probability": pytest.approx(0.1)}


def test_the_rarer_kind_of_error_is_never_crowded_out(scores_of):
    scores = scores_of([1] * 100 + [0] * 60, [0.01] * 100 + [0.6] * 3 + [0.1] * 57)
    found = errors(scores, scores, 0.5)
    alarms = [film for film in found["top_losses"] if film["predicted"] == "PNEUMONIA"]
    assert len(alarms) == 3
    assert len(found["top_losses"]) == 25 + 3
    assert (found["wrong"], found["films"]) == (103, 160)


def test_a_calibrated_zero_stays_a_number(scores_of):
    scores, probabilities = scores_of([1, 0], [0.3, 0.4]), scores_of([1, 0], [0.0, 1.0])
    found = errors(scores, probabilities, 0.5)
    assert max(film["loss"] for film in found["top_losses"]) == pytest.approx(-np.log(1e-7))
    json.dumps(found, allow_nan=False)


def test_several_classes_show_the_score_of_what_was_said(three_classes):
    found = errors(three_classes, three_classes, None)
    row = list(three_classes.ids).index(found["top_losses"][0]["id"])
    assert found["top_losses"][0]["score"] == pytest.approx(three_classes.values[row].max())
    assert {film["actual"] for film in found["top_losses"] if film["actual"] != film["predicted"]} == set(
        three_classes.classes)
