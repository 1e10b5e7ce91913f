"""Heads, pooled features, freezing; on a small network where any would do."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import softmax

from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.classifier import (
    Head,
    attach_head,
    build_backbone,
    freeze,
    linear_classifier,
    pooled_features,
    softmax_head,
    tutorial_head,
    unfreeze,
)

FILMS = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype("float32")


@pytest.fixture
def small_network() -> keras.Model:
    """Two convolutions with BatchNorm whose statistics differ from those of FILMS."""
    inputs = keras.Input((8, 8, 3), name="films")
    x = layers.Conv2D(4, 3, name="early")(layers.Rescaling(1 / 255)(inputs))
    x = layers.Conv2D(6, 3, name="late")(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.BatchNormalization()(x), name="small")


def statistics(model: keras.Model) -> list[np.ndarray]:
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    return [weights for layer in norms for weights in layer.get_weights()]


def one_step(model: keras.Model) -> None:
    model.compile(keras.optimizers.SGD(0.1), loss="categorical_crossentropy")
    model.train_on_batch(FILMS, np.eye(2)[[0, 1, 0, 1, 1]])


def unchanged(before: list[np.ndarray], after: list[np.ndarray]) -> bool:
    return all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def test_pooled_features_are_the_means_of_each_tap_in_order(small_network: keras.Model) -> None:
    taps = ["early", "late"]
    maps = keras.Model(small_network.input, [small_network.get_layer(tap).output for tap in taps])(FILMS)
    means = np.concatenate([np.asarray(one).mean(axis=(1, 2)) for one in maps], axis=1)
    np.testing.assert_allclose(np.asarray(pooled_features(small_network, taps)(FILMS)), means, atol=1e-6)
    only_late = np.asarray(pooled_features(small_network, ["late"])(FILMS))
    np.testing.assert_allclose(only_late, means[:, 4:], atol=1e-6)


def test_a_linear_classifier_is_softmax_of_features_times_kernel_plus_bias(
        small_network: keras.Model) -> None:
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(size=(10, 3)), rng.normal(size=3)
    features = pooled_features(small_network, ["early", "late"])
    scores = np.asarray(linear_classifier(features, kernel, bias)(FILMS))
    expected = softmax(np.asarray(features(FILMS)) @ kernel + bias, axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize(("head", "widths", "activation"), [
    (softmax_head, [3], "softmax"), (tutorial_head, [1024, 512, 512, 3], "sigmoid")])
def test_a_head_ends_in_one_score_per_class(
        small_network: keras.Model, head: Head, widths: list[int], activation: str) -> None:
    model = attach_head(small_network, head, 3)
    dense = [layer for layer in model.layers if isinstance(layer, layers.Dense)]
    assert [layer.units for layer in dense] == widths
    assert dense[-1].activation.__name__ == activation
    assert model.output_shape == (None, 3)


def test_scores_stay_float32_under_a_coarser_policy(small_network: keras.Model) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = attach_head(small_network, softmax_head, 2)
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("dropout").compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(model(FILMS).dtype) == "float32"


def test_a_frozen_network_keeps_everything_while_its_head_learns(small_network: keras.Model) -> None:
    model = attach_head(small_network, softmax_head, 2)
    freeze(small_network)
    before, head = small_network.get_weights(), model.get_layer("scores").get_weights()
    one_step(model)
    assert unchanged(before, small_network.get_weights())
    assert not unchanged(head, model.get_layer("scores").get_weights())


def test_an_unfrozen_network_learns_but_keeps_its_batch_norm(small_network: keras.Model) -> None:
    model = attach_head(small_network, softmax_head, 2)
    freeze(small_network)
    one_step(model)
    unfreeze(small_network)
    before, kernel = statistics(model), model.get_layer("early").get_weights()
    one_step(model)
    assert unchanged(before, statistics(model))
    assert not unchanged(kernel[:1], model.get_layer("early").get_weights()[:1])


def test_unfreezing_reaches_every_variable_of_a_backbone_but_batch_norm(backbone: Backbone) -> None:
    network = build_backbone(backbone, backbone.smallest)
    freeze(network)
    assert not network.trainable_variables
    unfreeze(network)
    norms = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    fixed = {variable.path for layer in norms for variable in layer.variables}
    learning = {variable.path for variable in network.trainable_variables}
    assert fixed
    assert learning == {variable.path for variable in network.variables} - fixed
