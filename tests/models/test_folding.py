"""A folded network computes what Keras computes with the original."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.classifier import attach_head, pooled_features
from pneumo_tf.models.folding import fold_batch_norm
from pneumo_tf.models.heads import softmax_head

Graph = Callable[[keras.KerasTensor], keras.KerasTensor | list[keras.KerasTensor]]


def norms(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def outputs(model: keras.Model, films: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(output, "float32") for output in keras.tree.flatten(model(films))]


def furthest(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, relative to the largest value."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


# Where BatchNorm comes before a convolution, or after an activation, there is nothing to fold it into.
STAYING = {"densenet121": 62, "vgg16_dwsep": 4}


@pytest.mark.usefixtures("one_of_a_family")
def test_a_folded_backbone_gives_the_same_features(
        backbone: Backbone, lived_in: keras.Model, films: np.ndarray) -> None:
    before = lived_in.get_weights()
    both = keras.Model(lived_in.input, [lived_in.get_layer(backbone.taps[0]).output, lived_in.output])
    folded = fold_batch_norm(both)
    assert len(norms(folded)) == STAYING.get(backbone.name, 0)
    (early, last), (early_wanted, last_wanted) = outputs(folded, films), outputs(both, films)
    assert furthest(early, early_wanted) < 1e-4
    # Untrained layers amplify rounding on the way to the end.
    assert np.corrcoef(last.ravel(), last_wanted.ravel())[0, 1] > 0.9999
    assert all(np.array_equal(*pair) for pair in zip(before, lived_in.get_weights(), strict=True))


@pytest.fixture
def small_backbone(lived_in_networks: Mapping[str, keras.Model]) -> keras.Model:
    return lived_in_networks["efficientnet_lite0"]


def test_a_folded_classifier_gives_the_same_scores(small_backbone: keras.Model) -> None:
    classifier = attach_head(small_backbone, softmax_head, 2)
    films = np.random.default_rng(2).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    scores = outputs(classifier, films)[0]
    np.testing.assert_allclose(outputs(fold_batch_norm(classifier), films)[0], scores, atol=1e-3)


def test_a_network_whose_layers_serve_another_one_too_is_folded_all_the_same(
        small_backbone: keras.Model) -> None:
    middle = small_backbone.get_layer("block6c_add").output
    upper = keras.Model(middle, small_backbone.output)
    maps = np.random.default_rng(2).normal(size=(4, *middle.shape[1:])).astype("float32")
    folded = fold_batch_norm(upper)
    assert norms(upper)
    assert not norms(folded)
    assert furthest(outputs(folded, maps)[0], outputs(upper, maps)[0]) < 1e-3
    assert not norms(fold_batch_norm(small_backbone))


@pytest.mark.parametrize("backbone", ["inception_v3", "efficientnet_lite0", "convnext_tiny", "dinov2_small"],
                         indirect=True)
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


def separable(x: keras.KerasTensor) -> keras.KerasTensor:
    return norm()(layers.SeparableConv2D(5, 3, depth_multiplier=2)(x))


def separable_without_bias(x: keras.KerasTensor) -> keras.KerasTensor:
    return norm()(layers.SeparableConv2D(5, 3, use_bias=False)(x))


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
                                   separable, separable_without_bias, grouped])
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
