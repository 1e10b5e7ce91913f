import numpy as np
import pytest
from scipy.stats import binomtest, norm
from scipy.stats import bootstrap as scipy_bootstrap
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from pneumo_tf.evaluation.intervals import (
    bootstrap,
    changes,
    delong,
    effective_films,
    newcombe_auc,
    placements,
    proportion,
    variance,
    wilson,
)
from pneumo_tf.evaluation.statistics import auc_of, mean_of_films


def test_wilson_gives_the_published_interval():
    # Newcombe 1998, Stat Med 17:857, table I: 81 of 263 and 15 of 148, score method.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_wilson_stays_inside_0_and_1_where_all_succeed():
    low, high = wilson(20, 20)
    assert (low, high) == pytest.approx((0.8389, 1.0), abs=1e-4)  # Newcombe 1998: 0 of 20 mirrored


@pytest.mark.parametrize(("count", "of"), [(0, 12), (7, 12), (12, 12), (418, 450)])
def test_wilson_is_scipys_and_statsmodels(count, of):
    theirs = binomtest(count, of).proportion_ci(method="wilson")
    assert wilson(count, of) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert wilson(count, of) == pytest.approx(proportion_confint(count, of, method="wilson"), abs=1e-12)


def test_fewer_than_ten_patients_have_no_bootstrap_interval():
    values = np.arange(40.0)
    for patients, is_known in ((9, False), (10, True)):
        groups = (np.arange(40) % patients).astype(str)
        interval = bootstrap({"mean": mean_of(values)}, groups, seed=0, resamples=50)["mean"]
        assert (interval.low is not None) is is_known


def mean_of(values):
    return lambda weights: weights @ values / weights.sum(axis=1)


def test_the_bootstrap_of_a_mean_matches_its_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    groups = np.arange(400).astype(str)
    interval = bootstrap({"mean": mean_of(values)}, groups, seed=1, resamples=2000)["mean"]
    standard_error = values.std() / np.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.15 * standard_error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.15 * standard_error)


def test_the_ends_are_scipys_bca():
    values = np.random.default_rng(3).exponential(size=60)
    theirs = scipy_bootstrap((values,), np.mean, method="BCa", n_resamples=20_000, rng=0).confidence_interval
    ours = bootstrap({"mean": mean_of(values)}, np.arange(60).astype(str), seed=1, resamples=20_000)["mean"]
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.015)
    plain = np.quantile(np.random.default_rng(1).choice(values, (20_000, 60)).mean(axis=1), [0.025, 0.975])
    assert ours.high - plain[1] > 0.02  # skewed to the right, and the interval knows


def test_copies_of_one_patient_add_no_certainty():
    once, groups = np.random.default_rng(0).normal(size=100), np.arange(100).astype(str)
    nine, nine_groups = np.repeat(once, 9), np.repeat(groups, 9)
    single = bootstrap({"mean": mean_of(once)}, groups, seed=1, resamples=500)["mean"]
    copied = bootstrap({"mean": mean_of(nine)}, nine_groups, seed=1, resamples=500)["mean"]
    assert (copied.low, copied.high) == pytest.approx((single.low, single.high))


def test_every_resample_draws_as_many_patients_as_there_are():
    groups = np.array(["a", "a", *"bcdefghijk"])
    seen = []

    def watch(weights):
        seen.append(weights)
        return weights[:, 0]

    bootstrap({"watch": watch}, groups, seed=0, resamples=250)
    drawn = np.concatenate(seen)[:250]  # what follows are all patients but one, and all
    assert drawn.shape == (250, 12)
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, 1:].sum(axis=1) == 11).all()


def test_undefined_resamples_are_skipped_and_counted():
    def undefined_without_the_first(weights):
        return np.where(weights[:, 0] > 0, 1.0, np.nan)

    groups = np.array([*"abcdefghij"])
    interval = bootstrap({"x": undefined_without_the_first}, groups, seed=0, resamples=1000)["x"]
    assert interval.skipped == pytest.approx(349, abs=50)  # (9/10)¹⁰ of the resamples lack the first
    assert (interval.low, interval.high) == (1.0, 1.0)


def test_a_statistic_that_never_exists_has_no_interval():
    interval = bootstrap({"x": lambda w: np.full(len(w), np.nan)}, np.array([*"abcdefghij"]), seed=0,
                         resamples=10)["x"]
    assert (interval.low, interval.high, interval.skipped) == (None, None, 10)


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
    area = auc_of(scores.labels == 1, scores.positive_scores)
    found = changes({"auc": (area, area)}, scores.groups, seed=0, resamples=20)["auc"]
    assert (found["value"], found["why"]) == (None, "one_class_only")


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
