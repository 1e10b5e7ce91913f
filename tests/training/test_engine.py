"""Whatever engine computes a frozen network, its outputs are Keras's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.errors import OptionError, TrainingError
from pneumo_tf.models.backbones import BACKBONES, Backbone
from pneumo_tf.models.classifier import build_backbone, pooled_features
from pneumo_tf.models.folding import fold_batch_norm
from pneumo_tf.training import graphs
from pneumo_tf.training.engine import (
    AUTO,
    KERAS,
    ONNX,
    OPENVINO,
    Graph,
    build_engine,
    choose_engine,
    compare,
    fingerprint,
)
from pneumo_tf.training.fast import Fast
from pneumo_tf.training.machine import Device
from pneumo_tf.training.pixels import Pixels
from pneumo_tf.training.store import Cache
from pneumo_tf.training.task import Task
from pneumo_tf.training.trunk import film_outputs

FILMS = np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino isn't installed")
needs_onnx = pytest.mark.skipif(not (find_spec("onnxruntime") and find_spec("tf2onnx")),
                                reason="onnxruntime and tf2onnx aren't both installed")
runtimes = [pytest.param(OPENVINO, marks=needs_openvino), pytest.param(ONNX, marks=needs_onnx)]
every = pytest.mark.parametrize("name", [KERAS, *runtimes])


@pytest.fixture(scope="module")
def features(small_backbone: Backbone) -> keras.Model:
    keras.utils.set_random_seed(0)
    return pooled_features(build_backbone(small_backbone, 32), small_backbone.taps)


@pytest.fixture(scope="module")
def maps(small_backbone: Backbone) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_backbone(small_backbone, 32)


@every
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_an_engine_gives_what_the_network_predicts(name: str, dtype: str, features: keras.Model,
                                                   maps: keras.Model) -> None:
    films = FILMS.astype(dtype)
    for network in (features, maps):
        made = build_engine(network, name, threads=2)
        found, expected = made(films), network.predict(films, verbose=0)
        assert (found.dtype, made.dtype, made.output_shape) == ("float32", "float32", expected.shape[1:])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@every
def test_a_real_backbone_agrees_too(name: str) -> None:
    network = build_backbone(BACKBONES["efficientnet_lite0"], 64)
    films = np.random.default_rng(1).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)
    expected = network.predict(films, verbose=0)
    found = build_engine(network, name, threads=1)(films)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", [KERAS, runtimes[0]])
def test_its_coarse_twin_is_near_but_not_the_same(name: str, features: keras.Model,
                                                  maps: keras.Model) -> None:
    exact = build_engine(maps, name, threads=1)
    coarse, expected = exact.coarse(), exact(FILMS)
    error = np.abs(coarse(FILMS).astype("float32") - expected).max() / np.abs(expected).max()
    assert 1e-4 < error < 0.05
    assert (coarse.dtype, coarse.output_shape) == ("bfloat16", exact.output_shape)
    assert build_engine(features, name, threads=1).coarse().dtype == "float32"


@every
def test_a_films_output_does_not_depend_on_its_neighbours(name: str, features: keras.Model) -> None:
    made = build_engine(features, name, threads=2)
    np.testing.assert_array_equal(made(FILMS)[::-1], made(np.ascontiguousarray(FILMS[::-1])))


class Interrupted(np.ndarray):
    """Films in the middle of which Ctrl-C is pressed."""

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice) and place.start == len(self) // 2:
            raise KeyboardInterrupt
        return super().__getitem__(place)


@pytest.mark.parametrize("name", runtimes[:1])
def test_an_engine_that_was_interrupted_goes_on(name: str, features: keras.Model) -> None:
    made = build_engine(features, name, threads=2)
    expected = made(FILMS)
    with pytest.raises(KeyboardInterrupt):
        made(FILMS.view(Interrupted))
    np.testing.assert_array_equal(made(FILMS), expected)


@every
def test_more_threads_than_cores_change_nothing(name: str, features: keras.Model) -> None:
    np.testing.assert_array_equal(build_engine(features, name, threads=64)(FILMS),
                                  build_engine(features, name, threads=1)(FILMS))


@needs_onnx
def test_onnx_runtime_has_no_coarse_twin(features: keras.Model) -> None:
    exact = build_engine(features, ONNX, threads=1)
    np.testing.assert_array_equal(exact.coarse()(FILMS), exact(FILMS))
    assert exact.coarse().fingerprint() == exact.fingerprint()


@needs_openvino
def test_fingerprints_tell_engines_precisions_and_weights_apart(
        features: keras.Model, small_backbone: Backbone) -> None:
    other = pooled_features(build_backbone(small_backbone, 32), small_backbone.taps)
    engines = [build_engine(network, name, threads=1) for network in (features, other)
               for name in (KERAS, OPENVINO)]
    prints = [one.fingerprint() for made in engines for one in (made, made.coarse())]
    assert len(set(prints)) == len(prints) == 8
    assert prints == [one.fingerprint() for made in engines for one in (made, made.coarse())]


@needs_openvino
def test_what_one_engine_kept_is_not_read_for_another(features: keras.Model, tmp_path: Path) -> None:
    pixels, cache = Pixels(FILMS, np.arange(len(FILMS)), "given"), Cache(tmp_path / "cache")
    for threads in (1, 2):  # which change nothing
        for name in (KERAS, OPENVINO):
            film_outputs(build_engine(features, name, threads=threads), pixels, description="", cache=cache)
    assert len(cache.entries()) == 2


@needs_openvino
def test_nothing_is_converted_where_everything_is_kept(
        features: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, cache = Pixels(FILMS, np.arange(len(FILMS)), "given"), Cache(tmp_path / "cache")
    kept = film_outputs(build_engine(features, OPENVINO, threads=1), pixels, description="", cache=cache)
    monkeypatch.setattr(Graph, "compile", None)
    np.testing.assert_array_equal(
        film_outputs(build_engine(features, OPENVINO, threads=1), pixels, description="", cache=cache), kept)


@needs_openvino
def test_a_recipe_scores_with_it_what_its_exported_model_predicts(task_of: Callable[..., Task]) -> None:
    task = task_of(engine=OPENVINO)
    task = replace(task, device=replace(task.device, bfloat16=True))
    result = Fast().train(task)
    films = task.pixels.batch(range(len(task.cohort)))
    np.testing.assert_allclose(result.scores, result.model.predict(films, verbose=0), atol=1e-4)


@pytest.mark.parametrize("name", runtimes)
def test_an_engine_that_computes_something_else_is_found_out_at_its_first_batch(
        name: str, features: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build_engine(features, name, threads=1)
    shape = features.output_shape[1:]
    monkeypatch.setattr(Graph, "compile",
                        lambda *_, **__: lambda films: np.ones((len(films), *shape), "float32"))
    with pytest.raises(TrainingError, match=rf"difference of .* for small in {name}.*--engine keras"):
        made(FILMS)


def test_the_comparison_allows_its_limit_and_nothing_beyond() -> None:
    expected = np.array([[2.0, -4.0]])
    compare(expected + 3.9e-4, expected, limit=1e-4, name="network", engine="openvino")
    compare(np.zeros((1, 2)), np.zeros((1, 2)), limit=1e-4, name="network", engine="openvino")
    for found in (expected + 4.1e-4, np.full((1, 2), np.nan)):
        with pytest.raises(TrainingError):
            compare(found, expected, limit=1e-4, name="network", engine="openvino")


def found_or_not(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    monkeypatch.setattr(graphs.util, "find_spec", lambda name: name if installed else None)


def test_auto_takes_openvino_where_it_is_installed_and_a_processor_computes(
        plain_processor: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    found_or_not(monkeypatch, True)
    assert choose_engine(AUTO, plain_processor) == OPENVINO
    assert choose_engine(AUTO, replace(plain_processor, accelerator="gpu:0")) == KERAS
    assert choose_engine(AUTO, replace(plain_processor, backend="jax")) == KERAS
    assert choose_engine(KERAS, plain_processor) == KERAS
    found_or_not(monkeypatch, False)
    assert choose_engine(AUTO, plain_processor) == KERAS


def test_an_engine_that_cannot_be_had_is_refused_with_the_way_to_get_it(
        plain_processor: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    found_or_not(monkeypatch, False)
    for name, extra in ((OPENVINO, "cpu"), (ONNX, "export")):
        with pytest.raises(OptionError, match=rf"pip install 'pneumo_tf\[{extra}\]'"):
            choose_engine(name, plain_processor)
    with pytest.raises(OptionError, match="from TensorFlow"):
        choose_engine(OPENVINO, replace(plain_processor, backend="jax"))
    with pytest.raises(OptionError, match="auto, keras, openvino, onnx"):
        choose_engine("tensorrt", plain_processor)


@needs_openvino
def test_it_tells_nobody(tmp_path: Path) -> None:
    """Left alone, importing OpenVINO writes a client id into the home folder and calls its makers."""
    script = """
