from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.explain.lime import (
    DESIGNS,
    LimeOptions,
    block_size,
    closeness,
    draw_presence,
    explain_by_lime,
    log_odds,
)

WEIGHTS = np.array([2.5, -1.5, 1.0, 0.6, -0.4, *[0.0] * 11])
OPTIONS = LimeOptions()
LINEAR = LimeOptions(samples=400, surrogate="ridge", answers="log_odds", strength=1e6)


def test_the_weights_of_a_linear_network_are_found(tiled_film, tiles, network_of):
    found = explain_by_lime(tiled_film, tiles, network_of(WEIGHTS), explained=1, options=LINEAR)
    np.testing.assert_allclose(found.weights, WEIGHTS, atol=1e-3)
    assert found.ranked()[:5].tolist() == [0, 1, 2, 3, 4]
    assert found.r2 == pytest.approx(1)
    assert found.samples == 400


def test_the_other_class_is_explained_by_the_opposite(tiled_film, tiles, network_of):
    found = explain_by_lime(tiled_film, tiles, network_of(WEIGHTS), explained=0, options=LINEAR)
    np.testing.assert_allclose(found.weights, -WEIGHTS, atol=1e-3)


def test_as_assigned_the_ranking_of_the_strongest_is_found(tiled_film, tiles, network_of):
    found = explain_by_lime(tiled_film, tiles, network_of(WEIGHTS, -1.2), explained=1, options=OPTIONS)
    assert set(found.ranked()[:3]) == {0, 1, 2}
    assert (np.sign(found.weights[:5]) == np.sign(WEIGHTS[:5])).all()


@pytest.mark.parametrize("surrogate", ["logistic", "ridge", "tree"])
@pytest.mark.parametrize("design", ["bernoulli", "antithetic", "hadamard"])
def test_the_same_seed_gives_the_same_explanation(tiled_film, tiles, network_of, surrogate, design):
    options = LimeOptions(samples=200, surrogate=surrogate, answers="probability", design=design, seed=3)
    first, again, other = (explain_by_lime(tiled_film, tiles, network_of(WEIGHTS), explained=1, options=each)
                           for each in (options, options, replace(options, seed=4)))
    np.testing.assert_array_equal(first.weights, again.weights)
    assert (first.weights != other.weights).any()


def test_closeness_is_that_of_equations_3_and_4():
    presence = np.random.default_rng(0).random((50, 12)) < 0.5
    for vector, found in zip(presence, closeness(presence, 0.4), strict=True):
        assert found == pytest.approx(np.exp(-cosine(np.ones(12), vector.astype(float)) ** 2 / 0.4**2))
    assert closeness(np.zeros((1, 12), bool), 0.4)[0] == pytest.approx(np.exp(-1 / 0.16))


def test_a_network_that_always_answers_the_same_is_said_to(tiled_film, tiles, network_of):
    for options in (OPTIONS, LINEAR, replace(OPTIONS, stop_early=True), replace(OPTIONS, keep=3)):
        found = explain_by_lime(tiled_film, tiles, network_of(np.zeros(16), 2.0), explained=1,
                                options=options)
        assert found.r2 is None
        assert len(found.ranked()) == 0
        assert not found.signed_map().any()


def test_it_stops_once_the_first_five_stay_the_same(tiled_film, tiles, network_of):
    options = replace(LINEAR, samples=5000, stop_early=True)
    found = explain_by_lime(tiled_film, tiles, network_of(WEIGHTS), explained=1, options=options)
    assert found.samples <= 256
    assert found.ranked()[:5].tolist() == [0, 1, 2, 3, 4]


def test_it_goes_on_while_the_ranking_still_changes(tiled_film, tiles, network_of):
    rng = np.random.default_rng(0)
    noise = network_of(lambda present: rng.normal(size=len(present)))
    options = replace(LINEAR, samples=640, stop_early=True)
    assert explain_by_lime(tiled_film, tiles, noise, explained=1, options=options).samples > 256


def test_a_hadamard_block_beats_as_many_coins(tiled_film, tiles, network_of):
    """With what pairs of tiles do together as the noise, which opposites cancel exactly."""
    rng = np.random.default_rng(5)
    together = np.triu(rng.normal(0, 0.15, (16, 16)), 1)

    def odds(present):
        signs = 2.0 * present - 1
        return signs @ (WEIGHTS / 4) + ((signs @ together) * signs).sum(axis=1)

    errors = {}
    for design in ("bernoulli", "hadamard"):
        options = replace(LINEAR, samples=64, design=design, sigma=1e3)
        found = [explain_by_lime(tiled_film, tiles, network_of(odds), explained=1,
                                 options=replace(options, seed=seed)).weights for seed in range(5)]
        errors[design] = np.abs(np.array(found) - WEIGHTS / 2).max()
    assert errors["hadamard"] < 0.01 < 0.3 < errors["bernoulli"]


def test_halves_of_the_samples_agree_where_the_network_is_linear(tiled_film, tiles, network_of):
    found = explain_by_lime(tiled_film, tiles, network_of(WEIGHTS), explained=1, options=LINEAR)
    np.testing.assert_allclose(found.halves, [WEIGHTS, WEIGHTS], atol=1e-2)


