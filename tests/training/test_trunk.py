"""Features don't depend on how the work was cut into batches or shared among workers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.classifier import build_backbone, pooled_features
from pneumo_tf.training.augment import FILMS, apply_view, sample_view, view_rng
from pneumo_tf.training.pixels import Pixels, as_three_channels
from pneumo_tf.training.trunk import BATCH, film_outputs, view_features

MANY = 2 * BATCH + 3


@pytest.fixture(scope="module")
def many_films() -> Pixels:
    """Two batches and a part of a third, kept in another order than they are asked for."""
    store = np.random.default_rng(0).integers(0, 256, (MANY, 16, 16, 1), dtype=np.uint8)
    return Pixels(store, np.random.default_rng(1).permutation(MANY))


@pytest.fixture(scope="module")
def describing(small_backbone: Backbone) -> keras.Model:
    return pooled_features(build_backbone(small_backbone, 16), small_backbone.taps)


def views(network: keras.Model, pixels: Pixels, rows: list[int], *, count: int = 3, seed: int = 5,
          workers: int = 1) -> np.ndarray:
    return view_features(network, pixels, np.array(rows), views=count, augmentation=FILMS, seed=seed,
                         workers=workers)


def test_every_film_gets_what_the_network_predicts_for_it(
        describing: keras.Model, many_films: Pixels) -> None:
    expected = describing.predict(many_films.batch(range(MANY)).astype("float32"), batch_size=7, verbose=0)
    found = film_outputs(describing, many_films, description="Films")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_view_is_the_film_as_its_seed_row_and_number_say(
        describing: keras.Model, many_films: Pixels) -> None:
    drawn = [apply_view(many_films.film(row), sample_view(FILMS, view_rng(5, row, number)))
             for row in (4, 60) for number in range(3)]
    expected = describing.predict(as_three_channels(np.stack(drawn)), verbose=0)
    np.testing.assert_allclose(views(describing, many_films, [4, 60]).reshape(6, -1), expected,
                               rtol=1e-4, atol=1e-5)


def test_views_depend_neither_on_workers_nor_on_their_batch(
        describing: keras.Model, many_films: Pixels) -> None:
    rows = list(range(0, MANY, 2))
    together = views(describing, many_films, rows)
    assert together.shape == (len(rows), 3, describing.output_shape[-1])
    np.testing.assert_array_equal(views(describing, many_films, rows, workers=4), together)
    np.testing.assert_allclose(views(describing, many_films, rows[-2:]), together[-2:], rtol=1e-4, atol=1e-5)


def test_another_seed_gives_other_views(describing: keras.Model, many_films: Pixels) -> None:
    first, second = (views(describing, many_films, [0, 1], seed=seed) for seed in (0, 1))
    assert (np.abs(first - second).max(axis=-1) > 1e-3).all()


def test_no_views_are_an_empty_array(describing: keras.Model, many_films: Pixels) -> None:
    assert views(describing, many_films, [0, 1], count=0).shape == (2, 0, describing.output_shape[-1])
