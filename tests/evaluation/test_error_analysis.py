import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss

from pneumo_tf.evaluation.error_analysis import error_analysis, label_doubts, most_confused


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
    found = error_analysis(scores, scores, 0.5)["top_losses"]
    assert len(found) == 20
    assert np.mean([film["loss"] for film in found]) == pytest.approx(
        log_loss(scores.labels, scores.positive_scores))
    assert [film["loss"] for film in found] == sorted((film["loss"] for film in found), reverse=True)


def test_each_film_tells_what_it_is_what_was_said_and_how_sure(scores_of):
    scores = scores_of([1, 0, 1], [0.1, 0.2, 0.9])
    first = error_analysis(scores, scores, 0.5)["top_losses"][0]
    assert first == {"id": "film-0", "actual": "PNEUMONIA", "predicted": "NORMAL", "score": 0.1,
                     "loss": pytest.approx(-np.log(0.1)), "probability": pytest.approx(0.1)}


def test_the_rarer_kind_of_error_is_never_crowded_out(scores_of):
    scores = scores_of([1] * 100 + [0] * 60, [0.01] * 100 + [0.6] * 3 + [0.1] * 57)
    found = error_analysis(scores, scores, 0.5)
    alarms = [film for film in found["top_losses"] if film["predicted"] == "PNEUMONIA"]
    assert len(alarms) == 3
    assert len(found["top_losses"]) == 25 + 3
    assert (found["wrong"], found["films"]) == (103, 160)


def test_a_calibrated_zero_stays_a_number(scores_of):
    scores, probabilities = scores_of([1, 0], [0.3, 0.4]), scores_of([1, 0], [0.0, 1.0])
    found = error_analysis(scores, probabilities, 0.5)
    assert max(film["loss"] for film in found["top_losses"]) == pytest.approx(-np.log(1e-7))
    json.dumps(found, allow_nan=False)


def test_several_classes_show_the_score_of_what_was_said(three_classes):
    found = error_analysis(three_classes, three_classes, None)
    row = list(three_classes.ids).index(found["top_losses"][0]["id"])
    assert found["top_losses"][0]["score"] == pytest.approx(three_classes.values[row].max())
    assert {film["actual"] for film in found["top_losses"] if film["actual"] != film["predicted"]} == set(
        three_classes.classes)


@pytest.fixture
def mislabelled(scores_of):
    """300 films told apart almost surely, of which rows 10, 20 and 200 carry the other label."""
    generator = np.random.default_rng(1)
    truth = np.repeat([0, 1], 150)
    scores = scores_of(truth, np.clip(generator.normal(0.08 + 0.84 * truth, 0.04), 0.001, 0.999))
    labels = truth.copy()
    labels[[10, 20, 200]] = 1 - labels[[10, 20, 200]]
    return replace(scores, labels=labels)


def test_wrong_labels_are_found_with_what_they_may_be(mislabelled):
    found = label_doubts({"test": mislabelled})
    assert {film["id"] for film in found["found"]} == {"film-10", "film-20", "film-200"}
    by_id = {film["id"]: film for film in found["found"]}
    assert (by_id["film-200"]["label"], by_id["film-200"]["suggested"]) == ("NORMAL", "PNEUMONIA")
    assert all(film["probability"] > 0.8 > 0.2 > film["quality"] for film in found["found"])
    assert found["doubtful"] == {"test": 3}


def test_the_most_doubtful_comes_first(mislabelled):
    qualities = [film["quality"] for film in label_doubts({"test": mislabelled})["found"]]
    assert qualities == sorted(qualities)


def test_films_keep_the_split_they_came_from(mislabelled):
    def part(rows):
        return replace(mislabelled, ids=[mislabelled.ids[row] for row in rows],
                       labels=mislabelled.labels[rows], values=mislabelled.values[rows],
                       patients=mislabelled.patients[rows])

    found = label_doubts({"validation": part(range(0, 300, 2)), "train": part(range(1, 300, 2))})
    assert found["films"] == {"validation": 150, "train": 150}
    assert {film["id"]: film["split"] for film in found["found"]} == {
        "film-10": "validation", "film-20": "validation", "film-200": "validation"}


def test_films_told_apart_without_error_give_no_doubt(scores_of):
    found = label_doubts({"test": scores_of([0] * 20 + [1] * 20, [0.1] * 20 + [0.9] * 20)})
    assert (found["found"], found["doubtful"]) == ([], {})
    json.dumps(found, allow_nan=False)


def test_one_class_alone_can_not_be_doubted(scores_of):
    assert label_doubts({"test": scores_of([1, 1], [0.2, 0.9])})["why"] == "missing_class"


def test_several_classes(three_classes):
    found = label_doubts({"test": three_classes})["found"]
    assert 0 < len(found) < 100
    assert all(film["label"] != film["suggested"] for film in found)
