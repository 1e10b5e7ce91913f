import numpy as np
import pytest

from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.explain.occlusion import occlusion_map

WEIGHTS = np.array([0, 0, 0, 0, 0, 2.0, 0, 0, 0, 0, -1.0, 0, 0, 0, 0, 0])


def test_covering_a_tile_costs_its_weight(tiled_film, tiles, network_of):
    """With patches of a tile's size side by side, the map is the weights themselves."""
    found = occlusion_map(tiled_film, network_of(WEIGHTS), explained=1, patch=0.25, step=1.0, absent="zero")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, WEIGHTS[tiles], atol=1e-3)
    other = occlusion_map(tiled_film, network_of(WEIGHTS), explained=0, patch=0.25, step=1.0, absent="zero")
    np.testing.assert_allclose(other, -found, atol=1e-3)


def test_overlapping_patches_are_averaged_and_every_pixel_is_covered(tiled_film, network_of):
    found = occlusion_map(tiled_film, network_of(WEIGHTS), explained=1, patch=0.3, step=0.4, absent="zero")
    assert np.isfinite(found).all()
    assert found[8, 8] > 0.9 * found.max()  # the pixels that tell the network of tiles 5 and 10
    assert found[16, 16] < 0.5 * found.min() < 0


def test_a_film_that_is_no_square_is_covered_to_its_edges():
    film = np.full((20, 33, 3), 99, np.uint8)

    def scorer(films):
        dark = (films[:, -1, -1, 0] == 0).astype(np.float32)
        return np.stack([dark, 1 - dark], axis=1)

    found = occlusion_map(film, scorer, explained=1, patch=0.3, absent="zero")
    assert found.shape == (20, 33)
    assert found.argmax() == found.size - 1 or found[-1, -1] == found.max()


def test_a_network_that_always_answers_the_same_leaves_an_empty_map(tiled_film, network_of):
    assert not occlusion_map(tiled_film, network_of(np.zeros(16), 40.0), explained=1).any()


@pytest.mark.parametrize("shares", [{"patch": 0.0}, {"patch": 1.1}, {"step": 0.0}, {"step": -1.0}])
def test_patches_that_are_no_share_are_refused(tiled_film, network_of, shares):
    with pytest.raises(OptionError, match="shares above 0"):
        occlusion_map(tiled_film, network_of(WEIGHTS), explained=1, **shares)


def test_another_film_is_refused(network_of):
    with pytest.raises(FilmError, match="uint8"):
        occlusion_map(np.zeros((32, 32)), network_of(WEIGHTS), explained=1)
