import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import bootstrap as scipy_bootstrap
from statsmodels.stats.proportion import proportion_confint

from pneumo_tf.evaluation.intervals import bootstrap, newcombe_auc, wilson


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
