import json
from dataclasses import replace

import numpy as np
import pytest

from pneumo_tf.evaluation.doubts import label_doubts


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
