import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from pneumo_tf.evaluation.operating_point import choose
from pneumo_tf.evaluation.robustness import combined, judge_views, robustness


@pytest.fixture
def films(noisy):
    return noisy(120, films_per_patient=3)


def perturbed_by(scores, change) -> np.ndarray:
    positive = np.clip(change(scores.positive_scores), 0, 1)
    return np.stack([1 - positive, positive], axis=1)


def test_nothing_changes_where_the_scores_stay(films) -> None:
    row = robustness(films, {"none": films.values}, 0.5, resamples=50)[0]
    assert row["name"] == "none"
    assert row["changed"]["count"] == 0
    assert row["auc"]["value"] == row["sensitivity"]["value"] == row["shift"]["NORMAL"]["value"] == 0
    assert row["auc"]["low"] is None  # nothing was learnt of the width


def test_a_rise_of_all_scores_moves_calls_and_no_rank(films) -> None:
    values = perturbed_by(films, lambda score: 0.3 + 0.6 * score)
    row = robustness(films, {"brighter": values}, 0.5, resamples=100)[0]
    before, after = films.positive_scores >= 0.5, values[:, 1] >= 0.5
    assert row["changed"]["count"] == (before != after).sum() > 10
    assert row["changed"]["low"] < row["changed"]["value"] < row["changed"]["high"]
    assert row["auc"]["value"] == pytest.approx(0, abs=1e-12)
    assert row["shift"]["NORMAL"]["value"] < 0 < row["shift"]["PNEUMONIA"]["value"]
    assert row["sensitivity"]["value"] > 0 > row["specificity"]["value"]
    assert row["specificity"]["high"] < 0


def test_shifts_are_of_each_classs_own_score(films) -> None:
    values = perturbed_by(films, lambda score: score * 0.9)
    shift = robustness(films, {"x": values}, 0.5, resamples=50)[0]["shift"]
    moved = 0.1 * films.positive_scores
    assert shift["PNEUMONIA"]["value"] == pytest.approx(-moved[films.labels == 1].mean())
    assert shift["NORMAL"]["value"] == pytest.approx(moved[films.labels == 0].mean())
    assert shift["NORMAL"]["films"] == (films.labels == 0).sum()


def test_lost_information_shows_in_the_area(films) -> None:
    values = films.values[np.random.default_rng(5).permutation(120)]
    row = robustness(films, {"shuffled": values}, 0.5)[0]
    expected = roc_auc_score(films.labels, values[:, 1]) - roc_auc_score(films.labels, films.positive_scores)
    assert row["auc"]["value"] == pytest.approx(expected)
    assert row["auc"]["high"] < 0


def test_several_classes_have_shifts_and_a_macro_area(three_classes) -> None:
    row = robustness(three_classes, {"same": three_classes.values}, None, resamples=20)[0]
    assert set(row) == {"name", "changed", "shift", "auc"}
    assert set(row["shift"]) == {"NORMAL", "bacteria", "virus"}


def test_one_class_has_no_area(scores_of) -> None:
    scores = scores_of([1] * 20, np.linspace(0.05, 0.95, 20))
    row = robustness(scores, {"x": scores.values[::-1]}, 0.5, resamples=20)[0]
    assert row["auc"]["value"] is None
    assert row["shift"]["NORMAL"]["value"] is None
    assert row["changed"]["value"] == 1


def fix(films) -> float | None:
    return choose(films, rule="youden").threshold


def views_of(scores, *, views: int = 6, spread: float = 0.15, seed: int = 0) -> np.ndarray:
    """The films' scores first, then noisy ones."""
    noise = np.random.default_rng(seed).normal(0, spread, (views - 1, len(scores.ids)))
    positive = np.concatenate([scores.positive_scores[None], scores.positive_scores + noise]).clip(0, 1)
    return np.stack([1 - positive, positive], axis=2)


