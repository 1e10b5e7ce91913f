from io import StringIO

import numpy as np
import pandas as pd
import pytest

from pneumo_tf.cohort import Cohort, Radiograph
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


@pytest.fixture
def cohort():
    return Cohort((Radiograph("one", "PNEUMONIA", patient="p1"), Radiograph("two", "NORMAL"),
                   Radiograph("three", "NORMAL", patient="p3")))


VALUES = np.array([[0.2, 0.8], [0.7, 0.3], [0.4, 0.6]], np.float32)


def test_scores_of_a_cohort_are_those_of_its_films(cohort):
    scores = Scores.of_cohort(cohort, VALUES, "PNEUMONIA")
    assert scores.classes == ("NORMAL", "PNEUMONIA")
    assert (scores.ids, scores.labels.tolist()) == (["one", "two", "three"], [1, 0, 0])
    assert scores.patients.tolist() == ["p1", "", "p3"]
    assert scores.values.tolist() == VALUES.tolist()


def test_scores_of_some_rows_come_in_their_order(cohort):
    scores = Scores.of_cohort(cohort, VALUES, "PNEUMONIA", rows=[2, 0])
    assert (scores.ids, scores.labels.tolist()) == (["three", "one"], [0, 1])
    assert scores.values.tolist() == VALUES[[2, 0]].tolist()


def test_the_model_may_know_a_class_that_the_cohort_lacks(cohort):
    classes, values = ("COVID", "NORMAL", "PNEUMONIA"), np.column_stack([[0.0] * 3, VALUES])
    scores = Scores.of_cohort(cohort, values, "PNEUMONIA", classes=classes)
    assert (scores.classes, scores.labels.tolist()) == (classes, [2, 1, 1])


def test_a_label_that_the_model_does_not_know_is_refused(cohort):
    with pytest.raises(ScoreError, match="one of the model's classes"):
        Scores.of_cohort(cohort, VALUES, "PNEUMONIA", classes=("COVID", "PNEUMONIA"))


def test_predictions_tell_films_calls_and_scores(cohort):
    table = Scores.of_cohort(cohort, VALUES, "PNEUMONIA").to_predictions(["train", "test", "test"], 0.5)
    assert table.to_csv(index=False) == ("id,patient,split,label,predicted,p_NORMAL,p_PNEUMONIA\n"
                                         "one,p1,train,PNEUMONIA,PNEUMONIA,0.2,0.8\n"
                                         "two,,test,NORMAL,NORMAL,0.7,0.3\n"
                                         "three,p3,test,NORMAL,PNEUMONIA,0.4,0.6\n")


def read(table: pd.DataFrame) -> pd.DataFrame:
    """As a run folder is read: text, but for the scores."""
    found = pd.read_csv(StringIO(table.to_csv(index=False)), dtype=str, keep_default_na=False)
    columns = [name for name in found if name.startswith("p_")]
    return found.astype(dict.fromkeys(columns, float))


def test_predictions_give_the_same_scores_again(noisy, three_classes):
    for scores, threshold in ((noisy(30, films_per_patient=2), 0.4), (three_classes, None)):
        again = Scores.of_predictions(read(scores.to_predictions("test", threshold)), scores.classes,
                                      scores.positive)
        assert (again.classes, tuple(again.ids)) == (scores.classes, scores.ids)
        for name in ("labels", "values", "patients"):
            np.testing.assert_array_equal(getattr(again, name), getattr(scores, name))


def test_predictions_of_older_runs_have_no_patients(cohort):
    table = read(Scores.of_cohort(cohort, VALUES, "PNEUMONIA").to_predictions("test", 0.5))
    scores = Scores.of_predictions(table.drop(columns="patient")[1:], ("NORMAL", "PNEUMONIA"), "PNEUMONIA")
    assert (scores.ids, scores.patients.tolist()) == (["two", "three"], ["", ""])


def test_no_predictions_and_a_label_without_a_class_are_refused(cohort):
    table = read(Scores.of_cohort(cohort, VALUES, "PNEUMONIA").to_predictions("test", 0.5))
    for spoiled, said in ((table[:0], "one row per film"), (table.assign(label="?"), "model's classes")):
        with pytest.raises(ScoreError, match=said):
            Scores.of_predictions(spoiled, ("NORMAL", "PNEUMONIA"), "PNEUMONIA")


def test_some_of_the_films_keep_all_that_is_known_of_them(noisy):
    scores = noisy(10)
    part = scores.take(np.array([7, 2]))
    assert part.ids == ["film-7", "film-2"]
    for name in ("labels", "values", "patients"):
        assert getattr(part, name).tolist() == getattr(scores, name)[[7, 2]].tolist()


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
