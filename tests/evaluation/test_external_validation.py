from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss, roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep

from pneumo_tf.evaluation.calibration.calibrators import Temperature
from pneumo_tf.evaluation.external_validation import check_labelled, drop, recalibration
from pneumo_tf.evaluation.operating_point import choose
from pneumo_tf.evaluation.scores import ScoreError, Scores

CALIBRATED = Temperature(1.5).apply


def test_differences_of_shares_are_newcombes(noisy) -> None:
    here, there = noisy(400, seed=1), noisy(150, seed=2)
    found = drop(here, there, 0.45, calibrated=CALIBRATED, resamples=50)
    for name, wanted in (("sensitivity", 1), ("specificity", 0)):
        counts = []
        for scores in (there, here):
            rows = scores.labels == wanted
            counts += [int((scores.predicted(0.45) == scores.labels)[rows].sum()), int(rows.sum())]
        low, high = confint_proportions_2indep(*counts, compare="diff", method="newcomb")
        difference = found[name]["difference"]
        assert difference["value"] == pytest.approx(counts[0] / counts[1] - counts[2] / counts[3])
        assert (difference["low"], difference["high"]) == pytest.approx((low, high), abs=1e-6)


def test_each_source_has_its_own_figures(noisy) -> None:
    here, there = noisy(200, seed=1), noisy(90, seed=2)
    found = drop(here, there, 0.45, calibrated=CALIBRATED, resamples=100)
    for side, scores in (("internal", here), ("external", there)):
        auc = roc_auc_score(scores.labels, scores.positive_scores)
        brier = brier_score_loss(scores.labels, CALIBRATED(scores).positive_scores)
        assert found["auc"][side]["value"] == pytest.approx(auc)
        assert found["brier"][side]["value"] == pytest.approx(brier)
        assert found["prevalence"][side]["value"] == scores.labels.mean()
        assert found["auc"][side]["films"] == len(scores.ids)
    difference = found["auc"]["difference"]
    assert difference["value"] == pytest.approx(
        found["auc"]["external"]["value"] - found["auc"]["internal"]["value"])


def test_the_interval_of_a_difference_of_areas_is_that_of_independent_samples(noisy) -> None:
    """Its width is the root of the sum of the squared widths of both."""
    found = drop(noisy(600, seed=1), noisy(300, seed=2), 0.45, calibrated=CALIBRATED, resamples=2000)["auc"]
    widths = {side: found[side]["high"] - found[side]["low"] for side in found}
    assert widths["difference"] == pytest.approx(np.hypot(widths["internal"], widths["external"]), rel=0.08)


def test_patients_of_the_same_name_in_two_places_are_two(noisy) -> None:
    same, other = noisy(60, films_per_patient=3, seed=1), noisy(60, films_per_patient=3, seed=2)
    renamed = [f"elsewhere {patient}" for patient in other.patients]
    from dataclasses import replace

    found = [drop(same, there, 0.5, calibrated=CALIBRATED, resamples=100)["auc"]["difference"]["low"]
             for there in (other, replace(other, patients=np.array(renamed)))]
    assert found[0] == found[1]


def test_one_class_leaves_what_exists(noisy, scores_of) -> None:
    sick = scores_of([1] * 20, np.linspace(0.1, 0.9, 20))
    found = drop(noisy(100), sick, 0.5, calibrated=CALIBRATED, resamples=20)
    assert found["sensitivity"]["difference"]["value"] is not None
    for name, why in (("specificity", "no_negative_films"), ("auc", "one_class_only")):
        assert found[name]["external"] | {"value": None, "why": why} == found[name]["external"]
        assert found[name]["difference"]["why"] == "one_class_only"


def test_several_classes_have_accuracy_and_a_macro_area(three_classes) -> None:
    found = drop(three_classes, three_classes, None, calibrated=lambda scores: scores, resamples=20)
    assert set(found) == {"accuracy", "macro_auc"}
    assert found["accuracy"]["difference"]["value"] == 0


def fix(films: Scores) -> float | None:
    return choose(films, rule="youden").threshold