def test_three_views_by_hand(scores_of) -> None:
    scores = scores_of([0, 1], [0.4, 0.6])
    positive = np.array([[0.4, 0.6], [0.1, 0.7], [0.5, 0.2]])
    ways = combined(scores, np.stack([1 - positive, positive], axis=2))
    assert {way: found.positive_scores.tolist() for way, found in ways.items()} == {
        "single": [0.4, 0.6], "mean": pytest.approx([1 / 3, 0.5]), "maximum": [0.5, 0.7],
        "surest": [pytest.approx(0.1), pytest.approx(0.2)]}


def test_the_maximum_is_of_the_class_that_is_looked_for(scores_of) -> None:
    from dataclasses import replace

    scores = replace(scores_of([0, 1], [0.4, 0.6]), positive="NORMAL")
    positive = np.array([[0.4, 0.6], [0.1, 0.9]])
    found = combined(scores, np.stack([1 - positive, positive], axis=2))["maximum"]
    assert found.values[:, 0].tolist() == pytest.approx([0.9, 0.4])
    assert found.values.sum(axis=1) == pytest.approx([1, 1])


def test_several_classes_take_the_surest_view(three_classes) -> None:
    other = three_classes.values[:, [1, 2, 0]]
    ways = combined(three_classes, np.stack([three_classes.values, other]))
    assert set(ways) == {"single", "mean", "surest"}
    judged = judge_views(ways, None, threshold=None, fix=fix, resamples=50)
    assert judged["verdict"]["way"] == "surest"
    assert judged["verdict"]["rise"] is None
    assert judged["ways"][0]["refixed"] is None


def test_the_maximum_raises_scores_and_costs_specificity_at_the_old_threshold(noisy) -> None:
    test, validation = noisy(300, seed=1), noisy(300, seed=2)
    own = fix(validation)
    ways = combined(test, views_of(test))
    judged = judge_views(ways, combined(validation, views_of(validation, seed=3)), threshold=own, fix=fix)
    rows = {row["name"]: row for row in judged["ways"]}
    assert judged["verdict"]["rise"]["low"] > 0.05
    assert rows["maximum"]["own"]["changes"]["specificity"]["high"] < 0
    assert rows["maximum"]["own"]["changes"]["sensitivity"]["value"] >= 0
    assert rows["maximum"]["refixed"]["threshold"] > own
    lost, regained = (rows["maximum"][kind]["changes"]["specificity"]["value"] for kind in ("own", "refixed"))
    assert lost < regained
    called = ways["maximum"].predicted(rows["maximum"]["refixed"]["threshold"])
    assert rows["maximum"]["refixed"]["figures"]["accuracy"]["value"] == accuracy_score(test.labels, called)
    assert rows["single"]["own"]["changes"] is None


@pytest.mark.parametrize(("helps", "gain"), [(True, "better"), (False, "worse")])
def test_the_gain_is_judged_where_thresholds_were_fixed_alike(noisy, helps: bool, gain: str) -> None:
    """A second view that knows the truth helps; one that is loud about the opposite harms."""
    ways = []
    for seed in (1, 2):
        scores = noisy(300, seed=seed)
        told = scores.labels if helps else 1 - scores.labels
        positive = np.stack([scores.positive_scores, 0.9 * told])
        ways.append(combined(scores, np.stack([1 - positive, positive], axis=2)))
    assert judge_views(*ways, threshold=0.5, fix=fix, resamples=200)["verdict"]["gain"] == gain


def test_views_that_say_the_same_change_nothing(noisy) -> None:
    scores = noisy(100)
    ways = combined(scores, views_of(scores, spread=0))
    judged = judge_views(ways, ways, threshold=0.5, fix=fix, resamples=50)
    assert judged["verdict"]["gain"] == "same"
    assert judged["verdict"]["rise"]["value"] == 0


def test_validation_films_of_one_class_fix_nothing(noisy, scores_of) -> None:
    test, sick = noisy(50), scores_of([1] * 20, np.linspace(0.1, 0.9, 20))
    judged = judge_views(combined(test, views_of(test)), combined(sick, views_of(sick)), threshold=0.5,
                         fix=fix, resamples=20)
    assert judged["ways"][1]["refixed"] is None
    assert judged["verdict"]["gain"] == "unknown"
