import json
import time
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

from pneumo_tf.errors import OptionError
from pneumo_tf.evaluation.metrics import evaluate
from pneumo_tf.evaluation.operating_point import choose


def test_the_tutorials_matrix_gives_the_tutorials_table(tutorial):
    result = evaluate(tutorial, 0.5)
    assert result["confusion"] == [[401, 4], [32, 418]]
    assert result["confusion_normalised"] == [[0.99, 0.01], [0.071, 0.929]]
    rows = {row["class"]: row for row in result["classification_report"]}
    printed = {name: [f"{row[k]:.2f}" for k in ("precision", "recall", "f1")]
               for name, row in rows.items() if name != "accuracy"}
    assert printed == {"NORMAL": ["0.93", "0.99", "0.96"], "PNEUMONIA": ["0.99", "0.93", "0.96"],
                       "macro avg": ["0.96", "0.96", "0.96"], "weighted avg": ["0.96", "0.96", "0.96"]}
    assert f"{rows['accuracy']['f1']:.2f}" == "0.96"
    assert [row["support"] for row in rows.values()] == [405, 450, 855, 855, 855]


def test_the_two_by_two_figures_are_counts_over_counts(tutorial):
    figures = evaluate(tutorial, 0.5)["figures"]
    counts = {name: (figure["count"], figure["of"]) for name, figure in figures.items() if "count" in figure}
    assert counts == {"sensitivity": (418, 450), "specificity": (401, 405), "ppv": (418, 422),
                      "npv": (401, 433), "accuracy": (819, 855)}
    assert figures["sensitivity"]["value"] == pytest.approx(418 / 450)


def test_every_figure_agrees_with_scikit_learn(noisy):
    scores = noisy(500, films_per_patient=2)
    predicted, figures = scores.predicted(0.45), evaluate(scores, 0.45, resamples=50)["figures"]
    y = scores.labels
    expected = {"sensitivity": metrics.recall_score(y, predicted),
                "specificity": metrics.recall_score(y, predicted, pos_label=0),
                "ppv": metrics.precision_score(y, predicted),
                "npv": metrics.precision_score(y, predicted, pos_label=0),
                "accuracy": metrics.accuracy_score(y, predicted), "f1": metrics.f1_score(y, predicted),
                "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted),
                "mcc": metrics.matthews_corrcoef(y, predicted),
                "auc": metrics.roc_auc_score(y, scores.positive_scores),
                "average_precision": metrics.average_precision_score(y, scores.positive_scores)}
    assert {name: figure["value"] for name, figure in figures.items()} == pytest.approx(expected)


def test_every_interval_holds_its_figure(noisy):
    for name, figure in evaluate(noisy(500), 0.5, resamples=300)["figures"].items():
        assert figure["low"] < figure["value"] < figure["high"], name


def test_the_same_seed_gives_the_same_intervals(noisy):
    scores = noisy(120)
    assert evaluate(scores, 0.5, seed=7) == evaluate(scores, 0.5, seed=7)
    assert evaluate(scores, 0.5, seed=7) != evaluate(scores, 0.5, seed=8)


def test_delongs_interval_stands_beside_the_bootstraps_and_agrees_where_films_are_independent(noisy):
    auc = evaluate(noisy(600), 0.5, resamples=1000)["figures"]["auc"]
    width = auc["high"] - auc["low"]
    assert auc["delong"]["low"] == pytest.approx(auc["low"], abs=0.15 * width)
    assert auc["delong"]["high"] == pytest.approx(auc["high"], abs=0.15 * width)
    assert auc["delong_by_patient"] == pytest.approx(auc["delong"])


def test_fewer_patients_widen_the_bootstrap_interval(noisy):
    def width(scores):
        auc = evaluate(scores, 0.5)["figures"]["auc"]
        return auc["high"] - auc["low"]

    scores = noisy(400)
    order = np.lexsort((scores.positive_scores, scores.labels))  # like films together: 40 patients of 10
    patients = np.empty(400, dtype="U8")
    patients[order] = [f"p{i // 10}" for i in range(400)]
    clustered = replace(scores, patients=patients)
    assert width(clustered) > 1.5 * width(scores)


