"""A network that other programs use is given the pixels that Pillow would have made."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from pneumo_tf.models.film_input import taking_films

SIZE = 64


@pytest.fixture(scope="module")
def pixels_alone() -> keras.Model:
    """A network that gives back what it is given."""
    inputs = keras.Input((SIZE, SIZE, 3))
    return keras.Model(inputs, layers.Identity()(inputs))


def photograph(height: int, width: int) -> Image.Image:
    """Smooth colours with some noise."""
    rng = np.random.default_rng(height * width)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((width, height))
    return Image.fromarray((np.asarray(coarse) + rng.normal(0, 9, (height, width, 3))).clip(0, 255)
                           .astype(np.uint8))


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize("shape", [(SIZE, SIZE), (299, 240), (SIZE, 500), (30, 51), (1, 9), (1500, 1231)])
def test_films_of_any_size_are_made_grey_and_resized_as_pillow_does(
        pixels_alone: keras.Model, shape: tuple[int, int], grey: bool) -> None:
    film = photograph(*shape)
    resized = (film.convert("L") if grey else film).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    expected = np.asarray(resized.convert("RGB"), float)
    found = np.asarray(taking_films(pixels_alone, any_size=True, grey=grey)(np.asarray(film)[None]))[0]
    assert found.shape == (SIZE, SIZE, 3)
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 1e-2  # halves, which Pillow's weights of 22 bits round either way


def test_films_of_one_size_are_made_grey_to_the_last_bit(pixels_alone: keras.Model) -> None:
    film = photograph(SIZE, SIZE)
    made = taking_films(pixels_alone, any_size=False, grey=True)
    assert made.input_shape == (None, SIZE, SIZE, 3)
    found = np.asarray(made(np.asarray(film)[None]))[0]
    assert (found == np.asarray(film.convert("L").convert("RGB"))).all()


def test_a_grey_film_stays_as_it_is(pixels_alone: keras.Model) -> None:
    levels = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(1, SIZE, SIZE, 1).repeat(3, axis=-1)
    assert (np.asarray(taking_films(pixels_alone, any_size=True, grey=True)(levels)) == levels).all()


def test_several_films_of_one_size_go_together(pixels_alone: keras.Model) -> None:
    films = np.stack([np.asarray(photograph(90, 70)), 255 - np.asarray(photograph(90, 70))])
    made = taking_films(pixels_alone, any_size=True, grey=False)
    one_by_one = np.concatenate([np.asarray(made(film[None])) for film in films])
    assert (np.asarray(made(films)) == one_by_one).all()
