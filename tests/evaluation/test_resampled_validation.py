import json
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from pneumo_tf.errors import LabelError
from pneumo_tf.evaluation.resampled_validation import ReplicateTestSampling, resampled_validation


def test_the_draw_has_the_test_films_distribution():
    validation = ["NORMAL"] * 270 + ["PNEUMONIA"] * 773
    test = ["NORMAL"] * 234 + ["PNEUMONIA"] * 390  # Kermany's own test folder
    drawn = Counter(validation[index] for index in ReplicateTestSampling(test, range(1043), validation))
    assert drawn["PNEUMONIA"] == 773
    assert drawn["NORMAL"] / sum(drawn.values()) == pytest.approx(234 / 624, abs=1 / 1043)


def test_no_film_is_left_out_and_the_copies_are_spread_evenly():
    sampler = ReplicateTestSampling([0] * 50 + [1] * 50, range(100), [0] * 12 + [1] * 88)
    times = Counter(sampler)
    assert set(times) == set(range(100))
    assert {times[index] for index in range(12)} == {7, 8}
    assert {times[index] for index in range(12, 100)} == {1}
    assert len(sampler) == sum(times.values()) == 176


def test_equal_distributions_draw_each_film_once():
    assert sorted(ReplicateTestSampling([0, 1, 1], [7, 8, 9], [0, 1, 1])) == [7, 8, 9]


def test_the_indices_are_those_that_were_given_not_places():
    assert set(ReplicateTestSampling([0, 1], [100, 205, 77], [0, 1, 1])) == {100, 205, 77}


def test_it_can_be_iterated_again_and_depends_on_the_seed_alone():
    options = ([0, 1], range(30), [0] * 7 + [1] * 23)
    sampler = ReplicateTestSampling(*options, seed=1)
    assert list(sampler) == list(sampler) == list(ReplicateTestSampling(*options, seed=1))
    assert list(sampler) != list(ReplicateTestSampling(*options, seed=2))


def test_several_classes_are_replicated_and_one_that_is_never_tested_is_never_drawn():
    validation = ["a"] * 10 + ["b"] * 20 + ["c"] * 30 + ["d"] * 5
    drawn = Counter(validation[i] for i in ReplicateTestSampling(["a", "b", "c"], range(65), validation))
    assert drawn == {"a": 30, "b": 30, "c": 30}


@pytest.mark.parametrize(("test", "indices", "labels", "said"), [
    ([], [0], [1], "0 test labels"), ([1], [], [], "0 validation films"),
    ([1], [0, 1], [1], "2 validation films and 1 validation labels"),
    ([0, 1, 2], [0, 1], [0, 1], "none of class 2")])
def test_what_cannot_be_drawn_from_is_refused(test, indices, labels, said):
    with pytest.raises(LabelError, match=said):
        ReplicateTestSampling(test, indices, labels)


def test_the_figures_are_those_of_the_copies(noisy):
    scores = noisy(300)
    test_labels = np.array([1] * 80 + [0] * 20)
    found = resampled_validation(scores, test_labels, 0.5, seed=3, resamples=50)
    rows = list(ReplicateTestSampling(test_labels, range(300), scores.labels, seed=3))
    labels, score = scores.labels[rows], scores.positive_scores[rows]
    called = score >= 0.5
    expected = {"sensitivity": recall_score(labels, called), "ppv": precision_score(labels, called),
                "specificity": recall_score(labels, called, pos_label=0),
                "npv": precision_score(labels, called, pos_label=0),
                "accuracy": accuracy_score(labels, called), "f1": f1_score(labels, called),
                "auc": roc_auc_score(labels, score)}
    assert {name: figure["value"] for name, figure in found["figures"].items()} == pytest.approx(expected)
    assert found["shares"]["PNEUMONIA"]["drawn"] == pytest.approx(0.8, abs=0.005)
    json.dumps(found, allow_nan=False)


def test_repeating_a_class_moves_the_predictive_value_and_leaves_the_ranking(noisy):
    scores = noisy(400)
    rare = resampled_validation(scores, np.array([1] * 10 + [0] * 90), 0.5, resamples=50)["figures"]
    common = resampled_validation(scores, np.array([1] * 90 + [0] * 10), 0.5, resamples=50)["figures"]
    assert rare["ppv"]["value"] < common["ppv"]["value"] - 0.3
    for name in ("auc", "sensitivity", "specificity"):
        assert rare[name]["value"] == pytest.approx(common[name]["value"], abs=0.01)


def test_copies_make_no_interval_narrower(noisy):
    scores = noisy(200)
    widths = {}
    for name, positives in (("as they are", (scores.labels == 1).sum()), ("tenfold", 2000)):
        test_labels = np.array([1] * int(positives) + [0] * int((scores.labels == 0).sum()))
        figure = resampled_validation(scores, test_labels, 0.5, resamples=400)["figures"]["sensitivity"]
        widths[name] = figure["high"] - figure["low"]
    assert widths["tenfold"] == pytest.approx(widths["as they are"], rel=0.1)


def test_a_class_that_validation_lacks_is_said_and_breaks_nothing(scores_of):
    found = resampled_validation(scores_of([1, 1], [0.9, 0.4]), np.array([0, 1]), 0.5)
    assert found == {"why": "class_without_validation"}


def test_several_classes_have_their_own_figures(three_classes):
    found = resampled_validation(three_classes, np.array([0, 1, 2, 2]), None, resamples=30)
    assert set(found["figures"]) == {"accuracy", "balanced_accuracy", "macro_f1", "macro_auc"}
    predicted = three_classes.predicted(None)
    rows = list(ReplicateTestSampling([0, 1, 2, 2], range(300), three_classes.labels))
    expected = f1_score(three_classes.labels[rows], predicted[rows], average="macro")
    assert found["figures"]["macro_f1"]["value"] == pytest.approx(expected)