import socket, sys, threading
socket.getaddrinfo = lambda *address, **_: print("asks for", address)
import keras, numpy as np
from keras import layers
from pneumo_tf.training.engine import build_engine
film = keras.Input((16, 16, 3))
model = keras.Model(film, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(film)))
build_engine(model, "openvino", threads=1)(np.zeros((8, 16, 16, 3), "uint8"))
for thread in threading.enumerate():
    thread is threading.main_thread() or thread.daemon or thread.join(5)
"""
    environment = {**os.environ, "HOME": str(tmp_path), "CI": ""}
    said = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).resolve().parents[2],
                          env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == ""
    assert not (tmp_path / "intel").exists()


def network(*, activation: str = "relu", kernel: int = 3, joined: str = "ab", dtype: str = "float32",
            cut: bool = False, seed: int = 0) -> keras.Model:
    """Two convolutions of a film and their concatenation, in this order or the other."""
    film = keras.Input((8, 8, 1))
    convolution: dict[str, Any] = {"padding": "same", "dtype": dtype}
    branches = {"a": layers.Conv2D(2, kernel, activation=activation, **convolution)(film),
                "b": layers.Conv2D(2, kernel, **convolution)(film)}
    output = layers.Concatenate()([branches[name] for name in joined])
    model = keras.Model(film, branches["a"] if cut else output)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def test_names_and_what_is_frozen_do_not_count() -> None:
    first, second = network(), network()
    assert [layer.name for layer in first.layers] != [layer.name for layer in second.layers]
    second.trainable = False
    assert fingerprint(first) == fingerprint(second)


@pytest.mark.parametrize("change", [{"activation": "tanh"}, {"kernel": 1}, {"joined": "ba"}, {"cut": True},
                                    {"dtype": "mixed_bfloat16"}, {"seed": 1}], ids=str)
def test_whatever_changes_the_outputs_does(change: dict[str, Any]) -> None:
    assert fingerprint(network(**change)) != fingerprint(network())


def test_how_the_layers_are_joined_counts() -> None:
    """The same layers in the same order with the same weights, but for the end of one shortcut."""
    def residual(shortcut: int) -> keras.Model:
        maps = [keras.Input((8, 8, 2))]
        for _ in range(3):
            maps.append(layers.Conv2D(2, 1, kernel_initializer="ones")(maps[-1]))
        return keras.Model(maps[0], layers.Add()([maps[-1], maps[shortcut]]))

    assert fingerprint(residual(1)) == fingerprint(residual(1)) != fingerprint(residual(2))


def test_which_layers_are_outputs_counts() -> None:
    film = keras.Input((8, 8, 1))
    middle = layers.ReLU()(film)
    last = layers.Softmax()(middle)
    assert fingerprint(keras.Model(film, last)) != fingerprint(keras.Model(film, [last, middle]))


def test_the_smallest_change_of_a_weight_does() -> None:
    model = network()
    before = fingerprint(model)
    weights = model.get_weights()
    weights[0].flat[0] = np.nextafter(weights[0].flat[0], np.float32(9))
    model.set_weights(weights)
    assert fingerprint(model) != before


def test_a_folded_copy_differs_from_its_original_and_not_from_another_copy() -> None:
    film = keras.Input((8, 8, 1))
    normed = layers.BatchNormalization()(layers.Conv2D(2, 3)(film))
    model = keras.Model(film, normed)
    assert fingerprint(fold_batch_norm(model)) == fingerprint(fold_batch_norm(model)) != fingerprint(model)
