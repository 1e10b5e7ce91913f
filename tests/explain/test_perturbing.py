import numpy as np
import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.explain.perturbing import ABSENT, BATCH, filling, perturbed, scores_of


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
    sizes, steps = [], []

    def scorer(films: np.ndarray) -> np.ndarray:
        sizes.append(len(films))
        return (films[:, ::8, ::8, 0] > 0).reshape(len(films), -1).astype(np.float32)

    scores = scores_of(tiled_film, filling(tiled_film, "zero"), tiles, presence, scorer=scorer,
                       advance=steps.append)
    np.testing.assert_array_equal(scores, presence)
    assert sizes == steps == [BATCH, BATCH, 3]
