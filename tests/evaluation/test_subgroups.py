import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.evaluation.subgroups import subgroups


def cohort_of(scores, *, subtypes=None, sizes=None):
    films = len(scores.ids)
    subtypes, sizes = subtypes or [""] * films, sizes or [""] * films
    rows = zip(scores.ids, scores.labels, subtypes, sizes, strict=True)
    return Cohort(tuple(Radiograph(name, scores.classes[label], split="test", subtype=subtype,
                                   facts={"bytes": str(size)} if size else {})
                        for name, label, subtype, size in rows))


def named(found):
    return {part["name"]: part for part in found}


@pytest.fixture
def kinds(noisy):
    scores = noisy(300)
    return scores, [("bacteria", "virus")[row % 2] if label else ""
                    for row, label in enumerate(scores.labels)]


def test_a_subtype_has_its_sensitivity_and_an_area_against_all_others(kinds):
    scores, subtypes = kinds
    found = named(subgroups(cohort_of(scores, subtypes=subtypes), scores, 0.5, resamples=100))
    assert set(found) == {"bacteria", "virus"}
    own = np.array(subtypes) == "virus"
    figures = found["virus"]["figures"]
    assert figures["sensitivity"]["count"] == (scores.positive_scores[own] >= 0.5).sum()
    assert figures["sensitivity"]["of"] == found["virus"]["films"] == own.sum()
    assert "specificity" not in figures
    judged = own | (scores.labels == 0)
    assert figures["auc"]["value"] == pytest.approx(
        roc_auc_score(scores.labels[judged], scores.positive_scores[judged]))
    assert figures["auc"]["low"] < figures["auc"]["value"] < figures["auc"]["high"]
    assert figures["auc"]["against_all"]


def test_films_are_parted_into_thirds_of_a_fact(noisy):
    scores = noisy(300)
    sizes = [1000 + row for row in range(300)]
    found = subgroups(cohort_of(scores, sizes=sizes), scores, 0.5, resamples=20)
    assert [(part["by"], part["name"], part["films"]) for part in found] == [
        ("bytes", "lower", 100), ("bytes", "middle", 100), ("bytes", "upper", 100)]
    assert (found[1]["from"], found[1]["to"]) == (1100, 1199)
    assert set(found[0]["figures"]) == {"sensitivity", "specificity", "auc"}
    first = scores.labels[:100]
    assert found[0]["figures"]["auc"]["value"] == pytest.approx(
        roc_auc_score(first, scores.positive_scores[:100]))


def test_a_network_that_fails_on_one_third_is_found_out(noisy):
    scores = noisy(300)
    values = scores.values.copy()
    values[200:] = values[200:, ::-1]
    failing = replace(scores, values=values)
    found = named(subgroups(cohort_of(scores, sizes=[1000 + row for row in range(300)]), failing, 0.5,
                            resamples=20))
    assert found["lower"]["figures"]["auc"]["value"] > 0.75
    assert found["upper"]["figures"]["auc"]["value"] < 0.25


def test_two_values_make_two_parts_and_one_value_none(noisy):
    scores = noisy(90)
    assert [part["name"] for part in subgroups(cohort_of(scores, sizes=[10] * 60 + [20] * 30), scores, 0.5,
                                               resamples=20)] == ["lower", "upper"]
    assert subgroups(cohort_of(scores, sizes=[10] * 90), scores, 0.5) == []


def test_a_small_group_is_called_small_and_gets_no_area(kinds):
    scores, subtypes = kinds
    virus = [row for row, name in enumerate(subtypes) if name == "virus"]
    for row in virus[4:]:
        subtypes[row] = "bacteria"
    found = named(subgroups(cohort_of(scores, subtypes=subtypes), scores, 0.5, resamples=20))
    assert (found["virus"]["few"], found["bacteria"]["few"]) == (True, False)
    area = found["virus"]["figures"]["auc"]
    assert (area["value"], area["why"], area["positives"]) == (None, "few_films", 4)
    assert found["virus"]["figures"]["sensitivity"]["of"] == 4


def test_nothing_known_makes_no_group(noisy):
    scores = noisy(50)
    assert subgroups(cohort_of(scores), scores, 0.5) == []
    mostly_unknown = ["", "", "100"] * 16 + ["", ""]
    assert subgroups(cohort_of(scores, sizes=mostly_unknown), scores, 0.5) == []


def test_a_test_split_of_one_class_crashes_nothing(scores_of):
    scores = scores_of([1] * 20, np.linspace(0, 1, 20))
    found = subgroups(cohort_of(scores, subtypes=["bacteria", "virus"] * 10), scores, 0.5, resamples=20)
    assert [part["figures"]["auc"]["why"] for part in found] == ["few_films"] * 2
    json.dumps(found, allow_nan=False)


def test_several_classes_are_judged_by_accuracy(three_classes):
    found = subgroups(cohort_of(three_classes, sizes=list(range(1, 301))), three_classes, None)
    assert all(set(part["figures"]) == {"accuracy"} for part in found)
    right = three_classes.predicted(None) == three_classes.labels
    assert sum(part["figures"]["accuracy"]["count"] for part in found) == right.sum()
