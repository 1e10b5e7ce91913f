"""Changes on the same films, against closed forms and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score, roc_auc_score

from pneumo_tf.evaluation.paired import area_of, changes, class_figures, less, mean_within, take
from pneumo_tf.evaluation.statistics import mean_of_films


def once(statistic, films: int) -> float:
    return float(statistic(np.ones((1, films)))[0])


def test_figures_of_calls_are_scikit_learns(noisy, three_classes) -> None:
    scores = noisy(200)
    called = scores.predicted(0.55)
    found = {name: once(figure, 200) for name, figure in class_figures(scores, called).items()}
    assert found == pytest.approx({
        "accuracy": np.mean(called == scores.labels), "f1": f1_score(scores.labels, called),
        "sensitivity": recall_score(scores.labels, called),
        "specificity": recall_score(scores.labels, called, pos_label=0)})
    several = class_figures(three_classes, three_classes.predicted(None))
    assert set(several) == {"accuracy", "macro_f1"}
    expected = f1_score(three_classes.labels, three_classes.predicted(None), average="macro")
    assert once(several["macro_f1"], 300) == pytest.approx(expected)


def test_areas_are_scikit_learns(noisy, three_classes) -> None:
    scores = noisy(150)
    assert once(area_of(scores), 150) == pytest.approx(roc_auc_score(scores.labels, scores.positive_scores))
    expected = roc_auc_score(three_classes.labels, three_classes.values, multi_class="ovr")
    assert once(area_of(three_classes), 300) == pytest.approx(expected)


def test_the_interval_of_a_mean_change_is_that_of_the_paired_differences() -> None:
    """One film a patient: the bootstrap agrees with 1.96 standard errors of the differences' mean."""
    generator = np.random.default_rng(1)
    hardness = generator.normal(0, 10, 400)
    before, after = hardness, hardness + generator.normal(0.5, 1, 400)
    patients = np.array([f"p{row}" for row in range(400)])
    found = changes({"mean": (mean_of_films(before), mean_of_films(after))}, patients, seed=0, resamples=2000)
    difference = after - before
    reach = 1.96 * difference.std(ddof=1) / 20
    assert found["mean"]["value"] == pytest.approx(difference.mean())
    assert found["mean"]["low"] == pytest.approx(difference.mean() - reach, abs=0.02)
    assert found["mean"]["high"] == pytest.approx(difference.mean() + reach, abs=0.02)


def test_patients_are_drawn_not_films() -> None:
    """Ten films of one patient that all change alike are one observation, so the interval is √10 wider."""
    change = np.random.default_rng(2).normal(0, 1, 60)
    one = changes({"d": (mean_of_films(0 * change), mean_of_films(change))},
                  np.array([f"p{row}" for row in range(60)]), seed=0, resamples=1000)["d"]
    ten = changes({"d": (mean_of_films(np.zeros(600)), mean_of_films(np.repeat(change, 10)))},
                  np.array([f"p{row // 10}" for row in range(600)]), seed=0, resamples=1000)["d"]
    assert (ten["low"], ten["high"]) == pytest.approx((one["low"], one["high"]))


def test_a_change_without_one_class_doesnt_exist(scores_of) -> None:
    scores = scores_of([1] * 12, np.linspace(0.1, 0.9, 12))
    found = changes({"auc": (area_of(scores), area_of(scores))}, scores.groups, seed=0, resamples=20)["auc"]
    assert (found["value"], found["why"]) == (None, "one_class_only")


def test_means_count_only_the_films_they_are_of() -> None:
    mean = mean_within(np.array([1.0, 2.0, 30.0, 40.0]), np.array([True, True, False, False]))
    assert mean(np.array([[1.0, 1, 1, 1], [3, 1, 9, 9], [0, 0, 1, 1]]))[:2] == pytest.approx([1.5, 1.25])
    assert np.isnan(mean(np.array([[0.0, 0, 1, 1]])))[0]


def test_differences_and_parts(noisy) -> None:
    first, second = mean_of_films(np.array([3.0, 5.0])), mean_of_films(np.array([1.0, 1.0]))
    assert once(less(first, second), 2) == 3
    scores = noisy(10)
    part = take(scores, np.array([7, 2]))
    assert part.ids == ["film-7", "film-2"]
    assert part.values.tolist() == scores.values[[7, 2]].tolist()