def test_the_roc_keeps_its_ends_and_its_area_in_at_most_200_points(noisy):
    result = evaluate(noisy(3000), 0.5, resamples=10)
    roc = result["roc"]
    assert len(roc["fpr"]) == len(roc["tpr"]) <= 200
    assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
    area = np.trapezoid(roc["tpr"], roc["fpr"])
    assert area == pytest.approx(result["figures"]["auc"]["value"], abs=2e-3)


def test_several_classes_are_judged_one_against_the_rest(three_classes):
    result = evaluate(three_classes, None, resamples=50)
    y, predicted = three_classes.labels, three_classes.values.argmax(axis=1)
    figures = {name: figure["value"] for name, figure in result["figures"].items()}
    assert figures == pytest.approx({
        "accuracy": metrics.accuracy_score(y, predicted),
        "macro_f1": metrics.f1_score(y, predicted, average="macro"),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted),
        "mcc": metrics.matthews_corrcoef(y, predicted),
        "macro_auc": metrics.roc_auc_score(y, three_classes.values, multi_class="ovr")})
    assert result["confusion"] == metrics.confusion_matrix(y, predicted).tolist()
    virus = result["per_class"]["virus"]
    assert virus["sensitivity"]["value"] == pytest.approx(metrics.recall_score(y == 2, predicted == 2))
    assert virus["specificity"]["value"] == pytest.approx(metrics.recall_score(y != 2, predicted != 2))
    assert virus["auc"]["value"] == pytest.approx(metrics.roc_auc_score(y == 2, three_classes.values[:, 2]))
    assert result["threshold"] is None


def test_figures_of_a_split_with_one_class_are_null_with_a_reason(scores_of):
    figures = evaluate(scores_of([1, 1, 1], [0.9, 0.8, 0.2]), 0.5, resamples=20)["figures"]
    reasons = {name: figure["why"] for name, figure in figures.items() if figure["value"] is None}
    assert reasons == dict.fromkeys(("specificity", "balanced_accuracy", "mcc", "auc", "average_precision"),
                                    "no_negative_films")
    assert figures["sensitivity"]["value"] == pytest.approx(2 / 3)


def test_predictive_values_are_null_where_nothing_was_called(scores_of):
    figures = evaluate(scores_of([0, 1], [0.1, 0.2]), 0.5, resamples=20)["figures"]
    assert (figures["ppv"]["value"], figures["ppv"]["why"]) == (None, "none_predicted_positive")
    assert (figures["mcc"]["value"], figures["mcc"]["why"]) == (None, "one_class_predicted")


def test_a_class_without_films_leaves_the_others_their_figures(three_classes):
    kept = three_classes.labels != 2
    scores = replace(three_classes, ids=np.array(three_classes.ids)[kept], labels=three_classes.labels[kept],
                     values=three_classes.values[kept], patients=three_classes.patients[kept])
    result = evaluate(scores, None, resamples=20)
    assert result["figures"]["macro_auc"]["why"] == "missing_class"
    assert result["per_class"]["virus"]["auc"]["why"] == "no_positive_films"
    assert result["per_class"]["bacteria"]["auc"]["value"] > 0.5
    json.dumps(result, allow_nan=False)


def test_resamples_of_one_class_are_counted(scores_of):
    labels, scores = [0] + [1] * 9, [0.85, *[0.9, 0.8] * 4, 0.7]
    auc = evaluate(scores_of(labels, scores), 0.5, resamples=1000)["figures"]["auc"]
    assert auc["skipped"] == pytest.approx(1000 * 0.9**10, abs=60)  # those that lack the negative film


