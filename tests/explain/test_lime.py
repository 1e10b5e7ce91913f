from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.explain.lime import LimeOptions, closeness, explain_by_lime, log_odds

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


def test_the_class_that_the_film_is_given_is_explained(tiled_film, tiles, network_of):
    network = network_of(WEIGHTS)  # says 1 of the whole film
    given = explain_by_lime(tiled_film, tiles, network, options=LINEAR)
    np.testing.assert_allclose(given.weights, WEIGHTS, atol=1e-3)
    strict = explain_by_lime(tiled_film, tiles, network, options=LINEAR,
                             decide=lambda scores: (scores[:, 1] > 0.999).astype(int))
    np.testing.assert_allclose(strict.weights, -WEIGHTS, atol=1e-3)


@pytest.mark.parametrize("surrogate", ["logistic", "ridge", "tree"])
@pytest.mark.parametrize("design", ["bernoulli", "antithetic", "hadamard"])
def test_the_same_seed_gives_the_same_explanation(tiled_film, tiles, network_of, surrogate, design):
    options = LimeOptions(samples=200, surrogate=surrogate, answers="probability", design=design, seed=3)
    first, again, other = (explain_by_lime(tiled_film, tiles, network_of(WEIGHTS), options=each)
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
        found = explain_by_lime(tiled_film, tiles, network_of(np.zeros(16), 2.0), options=options)
        assert found.is_constant
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
    np.testing.assert_allclose(drawn, (WEIGHTS / 2.5)[tiles], atol=1e-3)


def test_memory_does_not_grow_with_the_samples(tiled_film, tiles, network_of):
    largest = []

    def scorer(films):
        largest.append(films.nbytes)
        return network_of(WEIGHTS)(films)

    explain_by_lime(tiled_film, tiles, scorer, options=LimeOptions(samples=3000))
    assert max(largest) == 32 * tiled_film.nbytes


@pytest.mark.parametrize(("changes", "rule"), [
    ({"samples": 31}, "at least two samples for each superpixel"),
    ({"samples": 0}, "at least two samples for each superpixel"),
    ({"answers": "margin"}, "imitates one of"),
    ({"answers": "log_odds"}, "the logistic one no log_odds"),
    ({"surrogate": "forest"}, "surrogate must be one"),
    ({"design": "sobol"}, "design that this program knows"),
    ({"absent": "noise"}, "filled in a way"),
    ({"sigma": 0.0}, "above 0"),
    ({"strength": float("nan")}, "above 0"),
    ({"keep": 0}, "at least one superpixel"),
])
def test_options_without_meaning_are_refused(tiled_film, tiles, network_of, changes, rule):
    with pytest.raises(OptionError, match=rule):
        explain_by_lime(tiled_film, tiles, network_of(WEIGHTS), options=replace(OPTIONS, **changes))


def test_one_superpixel_or_those_of_another_film_are_refused(tiled_film, tiles, network_of):
    with pytest.raises(FilmError, match="at least two superpixels"):
        explain_by_lime(tiled_film, np.zeros_like(tiles), network_of(WEIGHTS))
    with pytest.raises(FilmError, match=r"superpixels \(8, 32\) for a film \(32, 32\)"):
        explain_by_lime(tiled_film, tiles[:8], network_of(WEIGHTS))
    with pytest.raises(FilmError, match="uint8"):
        explain_by_lime(tiled_film[..., 0], tiles, network_of(WEIGHTS))


def test_log_odds_are_finite_at_the_ends():
    np.testing.assert_allclose(log_odds(np.array([0.0, 0.5, 0.9, 1.0])),
                               [-13.8155, 0, np.log(9), 13.8155], atol=1e-3)
