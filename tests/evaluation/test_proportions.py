import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from pneumo_tf.evaluation.intervals import effective_films, wilson
from pneumo_tf.evaluation.proportions import proportion, two_by_two


def keys(*films_per_patient):
    return np.repeat(np.arange(len(films_per_patient)), films_per_patient).astype(str)


def test_with_one_film_a_patient_it_is_wilsons_interval():
    hits = np.arange(40) < 33
    figure = proportion(hits, keys(*[1] * 40), why="")
    theirs = binomtest(33, 40).proportion_ci(method="wilson")
    assert (figure["low"], figure["high"]) == pytest.approx((theirs.low, theirs.high))
    assert (figure["count"], figure["of"], figure["effective"], figure["method"]) == (33, 40, 40, "Wilson")


def test_copies_of_a_film_count_once():
    hits = np.repeat(np.arange(30) < 24, 5)
    figure = proportion(hits, keys(*[5] * 30), why="")
    assert figure["method"] == "Wilson by patient"
    low, high = wilson(24, 30)
    # A little wider, since how much films resemble each other is itself only known from 30 patients.
    assert figure["low"] < low < figure["low"] + 0.02
    assert figure["high"] > high > figure["high"] - 0.02


def test_the_design_effect_is_that_of_the_survey_books():
    generator = np.random.default_rng(1)
    groups = keys(*generator.integers(1, 8, 60))
    chance = np.repeat(generator.random(60), np.bincount(groups.astype(int)))
    hits = generator.random(len(groups)) < chance
    totals = np.array([hits[groups == key].sum() for key in np.unique(groups)])
    sizes = np.array([(groups == key).sum() for key in np.unique(groups)])
    share, films = hits.mean(), len(hits)
    between = 60 / 59 * ((totals - share * sizes) ** 2).sum() / films**2  # Cochran, the ratio estimator
    binomial = share * (1 - share) / (films - 1)
    assert effective_films(hits, groups) == pytest.approx(films * binomial / between, rel=0.06)


def test_films_that_contradict_their_patient_make_it_no_narrower():
    hits = np.tile([True, False], 20)
    assert effective_films(hits, keys(*[2] * 20)) < 40


@pytest.mark.parametrize("hits", [np.ones(12, bool), np.zeros(12, bool)])
def test_where_all_films_agree_each_patient_counts_once(hits):
    assert effective_films(hits, keys(6, 3, 3)) == 3
    figure = proportion(hits, keys(6, 3, 3), why="")
    assert (figure["low"], figure["high"]) == pytest.approx(wilson(3 * hits.mean(), 3))


def test_one_patient_is_one_trial():
    assert effective_films(np.array([True, False, True]), keys(3)) == 1


def test_nothing_counted_is_null_with_the_reason():
    figure = proportion(np.zeros(0, bool), np.zeros(0, str), why="no_positive_films")
    assert (figure["value"], figure["low"], figure["of"]) == (None, None, 0)
    assert figure["why"] == "no_positive_films"


def test_the_table_is_that_of_the_confusion_matrix(noisy):
    scores = noisy(200, films_per_patient=2)
    own, called = scores.labels == 1, scores.positive_scores >= 0.5
    (rejected, alarms), (missed, hits) = confusion_matrix(own, called)
    figures = two_by_two(own, called, scores.groups)
    counts = {name: (figure["count"], figure["of"]) for name, figure in figures.items()}
    assert counts == {"sensitivity": (hits, hits + missed), "specificity": (rejected, rejected + alarms),
                      "ppv": (hits, hits + alarms), "npv": (rejected, rejected + missed)}
