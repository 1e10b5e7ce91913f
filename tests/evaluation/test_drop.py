"""Two independent sources, against statsmodels and simulation."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep

from pneumo_tf.evaluation.calibration.calibrators import Temperature
from pneumo_tf.evaluation.drop import drop

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
