import numpy as np
import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.explain.designs import DESIGNS, block_size, draw_presence


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
