import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from pneumo_tf.evaluation.area_intervals import delong, newcombe_auc, placements, variance


def by_pairs(is_positive, scores):
    """Structural components as DeLong defines them: every positive against every negative."""
    x, y = scores[is_positive][:, None], scores[~is_positive][None, :]
    won = (x > y) + (x == y) / 2
    return won.mean(axis=1), won.mean(axis=0)


@pytest.fixture
def tied():
    generator = np.random.default_rng(4)
    is_positive = generator.random(150) < 0.3
    return is_positive, np.round(generator.normal(is_positive * 1.2, 1), 1)


def test_the_ranks_give_what_all_pairs_give(tied):
    for fast, slow in zip(placements(*tied), by_pairs(*tied), strict=True):
        np.testing.assert_allclose(fast, slow, atol=1e-12)


def test_the_area_is_scikit_learns(tied):
    above, below = placements(*tied)
    assert above.mean() == pytest.approx(roc_auc_score(*tied))
    assert below.mean() == pytest.approx(roc_auc_score(*tied))


def test_the_variance_is_that_of_the_definition(tied):
    above, below = by_pairs(*tied)
    expected = np.cov(above) / len(above) + np.cov(below) / len(below)
    assert variance(*tied) == pytest.approx(expected)


def test_with_one_film_a_patient_patients_change_nothing(tied):
    assert variance(*tied, np.arange(150).astype(str)) == pytest.approx(variance(*tied))


def test_the_variance_by_patient_is_obuchowskis_by_its_definition(tied):
    is_positive, scores = tied
    groups = np.random.default_rng(1).integers(0, 60, 150).astype(str)  # some patients have films of both
    above, below = by_pairs(is_positive, scores)
    area, m, n = above.mean(), is_positive.sum(), (~is_positive).sum()
    v10, v01 = (np.zeros(150), np.zeros(150))
    v10[is_positive], v01[~is_positive] = above - area, below - area
    sums = [np.array([part[groups == key].sum() for key in np.unique(groups)]) for part in (v10, v01)]
    i = len(np.unique(groups))
    i10, i01 = (len(np.unique(groups[side])) for side in (is_positive, ~is_positive))
    s10, s01 = i10 / ((i10 - 1) * m) * (sums[0] ** 2).sum(), i01 / ((i01 - 1) * n) * (sums[1] ** 2).sum()
    s11 = i / (i - 1) * (sums[0] * sums[1]).sum()
    assert variance(is_positive, scores, groups) == pytest.approx(s10 / m + s01 / n + 2 * s11 / (m * n))


def test_copies_of_films_add_no_certainty_by_patient(tied):
    is_positive, scores = (np.repeat(part, 4) for part in tied)
    groups = np.repeat(np.arange(150), 4).astype(str)
    assert variance(is_positive, scores, groups) == pytest.approx(variance(*tied))
    assert variance(is_positive, scores) < 0.3 * variance(*tied)


def test_one_patient_of_a_class_shows_no_spread(tied):
    is_positive, scores = tied
    groups = np.where(is_positive, "one", np.arange(150).astype(str))
    assert delong(is_positive, scores, groups) is None


def test_the_interval_surrounds_the_area_and_stays_below_1():
    is_positive = np.array([False] * 8 + [True] * 8)
    scores = np.array([1, 2, 3, 4, 5, 6, 7, 9, 8, 10, 11, 12, 13, 14, 15, 16.0])
    low, high = delong(is_positive, scores)
    assert 0.7 < low < 63 / 64 < high < 1


def test_the_interval_holds_the_true_area_in_95_of_100_simulations():
    generator, truth = np.random.default_rng(0), norm.cdf(1.5 / np.sqrt(2))
    is_positive = np.arange(200) < 80
    held = 0
    for _ in range(2000):
        low, high = delong(is_positive, generator.normal(1.5 * is_positive, 1))
        held += low <= truth <= high
    assert 0.93 < held / 2000 < 0.97


@pytest.mark.parametrize(("labels", "scores"), [
    ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]),  # perfectly apart
    ([0, 0, 1], [0.1, 0.9, 0.5]),          # one positive
    ([1, 1, 1], [0.1, 0.9, 0.5]),          # no negative
])
def test_where_no_spread_can_be_seen_there_is_no_interval(labels, scores):
    assert delong(np.array(labels, dtype=bool), np.array(scores)) is None


def test_the_area_of_hanley_and_mcneils_example_is_as_uncertain_as_they_found():
    low, high = newcombe_auc(0.893, 51, 58)
    # Their standard error is 0.032 (Radiology 1982, 143:29).
    assert high - low == pytest.approx(2 * 1.96 * 0.032, rel=0.1)
    assert 0.893 - low > high - 0.893  # and it leans away from 1


def test_a_perfect_area_is_the_less_certain_the_fewer_patients_show_it():
    few, many = newcombe_auc(1.0, 10, 10), newcombe_auc(1.0, 100, 100)
    assert few[1] == many[1] == 1.0
    assert 0.7 < few[0] < 0.95 < many[0] < 1.0
    mirrored = newcombe_auc(0.0, 10, 10)
    assert mirrored == pytest.approx((0.0, 1 - few[0]), abs=1e-9)
