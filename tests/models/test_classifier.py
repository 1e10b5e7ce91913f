"""Heads, pooled features, freezing, multiply-adds; on a small network where any would do."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import softmax

from pneumo_tf.models.backbones import BACKBONES, Backbone
from pneumo_tf.models.classifier import (
    attach_head,
    build_backbone,
    depth_groups,
    linear_classifier,
    multiply_adds,
    pooled_features,
    unfreeze,
    with_features,
)
from pneumo_tf.models.heads import HEADS, softmax_head

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
    ("softmax", [3], "softmax"), ("linear", [3], "softmax"), ("tutorial", [1024, 512, 512, 3], "sigmoid"),
    ("fastai", [512, 3], "softmax"), ("dwsep", [1024, 512, 3], "softmax")])
def test_a_head_ends_in_one_score_per_class(
        small_network: keras.Model, head: str, widths: list[int], activation: str) -> None:
    model = attach_head(small_network, HEADS[head], 3)
    dense = [layer for layer in model.layers if isinstance(layer, layers.Dense)]
    assert [layer.units for layer in dense] == widths
    assert dense[-1].activation.__name__ == activation
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize(("head", "rates"), [
    ("softmax", [0.3]), ("linear", []), ("tutorial", []), ("fastai", [0.25, 0.5]), ("dwsep", [0.7, 0.5])])
def test_a_head_drops_as_much_as_its_document_says(
        small_network: keras.Model, head: str, rates: list[float]) -> None:
    model = attach_head(small_network, HEADS[head], 2)
    assert [layer.rate for layer in model.layers if isinstance(layer, layers.Dropout)] == rates


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
    small_network.trainable = False
    before, head = small_network.get_weights(), model.get_layer("scores").get_weights()
    one_step(model)
    assert unchanged(before, small_network.get_weights())
    assert not unchanged(head, model.get_layer("scores").get_weights())


def test_an_unfrozen_network_learns_but_keeps_its_batch_norm(small_network: keras.Model) -> None:
    model = attach_head(small_network, softmax_head, 2)
    small_network.trainable = False
    one_step(model)
    unfreeze(small_network)
    before, kernel = statistics(model), model.get_layer("early").get_weights()
    one_step(model)
    assert unchanged(before, statistics(model))
    assert not unchanged(kernel[:1], model.get_layer("early").get_weights()[:1])


def test_layers_named_constant_stay_while_the_others_and_batch_norm_learn(small_network: keras.Model) -> None:
    model = attach_head(small_network, softmax_head, 2)
    unfreeze(small_network, constant=["early"], norm=True)
    norms, early, late = (statistics(model), model.get_layer("early").get_weights(),
                          model.get_layer("late").get_weights())
    one_step(model)
    assert unchanged(early, model.get_layer("early").get_weights())
    assert not unchanged(late, model.get_layer("late").get_weights())
    assert all(not np.array_equal(*pair) for pair in zip(norms, statistics(model), strict=True))


def test_depth_groups_are_two_halves_of_the_backbone_and_all_on_top(small_network: keras.Model) -> None:
    model = attach_head(small_network, HEADS["fastai"], 2)
    groups = depth_groups(model, small_network)
    assert set(groups) == {variable.path for variable in model.weights}
    by_layer = {path.partition("/")[0]: group for path, group in groups.items()}
    first, second = (layer.name for layer in small_network.layers
                     if isinstance(layer, layers.BatchNormalization))
    assert by_layer == {"early": 0, first: 0, "late": 1, second: 1, "head_norm_1": 2, "dense_1": 2,
                        "head_norm_2": 2, "scores": 2}


@pytest.mark.parametrize("norm", [False, True])
def test_unfreezing_reaches_every_variable_of_a_backbone_but_batch_norm_and_what_is_constant(
        backbone: Backbone, borrowed: keras.Model, norm: bool) -> None:
    borrowed.trainable = False
    assert not borrowed.trainable_variables
    unfreeze(borrowed, constant=backbone.constant, norm=norm)
    kept = [layer for layer in borrowed.layers if layer.name in backbone.constant
            or (isinstance(layer, layers.BatchNormalization) and not norm)]
    fixed = {variable.path for layer in kept for variable in layer.weights}
    learning = {variable.path for variable in borrowed.trainable_variables}
    never = {weight.path for weight in borrowed.weights if "moving_" in weight.path}
    assert learning == {variable.path for variable in borrowed.weights} - fixed - never


@pytest.mark.parametrize(("layer", "count"), [
    (layers.Conv2D(5, 3), 6 * 6 * 3 * 3 * 4 * 5),
    (layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False), 4 * 4 * 3 * 3 * 4 * 5),
    (layers.Conv2D(6, 1, groups=2), 8 * 8 * 2 * 6),
    (layers.DepthwiseConv2D(3, depth_multiplier=2), 6 * 6 * 3 * 3 * 4 * 2),
    (layers.SeparableConv2D(5, 3, padding="same"), 8 * 8 * (3 * 3 * 4 + 4 * 5)),
    (layers.Dense(7), 8 * 8 * 4 * 7),
    (layers.BatchNormalization(), 0),
    (layers.MaxPooling2D(), 0),
])
def test_each_value_of_a_kernel_counts_once_at_each_place(layer: keras.Layer, count: int) -> None:
    inputs = keras.Input((8, 8, 4))
    assert multiply_adds(keras.Model(inputs, layer(inputs))) == count


def test_a_dense_layer_on_a_vector_counts_its_kernel() -> None:
    inputs = keras.Input((12,))
    assert multiply_adds(keras.Model(inputs, layers.Dense(7)(inputs))) == 84


@pytest.mark.parametrize(("name", "published"), [  # with the classifier, as torchvision counts
    ("resnet18", 1.814e9), ("mobilenet_v3_small", 0.057e9)])
def test_networks_cost_what_is_published(name: str, published: float) -> None:
    network = build_backbone(BACKBONES[name], 224)
    top = 512 * 1000 if name == "resnet18" else 576 * 1024 + 1024 * 1000
    assert multiply_adds(network) + top == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("head", HEADS)
def test_a_network_of_one_depth_shows_the_means_of_its_last_map_at_each_resolution(
        head: str, small_network: keras.Model) -> None:
    model = attach_head(small_network, HEADS[head], 3)
    both = with_features(model).predict(FILMS, verbose=0)
    np.testing.assert_allclose(both[:, :3], model.predict(FILMS, verbose=0), atol=1e-6)
    norms = [layer.output for layer in small_network.layers if isinstance(layer, layers.BatchNormalization)]
    maps = keras.Model(small_network.input, norms).predict(FILMS, verbose=0)
    means = np.concatenate([one.mean(axis=(1, 2)) for one in maps], axis=1)
    np.testing.assert_allclose(both[:, 3:], means, atol=1e-5)


def test_a_linear_head_on_several_depths_shows_what_it_reads(small_network: keras.Model) -> None:
    features = pooled_features(small_network, ["early", "late"])
    rng = np.random.default_rng(1)
    model = linear_classifier(features, rng.normal(size=(10, 2)).astype("float32"), np.zeros(2, "float32"))
    both = with_features(model).predict(FILMS, verbose=0)
    np.testing.assert_allclose(both[:, :2], model.predict(FILMS, verbose=0), atol=1e-6)
    np.testing.assert_allclose(both[:, 2:], features.predict(FILMS, verbose=0), atol=1e-6)


def test_a_network_from_a_file_shows_the_same(small_network: keras.Model, tmp_path: Path) -> None:
    pooled = layers.GlobalAveragePooling2D(name="global_average_pooling2d")(small_network.output)
    model = keras.Model(small_network.input, layers.Dense(2, activation="softmax")(pooled))
    model.save(tmp_path / "model.keras")
    keras.backend.clear_session()  # as a new process, which gives the same names again
    read = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(with_features(read).predict(FILMS, verbose=0),
                               with_features(model).predict(FILMS, verbose=0), atol=1e-6)
