import numpy as np
import pytest
from skimage.segmentation import slic
from sklearn.metrics import homogeneity_score

from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.explain.superpixels import (
    ABSENT,
    BATCH,
    SEGMENTATIONS,
    filling,
    outlined,
    perturbed,
    scores_of,
    segment,
)
from pneumo_tf.phantoms.write import draw_phantom


@pytest.fixture(scope="module")
def chest() -> np.ndarray:
    """A phantom at 96 pixels, in the three channels of a network's input."""
    film = draw_phantom("bacteria", patient_seed=3, film_seed=5).film
    rows, columns = (np.linspace(0, side - 1, 96).astype(int) for side in film.shape)
    return np.repeat(film[np.ix_(rows, columns)][..., None], 3, axis=-1)


@pytest.mark.parametrize("method", SEGMENTATIONS)
def test_every_pixel_has_a_number_and_no_number_is_left_out(chest, method):
    labels = segment(chest, method)
    assert labels.shape == (96, 96)
    assert labels.dtype == np.int32
    assert set(np.unique(labels)) == set(range(labels.max() + 1))
    assert 5 < labels.max() < 80


@pytest.mark.parametrize("method", SEGMENTATIONS)
def test_the_same_seed_gives_the_same_superpixels(chest, method):
    np.testing.assert_array_equal(segment(chest, method, seed=5), segment(chest, method, seed=5))


def test_slic_is_that_of_the_assignment(chest):
    np.testing.assert_array_equal(segment(chest), slic(chest, start_label=0, n_segments=80))


@pytest.mark.parametrize("method", ["kmeans", "birch"])
def test_clusters_of_places_and_shades_lie_inside_one_tile(tiled_film, tiles, method):
    found = segment(tiled_film, method, count=60)
    assert homogeneity_score(tiles.ravel(), found.ravel()) > 0.93


def test_clusters_of_colours_belong_together_wherever_they_lie():
    film = np.zeros((8, 8, 3), np.uint8)
    film[:2, :2] = film[6:, 6:] = (200, 30, 30)
    labels = segment(film, "colour")
    assert labels.max() == 1  # two colours, though twelve were allowed
    assert labels[0, 0] == labels[7, 7] != labels[4, 4]


@pytest.mark.parametrize("method", SEGMENTATIONS)
def test_a_film_of_one_colour_has_no_superpixels(method):
    with pytest.raises(FilmError, match="all its pixels have one colour"):
        segment(np.full((32, 32, 3), 90, np.uint8), method)


@pytest.mark.parametrize("film", [
    np.zeros((32, 32), np.uint8),        # grey, without channels
    np.zeros((32, 32, 1), np.uint8),
    np.zeros((1, 32, 32, 3), np.uint8),  # a batch
    np.zeros((32, 32, 3), np.float32),   # scaled to 0-1
    np.zeros((0, 32, 3), np.uint8),
])
def test_anything_but_a_film_in_8_bit_colour_is_refused(film):
    with pytest.raises(FilmError, match=r"uint8 \(height, width, 3\)"):
        segment(film)


def test_unknown_ways_and_a_single_superpixel_are_refused(chest):
    with pytest.raises(OptionError, match="slic, kmeans, birch, colour"):
        segment(chest, "watershed")
    with pytest.raises(OptionError, match="at least two"):
        segment(chest, count=1)


def test_borders_are_drawn_where_the_numbers_change(tiled_film, tiles):
    drawn = outlined(tiled_film, tiles)
    changed = (drawn != tiled_film).any(axis=2)
    assert (drawn[changed] == (255, 255, 0)).all()
    assert changed[7:9, 3].any()
    assert not changed[3:5, 3:5].any()


@pytest.mark.parametrize("absent", ABSENT)
def test_present_tiles_are_the_films_and_absent_ones_the_fillings(tiled_film, tiles, absent):
    presence = np.random.default_rng(0).random((5, 16)) < 0.5
    fill = filling(tiled_film, absent, tiles)
    films = perturbed(tiled_film, fill, tiles, presence)
    for film, row in zip(films, presence, strict=True):
        np.testing.assert_array_equal(film, np.where(row[tiles][..., None], tiled_film, fill))


def test_fillings_are_black_the_mean_of_each_tile_or_a_blur(tiled_film, tiles):
    assert not filling(tiled_film, "zero").any()
    mean = filling(tiled_film, "mean", tiles)
    for number in range(16):
        assert np.abs(mean[tiles == number] - tiled_film[tiles == number].mean()).max() <= 0.5
    assert filling(tiled_film, "mean").std() == 0
    blurred = filling(tiled_film, "blur")
    assert blurred.std() < 0.7 * tiled_film.std()
    assert abs(blurred.mean() - tiled_film.mean()) < 10


def test_an_unknown_filling_is_refused(tiled_film):
    with pytest.raises(OptionError, match="zero, mean, blur"):
        filling(tiled_film, "noise")


def test_films_are_scored_in_order_a_batch_at_a_time(tiled_film, tiles):
    presence = np.random.default_rng(0).random((2 * BATCH + 3, 16)) < 0.5
    sizes = []

    def scorer(films: np.ndarray) -> np.ndarray:
        sizes.append(len(films))
        return (films[:, ::8, ::8, 0] > 0).reshape(len(films), -1).astype(np.float32)

    scores = scores_of(tiled_film, filling(tiled_film, "zero"), tiles, presence, scorer=scorer)
    np.testing.assert_array_equal(scores, presence)
    assert sizes == [BATCH, BATCH, 3]
