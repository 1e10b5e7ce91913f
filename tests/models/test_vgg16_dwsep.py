"""VGG16DWSep against its table, Keras's VGG16 and numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.errors import WeightsError
from pneumo_tf.models.backbones import BACKBONES
from pneumo_tf.models.classifier import attach_head, build_backbone, unfreeze
from pneumo_tf.models.heads import dwsep_head
from pneumo_tf.models.vgg16_dwsep import SCALE, build_vgg16_dwsep
from pneumo_tf.models.weights.pretrained import Weights, load_weights

DWSEP = BACKBONES["vgg16_dwsep"]
# The table's rows of convolutions: filters into filters, and what follows each.
PLAIN = ((3, 64), (64, 64))
SEPARABLE = ((64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512), (512, 512), (512, 512))
HEAD = 2 * 2 * 512 * 1024 + 1024 + 1024 * 512 + 512 + 512 * 2 + 2  # at 32 pixels
NORMS = 4 * (256 + 256 + 512 + 512)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return build_backbone(DWSEP, 32)


def written(network: keras.Model) -> list[str]:
    """The network's steps as the table writes them."""
    steps = []
    for layer in network.layers[2:]:
        kind = {"Conv2D": "conv", "DepthwiseConv2D": "depthwise", "MaxPooling2D": "pool",
                "BatchNormalization": "norm"}[type(layer).__name__]
        steps.append(f"{kind} {layer.filters}" if kind == "conv" else kind)
    return steps


def separable(filters: int) -> list[str]:
    return ["depthwise", f"conv {filters}"]


def test_its_steps_are_those_of_the_table(network: keras.Model) -> None:
    wide, wider = separable(256), separable(512)
    assert written(network) == [
        "conv 64", "conv 64", "pool", *separable(128), *separable(128), "pool",
        *wide, "norm", *wide, "norm", *wide, "pool", *wider, "norm", *wider, "norm", *wider, "pool"]


def test_activation_comes_after_the_second_half_and_both_have_a_bias(network: keras.Model) -> None:
    for layer in network.layers:
        if isinstance(layer, layers.DepthwiseConv2D):
            assert (layer.activation.__name__, layer.use_bias, layer.kernel_size) == ("linear", True, (3, 3))
        elif isinstance(layer, layers.Conv2D):
            assert (layer.activation.__name__, layer.use_bias) == ("relu", True)


def test_it_has_the_parameters_that_the_table_implies(network: keras.Model) -> None:
    model = attach_head(network, dwsep_head, 2)
    first = sum(9 * inputs * outputs + outputs for inputs, outputs in PLAIN)
    rest = sum(9 * inputs + inputs + inputs * outputs + outputs for inputs, outputs in SEPARABLE)
    assert model.count_params() == first + rest + NORMS + HEAD


def test_films_of_its_own_size_end_in_14_by_14_places() -> None:
    assert build_backbone(DWSEP, 224).output_shape == (None, 14, 14, 512)


def test_with_plain_convolutions_it_has_those_of_the_table_without_separation() -> None:
    inputs = keras.Input((32, 32, 3))
    plain = keras.Model(inputs, build_vgg16_dwsep(inputs, plain=True))
    expected = sum(9 * inputs * outputs + outputs for inputs, outputs in (*PLAIN, *SEPARABLE)) + NORMS
    assert plain.count_params() == expected


def test_each_half_of_a_fresh_separable_convolution_keeps_the_variance(network: keras.Model) -> None:
    kernel = np.asarray(network.get_layer("block4_conv2_depthwise").kernel)
    assert kernel.std() == pytest.approx(1 / 3, rel=0.1)  # nine values each
    mixed = np.asarray(network.get_layer("block4_conv2").kernel)
    assert mixed.std() == pytest.approx(np.sqrt(2 / 512), rel=0.1)


@pytest.fixture(scope="module")
def vgg16() -> keras.Model:
    """Keras's own, random, with biases that aren't 0."""
    model = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    for layer in model.layers:
        if layer.weights:
            layer.bias.assign(np.random.default_rng(0).normal(0, 20, layer.bias.shape))
    return model


def load(network: keras.Model, path: Path) -> None:
    load_weights(network, DWSEP, Weights(path, "given path", ""))


def test_its_first_two_convolutions_answer_as_vgg16_does_times_the_scale(
        network: keras.Model, vgg16: keras.Model, write_keras_file: Callable[[keras.Model, Path], Path],
        tmp_path: Path) -> None:
    others = [layer.get_weights() for layer in network.layers if "block2" in layer.name]
    load(network, write_keras_file(vgg16, tmp_path / "vgg16.h5"))
    films = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    pooled = [keras.Model(model.input, model.get_layer("block1_pool").output) for model in (network, vgg16)]
    wanted = np.asarray(pooled[1](keras.applications.vgg16.preprocess_input(films.copy())))
    np.testing.assert_allclose(np.asarray(pooled[0](films)), wanted * SCALE, atol=1e-5 * wanted.max() * SCALE)
    again = [layer.get_weights() for layer in network.layers if "block2" in layer.name]
    assert all(np.array_equal(*pair) for one, other in zip(others, again, strict=True)
               for pair in zip(one, other, strict=True))


def test_a_file_of_its_first_block_alone_loads_the_same_way(network: keras.Model, shared: Path) -> None:
    load(network, shared / "weights" / "vgg16_block1.h5")
    films = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    answers = np.asarray(keras.Model(network.input, network.get_layer("block1_pool").output)(films))
    assert 0.1 < np.sqrt(np.mean(answers**2)) < 3  # what fresh layers can digest


def test_its_first_two_convolutions_never_learn(network: keras.Model) -> None:
    network.trainable = False
    unfreeze(network, constant=DWSEP.constant, norm=True)
    learning = {variable.path.partition("/")[0] for variable in network.trainable_variables}
    weighted = {layer.name for layer in network.layers if layer.weights}
    assert weighted - learning == {"block1_conv1", "block1_conv2"}


def test_a_file_without_these_two_is_refused_and_changes_nothing(
        network: keras.Model, write_keras_file: Callable[[keras.Model, Path], Path], tmp_path: Path) -> None:
    inputs = keras.Input((32, 32, 3))
    narrow = keras.Model(inputs, layers.Conv2D(32, 3, name="block1_conv1")(inputs))
    path, before = write_keras_file(narrow, tmp_path / "narrow.h5"), network.get_weights()
    with pytest.raises(WeightsError, match="holds 0 tensors of a layer block1_conv2 where 2 are needed"):
        load(network, path)
    assert all(np.array_equal(*pair) for pair in zip(before, network.get_weights(), strict=True))
