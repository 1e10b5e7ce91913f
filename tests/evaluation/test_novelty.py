"""Films unlike all of the training: of like ones as seldom as was asked for, and always far away."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from pneumo_tf.evaluation.novelty import Novelty, Space, fit_novelty, upper_bound

WIDE = 90  # features, of which 20 vary together


def films(count: int, seed: int, *, away: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Features of two classes, and which class each is of; `away` along a direction that no film has."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(20, WIDE))
    labels = rng.integers(0, 2, count)
    values = (rng.normal(size=(count, 20)) + 3 * labels[:, None] * np.eye(20)[0]) @ mixing
    values += rng.normal(0, 0.3, (count, WIDE))
    values[:, -1] += away
    return values.astype(np.float32), labels


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    fitted = fit_novelty(*films(600, 1), films(400, 2)[0])
    assert fitted is not None
    return fitted


def test_like_films_are_refused_about_as_often_as_was_asked_for(novelty: Novelty) -> None:
    assert 0.001 < np.mean(novelty.distances(films(4000, 3)[0]) > novelty.threshold) < 0.025


def test_films_of_no_class_are_refused_wherever_they_differ(novelty: Novelty) -> None:
    beside_all_directions, _ = films(50, 4, away=60)
    far_along_them = 4 * films(50, 5)[0] + 40
    for strange in (beside_all_directions, far_along_them):
        assert (novelty.distances(strange) > novelty.threshold).all()


def test_the_distance_is_the_mean_of_the_three_nearest_films_of_the_nearer_class(novelty: Novelty) -> None:
    asked = films(30, 6)[0]
    weights = 1 / np.sqrt(novelty.space.spread)
    points = novelty.space.coordinates(asked) * weights
    means = [NearestNeighbors(n_neighbors=3).fit(novelty.films[novelty.labels == label] * weights[:-1])
             .kneighbors(points[:, :-1])[0].mean(axis=1) for label in (0, 1)]
    np.testing.assert_allclose(novelty.distances(asked), np.hypot(np.min(means, axis=0), points[:, -1]),
                               rtol=1e-3)


def test_the_space_keeps_the_length_of_what_it_does_not_explain() -> None:
    values, _ = films(200, 7)
    space = Space.of(values)
    coordinates = space.coordinates(values)
    np.testing.assert_allclose((coordinates**2).sum(axis=1), ((values - space.mean) ** 2).sum(axis=1),
                               rtol=0.01)
    assert coordinates.shape[1] == 65


@pytest.mark.parametrize("validation", [6, 20, 150])
def test_few_validation_films_refuse_no_more(validation: int) -> None:
    shares = []
    for seed in range(10):
        fitted = fit_novelty(*films(80, 10 + seed), films(validation, 40 + seed)[0])
        assert fitted is not None
        shares.append(np.mean(fitted.distances(films(300, 70 + seed)[0]) > fitted.threshold))
    assert np.mean(shares) < 0.025


@pytest.mark.parametrize("count", [6, 30, 99, 400])
def test_a_further_value_is_above_the_bound_at_the_rate_or_less(count: int) -> None:
    rng = np.random.default_rng(count)
    above = [np.mean(rng.normal(size=200) > upper_bound(rng.normal(size=count), 0.05)) for _ in range(400)]
    assert 0.01 < np.mean(above) < 0.065


def test_the_bound_of_enough_values_is_one_of_them_and_of_few_none_below_them() -> None:
    values = np.random.default_rng(0).permutation(np.arange(199.0))
    assert upper_bound(values, 0.01) == 197
    assert upper_bound(values[:20]) >= values[:20].max()


def test_too_few_films_tell_nothing() -> None:
    assert fit_novelty(*films(4, 1), films(40, 2)[0]) is None
    assert fit_novelty(*films(40, 1), films(4, 2)[0]) is None