def test_the_map_has_each_weight_at_its_superpixel(tiled_film, tiles, network_of):
    found = explain_by_lime(tiled_film, tiles, network_of(WEIGHTS), explained=1, options=LINEAR)
    drawn = found.signed_map()
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, WEIGHTS[tiles], atol=1e-3)


def test_memory_does_not_grow_with_the_samples(tiled_film, tiles, network_of):
    largest = []

    def scorer(films):
        largest.append(films.nbytes)
        return network_of(WEIGHTS)(films)

    explain_by_lime(tiled_film, tiles, scorer, explained=1, options=LimeOptions(samples=3000))
    assert max(largest) == 32 * tiled_film.nbytes


@pytest.mark.parametrize(("changes", "rule"), [
    ({"samples": 31}, "at least two samples for each superpixel"),
    ({"samples": 0}, "at least two samples for each superpixel"),
    ({"answers": "margin"}, "imitates one of"),
    ({"answers": "log_odds"}, "the logistic one no log_odds"),
    ({"surrogate": "forest"}, "surrogate must be one"),
    ({"design": "sobol"}, "design must be one"),
    ({"absent": "noise"}, "filling must be one"),
    ({"sigma": 0.0}, "above 0"),
    ({"strength": float("nan")}, "above 0"),
    ({"keep": 0}, "at least one superpixel"),
])
def test_options_without_meaning_are_refused(tiled_film, tiles, network_of, changes, rule):
    with pytest.raises(OptionError, match=rule):
        explain_by_lime(tiled_film, tiles, network_of(WEIGHTS), explained=1,
                        options=replace(OPTIONS, **changes))


@pytest.mark.parametrize(("cut", "rule"), [
    (lambda film, tiles: (film, np.zeros_like(tiles)), "at least two superpixels"),
    (lambda film, tiles: (film, tiles[:8]), r"superpixels \(8, 32\) for a film \(32, 32\)"),
    (lambda film, tiles: (film[..., 0], tiles), "uint8"),
])
def test_one_superpixel_or_those_of_another_film_are_refused(tiled_film, tiles, network_of, cut, rule):
    with pytest.raises(FilmError, match=rule):
        explain_by_lime(*cut(tiled_film, tiles), network_of(WEIGHTS), explained=1, options=OPTIONS)


def test_log_odds_are_finite_at_the_ends():
    np.testing.assert_allclose(log_odds(np.array([0.0, 0.5, 0.9, 1.0])),
                               [-13.8155, 0, np.log(9), 13.8155], atol=1e-3)


@pytest.mark.parametrize("design", DESIGNS)
def test_the_seed_reaches_the_coins(design):
    first, again, other = (draw_presence(design, 20, 64, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.shape == (64, 20)
    assert first.dtype == bool


@pytest.mark.parametrize("design", DESIGNS)
def test_a_superpixel_is_present_in_half_of_the_films(design):
    presence = draw_presence(design, 30, 4096)
    assert abs(presence.mean() - 0.5) < 0.01
    assert np.abs(presence.mean(axis=0) - 0.5).max() < 0.05


def test_fair_coins_are_independent():
    signs = 2.0 * draw_presence("bernoulli", 12, 20_000) - 1
    agreement = signs.T @ signs / len(signs) - np.eye(12)
    assert np.abs(agreement).max() < 5 / np.sqrt(20_000)


@pytest.mark.parametrize("design", ["antithetic", "hadamard"])
def test_opposites_follow_each_other(design):
    presence = draw_presence(design, 9, 64)
    np.testing.assert_array_equal(presence[0::2], ~presence[1::2])


@pytest.mark.parametrize("superpixels", [1, 2, 3, 7, 8, 9, 64, 75])
def test_in_a_whole_block_any_two_superpixels_meet_as_often_as_not(superpixels):
    signs = 2.0 * draw_presence("hadamard", superpixels, block_size("hadamard", superpixels)) - 1
    np.testing.assert_array_equal(signs.T @ signs, len(signs) * np.eye(superpixels))


def test_what_two_superpixels_do_together_does_not_leak_into_a_third():
    """The reason for opposites: products of two signs are orthogonal to every single sign."""
    signs = 2.0 * draw_presence("hadamard", 6, block_size("hadamard", 6)) - 1
    pairs = np.stack([signs[:, i] * signs[:, j] for i in range(6) for j in range(i)], axis=1)
    np.testing.assert_array_equal(pairs.T @ signs, 0)


@pytest.mark.parametrize("design", DESIGNS)
def test_a_block_is_no_larger_than_it_must_be(design):
    assert block_size(design, 64) == {"bernoulli": 1, "antithetic": 2, "hadamard": 128}[design]
    assert block_size(design, 65) == {"bernoulli": 1, "antithetic": 2, "hadamard": 256}[design]


@pytest.mark.parametrize("design", DESIGNS)
def test_any_number_of_samples_is_given(design):
    assert [len(draw_presence(design, 5, n)) for n in (1, 2, 17, 33)] == [1, 2, 17, 33]


def test_an_unknown_design_is_refused():
    with pytest.raises(OptionError, match="bernoulli, antithetic, hadamard"):
        draw_presence("sobol", 5, 10)