def test_the_result_is_json(noisy, three_classes):
    for scores in (noisy(60), three_classes):
        result = evaluate(scores, 0.5, resamples=20)
        assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_two_classes_need_a_threshold(noisy):
    with pytest.raises(OptionError, match="threshold"):
        evaluate(noisy(20), None)


def test_fifteen_hundred_films_take_less_than_three_seconds(noisy):
    scores = noisy(1500, films_per_patient=2)
    start = time.perf_counter()
    evaluate(scores, choose(scores).threshold)
    assert time.perf_counter() - start < 3


def test_perfect_scores_have_an_interval_where_one_can_be_had_and_none_of_no_width(scores_of):
    figures = evaluate(scores_of([0] * 12 + [1] * 12, [0.1] * 12 + [0.9] * 12), 0.5)["figures"]
    assert figures["auc"]["value"] == 1
    assert 0.7 < figures["auc"]["low"] < figures["auc"]["high"] == 1
    assert figures["auc"]["method"].startswith("Newcombe")
    for name in ("f1", "balanced_accuracy", "mcc"):
        assert (figures[name]["value"], figures[name]["low"], figures[name]["high"]) == (1, None, None)


def test_every_figure_says_of_how_many_films_and_how(noisy, three_classes):
    for scores in (noisy(90, films_per_patient=3), three_classes):
        result = evaluate(scores, 0.5, resamples=20)
        tables = [result["figures"], *result.get("per_class", {}).values()]
        for name, figure in [pair for table in tables for pair in table.items() if pair[0] != "roc"]:
            assert {"value", "low", "high", "method", "patients"} <= set(figure), name
            assert ("of" in figure) or (figure["films"] == len(scores.ids)), name


def test_films_of_few_patients_widen_every_interval(noisy):
    scores = noisy(400)
    order = np.lexsort((scores.positive_scores, scores.labels))  # like films together: 40 patients of 10
    patients = np.empty(400, dtype="U8")
    patients[order] = [f"p{i // 10}" for i in range(400)]
    alone = evaluate(scores, 0.5)["figures"]
    together = evaluate(replace(scores, patients=patients), 0.5)["figures"]
    for name in ("sensitivity", "specificity", "accuracy", "f1", "auc", "average_precision"):
        widths = [figures[name]["high"] - figures[name]["low"] for figures in (alone, together)]
        assert widths[1] > 1.3 * widths[0], name
    by_patient = together["auc"]["delong_by_patient"]
    assert by_patient["high"] - by_patient["low"] > 1.5 * (alone["auc"]["high"] - alone["auc"]["low"])


def test_fewer_than_ten_patients_have_figures_without_bootstrap_intervals(scores_of):
    scores = scores_of([0, 0, 0, 0, 1, 1, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.4, 0.6, 0.7, 0.8, 0.9])
    figures = evaluate(scores, 0.5)["figures"]
    assert 0.5 < figures["auc"]["value"] < 1
    assert (figures["auc"]["low"], figures["f1"]["low"]) == (None, None)
    assert figures["sensitivity"]["high"] - figures["sensitivity"]["low"] > 0.3


def test_scores_that_are_all_alike_rank_nothing(scores_of):
    figures = evaluate(scores_of([0] * 20 + [1] * 30, [0.5] * 50), 0.5)["figures"]
    assert (figures["auc"]["value"], figures["auc"]["low"]) == (0.5, None)
    assert "delong" not in figures["auc"]
    assert figures["average_precision"]["value"] == pytest.approx(0.6)
    assert figures["npv"]["why"] == "none_predicted_negative"
    json.dumps(figures, allow_nan=False)


def test_the_intervals_of_the_tutorials_matrix_are_statsmodels(tutorial):
    figures = evaluate(tutorial, 0.5, resamples=20)["figures"]
    for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy"):
        theirs = proportion_confint(figures[name]["count"], figures[name]["of"], method="wilson")
        assert (figures[name]["low"], figures[name]["high"]) == pytest.approx(theirs)