def shifted(films: int, *, by: float, films_per_patient: int = 2, seed: int = 4) -> Scores:
    """Well-calibrated scores whose logits were then shifted."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(0, 2, films)
    labels = (generator.random(films) < expit(truth)).astype(int)
    positive = expit(truth + by)
    return Scores(("NORMAL", "PNEUMONIA"), "PNEUMONIA", [f"f{row}" for row in range(films)], labels,
                  np.stack([1 - positive, positive], axis=1),
                  np.array([f"p{row // films_per_patient}" for row in range(films)]))


def as_is(scores: Scores) -> Scores:
    return scores


def test_labels_mend_a_shift() -> None:
    films = shifted(400, by=-3)
    found = recalibration(films, 60, threshold=0.5, calibrated=as_is, fix=fix, repeats=20)
    loss, sensitivity = found["figures"]["log_loss"], found["figures"]["sensitivity"]
    assert loss["after"] < loss["before"] - 0.3
    assert loss["improved"] == sensitivity["improved"] == 1
    assert loss["low"] < loss["after"] < loss["high"]
    best = shifted(400, by=0)
    chance, labels = best.positive_scores, best.labels == 1
    ideal = -np.mean(np.log(np.where(labels, chance, 1 - chance)))
    assert loss["after"] == pytest.approx(ideal, abs=0.06)


def test_labels_buy_nothing_where_nothing_is_wrong() -> None:
    found = recalibration(shifted(400, by=0), 40, threshold=0.5, calibrated=as_is, fix=fix, repeats=20)
    assert found["figures"]["log_loss"]["after"] > found["figures"]["log_loss"]["before"]
    assert found["figures"]["log_loss"]["improved"] < 0.2


def test_the_runs_own_calibrator_is_what_labels_are_compared_with() -> None:
    def mended(scores: Scores) -> Scores:
        positive = expit(logit(scores.positive_scores) + 3)
        return replace(scores, values=np.stack([1 - positive, positive], axis=1))

    found = recalibration(shifted(300, by=-3), 40, threshold=0.5, calibrated=mended, fix=fix, repeats=30)
    assert found["figures"]["log_loss"]["improved"] < 0.3


def test_whole_patients_are_labelled_and_never_judged() -> None:
    films, seen = shifted(90, by=0, films_per_patient=5), []

    def watching(known: Scores) -> float | None:
        seen.append(known)
        return fix(known)

    judged: list[Scores] = []

    def listening(rest: Scores) -> Scores:
        judged.append(rest)
        return rest

    found = recalibration(films, 30, threshold=0.5, calibrated=listening, fix=watching, repeats=20)
    assert len(seen) == len(judged) == 20 - found["skipped"]
    for known, rest in zip(seen, judged, strict=True):
        assert len(known.ids) == 30
        assert len(known.ids) + len(rest.ids) == 90
        assert not set(known.patients) & set(rest.patients)
    assert len({tuple(known.ids) for known in seen}) > 10


def test_the_same_seed_draws_the_same_films() -> None:
    films = shifted(100, by=-1)
    found = [recalibration(films, 30, threshold=0.5, calibrated=as_is, fix=fix, repeats=10, seed=seed)
             for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_draws_without_a_class_are_skipped(scores_of) -> None:
    positive = np.linspace(0.05, 0.95, 30)
    films = scores_of([0] * 29 + [1], positive)
    found = recalibration(films, 12, threshold=0.5, calibrated=as_is, fix=fix, repeats=15)
    assert (found["skipped"], found["figures"]) == (15, {})


@pytest.mark.parametrize(("labels", "classes", "labelled", "said"), [
    (["a"] * 15 + ["b"] * 15, "ab", 25, "Received: 25 of 30 films. Ask for 10 to 20."),
    (["a"] * 15 + ["b"] * 15, "ab", 9, "At least 10 films must be labelled"),
    (["a"] * 9 + ["b"] * 9, "ab", 10, "Leave --recalibrate out."),
    (["b"] * 40, "ab", 10, "40 films, all b"),
    (["a", "b", "c"] * 20, "abc", 20, "3 classes")])
def test_what_cant_be_recalibrated_is_refused(labels: list[str], classes: str, labelled: int,
                                              said: str) -> None:
    with pytest.raises(ScoreError, match=said):
        check_labelled(labels, list(classes), labelled)


def test_most_films_may_be_labelled() -> None:
    check_labelled(["a"] * 15 + ["b"] * 15, "ab", 20)
