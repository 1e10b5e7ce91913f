import numpy as np
import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.evaluation.scores import ScoreError, Scores


def test_a_film_is_positive_where_its_score_reaches_the_threshold(scores_of):
    assert scores_of([0, 0, 1], [0.29, 0.3, 0.31]).predicted(0.3).tolist() == [0, 1, 1]


def test_the_positive_class_may_come_first():
    scores = Scores(("PNEUMONIA", "SANO"), "PNEUMONIA", ("a", "b"), np.array([0, 1]),
                    np.array([[0.8, 0.2], [0.1, 0.9]]), np.array(["", ""]))
    assert scores.predicted(0.5).tolist() == [0, 1]
    assert scores.positive_scores.tolist() == [0.8, 0.1]


def test_several_classes_take_the_highest_score_whatever_the_threshold(three_classes):
    assert (three_classes.predicted(None) == three_classes.values.argmax(axis=1)).all()
    assert (three_classes.predicted(0.99) == three_classes.values.argmax(axis=1)).all()


def test_two_classes_without_a_threshold_are_an_error(scores_of):
    with pytest.raises(OptionError, match="told apart by a threshold"):
        scores_of([0, 1], [0.2, 0.8]).predicted(None)


def test_films_without_a_patient_are_patients_of_their_own(scores_of):
    # The last patient is named as the first film is: that must not join the two.
    scores = scores_of([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.2], patients=["", "", "p1", "film-0"])
    assert len(set(scores.groups)) == 4


def test_films_of_one_patient_share_a_group(scores_of):
    groups = scores_of([0, 1, 1], [0.1, 0.9, 0.8], patients=["a", "b", "b"]).groups
    assert groups[1] == groups[2] != groups[0]


BROKEN = {
    "not a number": ({"values": np.array([[0.5, 0.5], [np.nan, 0.5]])}, "number from 0 to 1"),
    "a logit": ({"values": np.array([[0.5, 0.5], [-3.0, 4.0]])}, "number from 0 to 1"),
    "a missing column": ({"values": np.array([[0.5], [0.5]])}, "one row per film"),
    "a missing label": ({"labels": np.array([0])}, "one row per film"),
    "a missing patient": ({"patients": np.array(["a"])}, "one row per film"),
    "a label without a class": ({"labels": np.array([0, 2])}, "index of a class"),
    "an unknown positive": ({"positive": "COVID"}, "one of the classes"),
    "one class": ({"classes": ("A",), "positive": "A"}, "at least two classes"),
    "no films": ({"ids": (), "labels": np.zeros(0, int), "values": np.zeros((0, 2)),
                  "patients": np.zeros(0, str)}, "one row per film"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_scores_are_refused(name):
    sound = {"classes": ("A", "B"), "positive": "B", "ids": ("1", "2"), "labels": np.array([0, 1]),
             "values": np.array([[0.9, 0.1], [0.2, 0.8]]), "patients": np.array(["", ""])}
    change, message = BROKEN[name]
    Scores(**sound)
    with pytest.raises(ScoreError, match=message):
        Scores(**(sound | change))
