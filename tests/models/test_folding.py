"""A folded network computes what Keras computes with the original."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.classifier import attach_head, pooled_features, softmax_head
from pneumo_tf.models.folding import fold_batch_norm

Graph = Callable[[keras.KerasTensor], keras.KerasTensor | list[keras.KerasTensor]]


def norms(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def outputs(model: keras.Model, films: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(output, "float32") for output in keras.tree.flatten(model(films))]


def furthest(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, relative to the largest value."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.fixture
def whole_classifier(lived_in: keras.Model) -> keras.Model:
    return attach_head(lived_in, softmax_head, 2)


def test_a_folded_backbone_has_no_batch_norm_left_and_gives_the_same_features(
        lived_in: keras.Model, films: np.ndarray) -> None:
    folded = fold_batch_norm(lived_in)
    assert norms(lived_in)
    assert not norms(folded)
    assert furthest(outputs(folded, films)[0], outputs(lived_in, films)[0]) < 5e-4


def test_a_folded_classifier_gives_the_same_scores(whole_classifier: keras.Model, films: np.ndarray) -> None:
    scores = outputs(whole_classifier, films)[0]
    np.testing.assert_allclose(outputs(fold_batch_norm(whole_classifier), films)[0], scores, atol=1e-3)


def test_folding_leaves_the_original_as_it_was(lived_in: keras.Model) -> None:
    before = lived_in.get_weights()
    fold_batch_norm(lived_in)
    assert all(np.array_equal(*pair) for pair in zip(before, lived_in.get_weights(), strict=True))


def test_bfloat16_comes_close_and_its_pooled_features_are_float32(
        backbone: Backbone, lived_in: keras.Model, films: np.ndarray) -> None:
    described = pooled_features(lived_in, backbone.taps[:1])
    quick = fold_batch_norm(described, dtype="mixed_bfloat16")
    found, wanted = quick(films), np.asarray(described(films))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert furthest(np.asarray(found), wanted) > 1e-3  # eight bits of precision, layer after layer
    assert np.corrcoef(np.asarray(found).ravel(), wanted.ravel())[0, 1] > 0.98


def conv(**options: object) -> layers.Layer:
    return layers.Conv2D(4, 3, padding="same", bias_initializer="random_normal", **options)


def norm(**options: object) -> layers.Layer:
    return layers.BatchNormalization(**options)


def with_bias(x: keras.KerasTensor) -> keras.KerasTensor:
    return norm()(conv()(x))


def without_gamma_and_beta(x: keras.KerasTensor) -> keras.KerasTensor:
    return norm(scale=False, center=False)(conv(use_bias=False)(x))


def depthwise_with_two_per_channel(x: keras.KerasTensor) -> keras.KerasTensor:
    return norm()(layers.DepthwiseConv2D(3, depth_multiplier=2)(x))


def grouped(x: keras.KerasTensor) -> keras.KerasTensor:
    return norm()(layers.Conv2D(8, 1, groups=4)(x))


def activated_before(x: keras.KerasTensor) -> keras.KerasTensor:
    return norm()(conv(activation="relu")(x))


def feeding_two(x: keras.KerasTensor) -> keras.KerasTensor:
    x = conv()(x)
    return layers.Add()([norm()(x), x])


def shown_as_an_output(x: keras.KerasTensor) -> list[keras.KerasTensor]:
    x = conv()(x)
    return [norm()(x), x]


def sharing_a_norm(x: keras.KerasTensor) -> keras.KerasTensor:
    shared = norm()
    return layers.Add()([shared(conv()(x)), shared(conv()(x))])


def sharing_a_convolution(x: keras.KerasTensor) -> keras.KerasTensor:
    shared = conv()
    return norm()(shared(shared(x)))


def along_another_axis(x: keras.KerasTensor) -> keras.KerasTensor:
    return norm(axis=1)(conv()(x))


def after_pooling(x: keras.KerasTensor) -> keras.KerasTensor:
    return norm()(layers.MaxPooling2D()(x))


def graph_of(build: Graph) -> keras.Model:
    """A small network whose variables are all random, variances positive."""
    inputs = keras.Input((4, 4, 4))
    model = keras.Model(inputs, build(inputs))
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.2, 2.0, weights.shape) for weights in model.get_weights()])
    return model


@pytest.mark.parametrize("build", [with_bias, without_gamma_and_beta, depthwise_with_two_per_channel,
                                   grouped])
def test_every_kind_of_convolution_takes_its_norm_in(build: Graph) -> None:
    model = graph_of(build)
    folded = fold_batch_norm(model)
    films = np.random.default_rng(2).normal(size=(2, 4, 4, 4)).astype("float32")
    assert not norms(folded)
    assert furthest(outputs(folded, films)[0], outputs(model, films)[0]) < 1e-5


@pytest.mark.parametrize("build", [activated_before, feeding_two, shown_as_an_output, sharing_a_norm,
                                   sharing_a_convolution, along_another_axis, after_pooling])
def test_a_norm_that_can_not_be_folded_stays(build: Graph) -> None:
    model = graph_of(build)
    folded = fold_batch_norm(model)
    films = np.random.default_rng(2).normal(size=(2, 4, 4, 4)).astype("float32")
    assert norms(folded) == norms(model)
    for found, wanted in zip(outputs(folded, films), outputs(model, films), strict=True):
        assert furthest(found, wanted) < 1e-5
