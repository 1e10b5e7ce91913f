"""Features don't depend on how the work was cut into batches or shared among workers."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.classifier import build_backbone, pooled_features
from pneumo_tf.models.folding import fold_batch_norm
from pneumo_tf.training import trunk
from pneumo_tf.training.engine import Engine, KerasEngine
from pneumo_tf.training.pixels import Pixels, as_three_channels
from pneumo_tf.training.store import Cache, MappedRows
from pneumo_tf.training.trunk import (
    BATCH,
    film_activations,
    film_outputs,
    scores_and_features,
    view_activations,
)
from pneumo_tf.training.views import FILMS, Augmentation, apply_view, sample_view, view_rng

MANY = 2 * BATCH + 3


@pytest.fixture(scope="module")
def many_films() -> Pixels:
    """Two batches and a part of a third, kept in another order than they are asked for."""
    store = np.random.default_rng(0).integers(0, 256, (MANY, 16, 16, 1), dtype=np.uint8)
    return Pixels(store, np.random.default_rng(1).permutation(MANY), key="many")


@pytest.fixture(scope="module")
def network(small_backbone: Backbone) -> keras.Model:
    return pooled_features(build_backbone(small_backbone, 16), small_backbone.taps)


@pytest.fixture(scope="module")
def describing(network: keras.Model) -> Engine:
    return KerasEngine(network)


def views(engine: Engine, pixels: Pixels, rows: list[int], *, count: int = 3, seed: int = 5,
          workers: int = 1, cache: Cache | None = None, augmentation: Augmentation = FILMS) -> np.ndarray:
    return view_activations(engine, pixels, np.array(rows), views=count, augmentation=augmentation, seed=seed,
                            workers=workers, cache=cache).gather(rows)


def test_scores_of_all_films_and_features_of_some_are_parts_of_one_output(describing: Engine,
                                                                          many_films: Pixels) -> None:
    expected, rows = film_outputs(describing, many_films, description="Films"), np.array([40, 3, MANY - 1])
    scores, features = scores_and_features(describing, many_films, classes=5, rows=rows)
    np.testing.assert_allclose(scores, expected[:, :5], atol=1e-6)
    np.testing.assert_allclose(features, expected[rows, 5:], atol=1e-6)


def test_every_film_gets_what_the_network_predicts_for_it(
        network: keras.Model, describing: Engine, many_films: Pixels) -> None:
    expected = network.predict(many_films.batch(range(MANY)).astype("float32"), batch_size=7, verbose=0)
    found = film_outputs(describing, many_films, description="Films")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_view_is_the_film_as_its_seed_place_and_number_say(
        network: keras.Model, describing: Engine, many_films: Pixels) -> None:
    rngs = [(row, view_rng(5, many_films.positions[row], number)) for row in (4, 60) for number in range(3)]
    drawn = [apply_view(many_films.film(row), sample_view(FILMS, rng)) for row, rng in rngs]
    expected = network.predict(as_three_channels(np.stack(drawn)), verbose=0)
    np.testing.assert_allclose(views(describing, many_films, [4, 60]).reshape(6, -1), expected,
                               rtol=1e-4, atol=1e-5)


def test_views_depend_neither_on_workers_nor_on_their_batch(
        describing: Engine, many_films: Pixels) -> None:
    rows = list(range(0, MANY, 2))
    together = views(describing, many_films, rows)
    assert together.shape == (len(rows), 3, describing.output_shape[-1])
    np.testing.assert_array_equal(views(describing, many_films, rows, workers=4), together)
    np.testing.assert_allclose(views(describing, many_films, rows[-2:]), together[-2:], rtol=1e-4, atol=1e-5)


def test_another_seed_gives_other_views(describing: Engine, many_films: Pixels) -> None:
    first, second = (views(describing, many_films, [0, 1], seed=seed) for seed in (0, 1))
    assert (np.abs(first - second).max(axis=-1) > 1e-3).all()


def test_no_views_are_an_empty_array(describing: Engine, many_films: Pixels) -> None:
    assert views(describing, many_films, [0, 1], count=0).shape == (2, 0, describing.output_shape[-1])


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of pictures that the network was given."""
    counts: list[int] = []

    def counting(engine: Engine, films: np.ndarray, batch: int) -> np.ndarray:
        counts.append(len(films))
        return original(engine, films, batch)

    original = trunk._predict
    monkeypatch.setattr(trunk, "_predict", counting)
    return counts


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def interrupt_after(batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(engine: Engine, films: np.ndarray, batch: int) -> np.ndarray:
        left.pop()
        return original(engine, films, batch)

    left, original = [None] * batches, trunk._predict
    monkeypatch.setattr(trunk, "_predict", breaking)


def test_a_second_run_computes_nothing_and_gives_the_same_bits(
        describing: Engine, many_films: Pixels, cache: Cache, predicted: list[int]) -> None:
    fresh = film_outputs(describing, many_films, description="Films")
    np.testing.assert_array_equal(film_outputs(describing, many_films, description="", cache=cache), fresh)
    fresh_views = views(describing, many_films, [3, 1, 60])
    np.testing.assert_array_equal(views(describing, many_films, [3, 1, 60], cache=cache), fresh_views)
    predicted.clear()
    np.testing.assert_array_equal(film_outputs(describing, many_films, description="", cache=cache), fresh)
    np.testing.assert_array_equal(views(describing, many_films, [3, 1, 60], cache=cache), fresh_views)
    assert predicted == []


def test_another_split_computes_only_the_films_it_has_more(
        describing: Engine, many_films: Pixels, cache: Cache, predicted: list[int]) -> None:
    views(describing, many_films, list(range(30)), cache=cache)
    predicted.clear()
    found = views(describing, many_films, [50, 2, 40, 7], cache=cache)
    assert sum(predicted) == 2 * 3
    np.testing.assert_array_equal(found, views(describing, many_films, [50, 2, 40, 7]))


def test_films_in_another_order_or_fewer_of_them_find_theirs(
        describing: Engine, many_films: Pixels, cache: Cache, predicted: list[int]) -> None:
    every = film_outputs(describing, many_films, description="Films", cache=cache)
    predicted.clear()
    some = replace(many_films, positions=many_films.positions[[9, 4, 30]])
    np.testing.assert_array_equal(
        film_outputs(describing, some, description="Films", cache=cache), every[[9, 4, 30]])
    assert predicted == []


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batches", [1, 3])
def test_an_interrupted_computation_ends_with_the_same_bits(
        describing: Engine, many_films: Pixels, cache: Cache, predicted: list[int], batches: int,
        workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(range(0, MANY, 2))
    whole = views(describing, many_films, rows)
    with monkeypatch.context() as patch:
        interrupt_after(batches, patch)
        with pytest.raises(IndexError):
            views(describing, many_films, rows, cache=cache, workers=workers)
    done = BATCH // 3 * batches
    predicted.clear()
    np.testing.assert_array_equal(views(describing, many_films, rows, cache=cache, workers=workers), whole)
    assert sum(predicted) == (len(rows) - done) * 3


def test_each_thing_that_a_view_depends_on_has_its_own_features(
        describing: Engine, many_films: Pixels, cache: Cache, predicted: list[int],
        small_backbone: Backbone) -> None:
    def computed(engine: Engine = describing, pixels: Pixels = many_films, **options: object) -> int:
        predicted.clear()
        views(engine, pixels, [0], cache=cache, **options)  # type: ignore[arg-type]
        return sum(predicted)

    others = KerasEngine(pooled_features(build_backbone(small_backbone, 16), small_backbone.taps))
    assert computed() == 3
    assert computed(seed=6) == 3
    assert computed(count=2) == 2
    assert computed(augmentation=replace(FILMS, rotation=(0, 0))) == 3
    assert computed(pixels=replace(many_films, key="others")) == 3
    assert computed(others) == 3
    assert computed(describing.coarse()) == 3
    assert computed() == 0


def test_films_whose_origin_is_unknown_are_never_kept(
        describing: Engine, many_films: Pixels, cache: Cache) -> None:
    film_outputs(describing, replace(many_films, key=""), description="Films", cache=cache)
    assert cache.entries() == []


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_feature_maps_are_kept_in_the_networks_own_precision_and_read_in_batches(
        small_backbone: Backbone, many_films: Pixels, cache: Cache, precision: str) -> None:
    network = build_backbone(small_backbone, 16)
    folded = fold_batch_norm(network, dtype=precision)
    expected = np.asarray(folded.predict_on_batch(many_films.batch([5, 60])))
    engine = KerasEngine(network)
    found = film_activations(engine if precision == "float32" else engine.coarse(), many_films,
                             description="Films", cache=cache)
    assert isinstance(found.store, MappedRows)
    assert (len(found), found.store.shape) == (MANY, (MANY, *network.output_shape[1:]))
    batch = found.batch([5, 60])
    assert batch.dtype == expected.dtype == ("float32" if precision == "float32" else "bfloat16")
    np.testing.assert_allclose(batch.astype("float32"), expected.astype("float32"), rtol=1e-2, atol=1e-2)


def test_one_view_of_some_films_can_be_asked_for_and_none_that_was_not_computed(
        small_backbone: Backbone, many_films: Pixels, cache: Cache) -> None:
    engine = KerasEngine(build_backbone(small_backbone, 16))
    options = {"views": 3, "augmentation": FILMS, "seed": 5, "workers": 1}
    found = view_activations(engine, many_films, np.array([3, 60]), cache=cache, **options)
    every = found.batch([60, 3])
    assert every.shape == (2, 3, *engine.output_shape)
    np.testing.assert_array_equal(found.batch([60, 3], 1), every[:, 1])
    with pytest.raises(IndexError):
        found.batch([4])


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from pneumo_tf.training import trunk
from pneumo_tf.training.store import Cache
sys.path.insert(0, sys.argv[2])
from given import network, films
def dying(*given, original=trunk._predict, left=[None, None]):
    left.pop() if left else os.kill(os.getpid(), signal.SIGKILL)
    return original(*given)
trunk._predict = dying
trunk.film_outputs(network(), films(), description="Films", cache=Cache(Path(sys.argv[1])))
"""
GIVEN = """
import keras, numpy as np
from keras import layers
from pneumo_tf.training.engine import KerasEngine
from pneumo_tf.training.pixels import Pixels
def network():
    film = keras.Input((16, 16, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(film))
    model = keras.Model(film, layers.Dense(5)(pooled))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return KerasEngine(model)
def films():
    store = np.random.default_rng(0).integers(0, 256, (100, 16, 16, 1), dtype=np.uint8)
    return Pixels(store, np.arange(100), "given")
"""


def test_a_killed_process_is_gone_on_with_by_another_one(
        cache: Cache, tmp_path: Path, predicted: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "given.py").write_text(GIVEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    from given import films, network  # type: ignore[import-not-found]

    killed = subprocess.run([sys.executable, "-c", KILLED, str(cache.folder), str(tmp_path)], check=False,
                            cwd=Path(__file__).resolve().parents[2])
    assert killed.returncode == -signal.SIGKILL
    network()  # what else a process has built changes the names of layers, and nothing else
    found = film_outputs(network(), films(), description="Films", cache=cache)
    assert sum(predicted) == 100 - 2 * BATCH
    np.testing.assert_array_equal(found, film_outputs(network(), films(), description="Films"))
