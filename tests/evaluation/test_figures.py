"""Every row of the table against scikit-learn, on all films and on weighted ones."""

import numpy as np
import pytest
from sklearn import metrics

from pneumo_tf.evaluation.figures import FIGURES, Judged, area_name
from pneumo_tf.evaluation.metrics import evaluate

THRESHOLD = 0.55


FOR_TWO = {
    "sensitivity": lambda y, called, score, w: metrics.recall_score(y, called, sample_weight=w),
    "specificity": lambda y, called, score, w: metrics.recall_score(y, called, pos_label=0, sample_weight=w),
    "ppv": lambda y, called, score, w: metrics.precision_score(y, called, sample_weight=w),
    "npv": lambda y, called, score, w: metrics.precision_score(y, called, pos_label=0, sample_weight=w),
    "accuracy": lambda y, called, score, w: metrics.accuracy_score(y, called, sample_weight=w),
    "prevalence": lambda y, called, score, w: np.average(y, weights=w),
    "f1": lambda y, called, score, w: metrics.f1_score(y, called, sample_weight=w),
    "macro_f1": lambda y, called, score, w: metrics.f1_score(y, called, average="macro", sample_weight=w),
    "balanced_accuracy": lambda y, called, score, w:
        metrics.balanced_accuracy_score(y, called, sample_weight=w),
    "mcc": lambda y, called, score, w: metrics.matthews_corrcoef(y, called, sample_weight=w),
    "auc": lambda y, called, score, w: metrics.roc_auc_score(y, score, sample_weight=w),
    "average_precision": lambda y, called, score, w:
        metrics.average_precision_score(y, score, sample_weight=w),
    "macro_auc": lambda y, called, score, w: metrics.roc_auc_score(y, score, sample_weight=w),
    "brier": lambda y, called, score, w: metrics.brier_score_loss(y, score, sample_weight=w),
    "log_loss": lambda y, called, score, w:
        metrics.log_loss(y, np.clip(score, 1e-7, 1 - 1e-7), sample_weight=w),
}


def test_every_row_has_an_oracle():
    assert set(FOR_TWO) == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_two_classes_is_scikit_learns_with_weights_and_without(noisy, name):
    scores = noisy(200)
    weights = np.random.default_rng(0).integers(0, 4, (3, 200)).astype(float)
    films = scores.labels, scores.positive_scores >= THRESHOLD, scores.positive_scores
    judged = Judged(scores, THRESHOLD)
    assert judged.value(name) == pytest.approx(FOR_TWO[name](*films, None))
    assert judged.statistic(name)(weights) == pytest.approx([FOR_TWO[name](*films, w) for w in weights])


def test_the_figures_of_several_classes_are_scikit_learns(three_classes):
    y, values = three_classes.labels, three_classes.values
    called, judged = values.argmax(axis=1), Judged(three_classes)
    assert {name: judged.value(name) for name in ("accuracy", "macro_f1", "macro_auc", "brier", "log_loss")} \
        == pytest.approx({
            "accuracy": metrics.accuracy_score(y, called),
            "macro_f1": metrics.f1_score(y, called, average="macro"),
            "macro_auc": metrics.roc_auc_score(y, values, multi_class="ovr"),
            "brier": metrics.brier_score_loss(y, values, scale_by_half=False),
            "log_loss": metrics.log_loss(y, values)})


def test_a_class_is_judged_against_the_rest(three_classes):
    y, called = three_classes.labels == 2, three_classes.values.argmax(axis=1) == 2
    judged = Judged(three_classes, against_rest=2)
    assert judged.value("sensitivity") == pytest.approx(metrics.recall_score(y, called))
    assert judged.value("ppv") == pytest.approx(metrics.precision_score(y, called))
    assert judged.value("auc") == pytest.approx(metrics.roc_auc_score(y, three_classes.values[:, 2]))


def test_a_share_counts_the_films_that_it_is_of_and_only_those_within(noisy):
    scores = noisy(100, films_per_patient=2)
    judged, within = Judged(scores, THRESHOLD), np.arange(100) < 30
    of = scores.labels == 1
    hits = scores.positive_scores >= THRESHOLD
    every, some = judged.share("sensitivity"), judged.share("sensitivity", within=within)
    assert (every["count"], every["of"]) == ((of & hits).sum(), of.sum())
    assert (some["count"], some["of"]) == ((of & hits & within).sum(), (of & within).sum())
    assert judged.share("sensitivity", within=~of)["why"] == "no_positive_films"


def test_a_figure_that_doesnt_exist_is_no_number(scores_of):
    judged = Judged(scores_of([1, 1], [0.2, 0.9]), 0.5)
    assert np.isnan([judged.value(name) for name in ("auc", "specificity", "balanced_accuracy")]).all()


def test_the_area_of_several_classes_has_its_own_name(noisy, three_classes):
    assert (area_name(noisy(10)), area_name(three_classes)) == ("auc", "macro_auc")


def test_evaluate_tells_every_row_that_is_meant_for_it(noisy, three_classes):
    def told(setting):
        return [name for name, figure in FIGURES.items() if setting in figure.told]

    several = evaluate(three_classes, None, resamples=20)
    assert list(evaluate(noisy(60), 0.5, resamples=20)["figures"]) == told("two")
    assert list(several["figures"]) == told("several")
    assert list(several["per_class"]["virus"]) == [*told("rest"), "roc"]
