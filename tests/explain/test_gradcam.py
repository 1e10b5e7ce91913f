
import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf  # as an oracle
from keras import layers

from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.explain.gradcam import GradCam, last_maps
from pneumo_tf.models.backbones import BACKBONES
from pneumo_tf.models.classifier import attach_head, build_backbone, linear_classifier, pooled_features
from pneumo_tf.models.heads import HEADS
from pneumo_tf.training.fast import average

FILM = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)


def small(head: str = "softmax", *, classes: int = 2, seed: int = 0) -> keras.Model:
    """Two convolutions with BatchNorm and a head of the table."""
    keras.utils.set_random_seed(seed)
    films = keras.Input((24, 32, 3))
    x = layers.Rescaling(1 / 255)(films)
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, 2, use_bias=False)(x))
    x = layers.Conv2D(6, 3, 2, activation="relu", name="last")(layers.ReLU()(x))
    return attach_head(keras.Model(films, x), HEADS[head], classes)


@pytest.mark.parametrize("head", ["softmax", "tutorial", "fastai", "dwsep"])
@pytest.mark.parametrize("explained", [0, 2])
def test_the_gradient_is_the_backends_own(head, explained):
    model = small(head, classes=3)
    maps = np.asarray(keras.Model(model.input, model.get_layer("last").output)(FILM[None]))
    rest = keras.Model(model.get_layer("last").output, model.output)
    with tf.GradientTape() as tape:
        tape.watch(variable := tf.constant(maps))
        scores = rest(variable, training=False)[0, explained]
        odds = tf.math.log(scores) - tf.math.log1p(-scores)
    expected = tape.gradient(odds, variable).numpy()
    camera = GradCam(model)
    found = camera._rest.gradients([maps], explained)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    cam = cv2.resize((expected.mean(axis=(1, 2)) * maps[0]).sum(axis=-1), (32, 24))
    drawn = camera.signed_map(FILM, explained)
    np.testing.assert_allclose(drawn / np.abs(drawn).max(), cam / np.abs(cam).max(), atol=1e-2)


def test_the_map_is_the_papers():
    """Channel weights are the mean gradients; for pooling and one layer these are its kernel's columns."""
    model = small("linear")
    maps = np.asarray(keras.Model(model.input, model.get_layer("last").output)(FILM[None]))[0]
    kernel = model.get_layer("scores").kernel.numpy()
    cam = maps @ (kernel[:, 1] - kernel[:, 0])
    found = GradCam(model).signed_map(FILM, 1)
    size = cam.shape[::-1]
    expected = cv2.resize(cam, (32, 24), interpolation=cv2.INTER_LINEAR)
    assert size == (7, 5)
    np.testing.assert_allclose(found / np.abs(found).max(), expected / np.abs(expected).max(), atol=1e-4)


def test_a_linear_head_at_several_depths_is_explained_to_the_last_bit():
    """The map adds up to the log-odds, but for the bias and what interpolation does at the edges."""
    keras.utils.set_random_seed(0)
    films = keras.Input((32, 32, 3))
    shallow = layers.AveragePooling2D(4, name="shallow")(layers.Rescaling(1 / 255)(films))
    deep = layers.Conv2D(5, 1, activation="relu", name="deep")(shallow)
    features = pooled_features(keras.Model(films, deep), ("shallow", "deep"))
    kernel = np.random.default_rng(1).normal(size=(8, 2)).astype(np.float32)
    model = linear_classifier(features, kernel, np.zeros(2, np.float32))
    film = np.full((32, 32, 3), 77, np.uint8)
    film[8:24, 8:24] = (200, 30, 90)
    scores = np.asarray(model(film[None]))[0]
    total = GradCam(model).signed_map(film, 1).sum()
    assert total == pytest.approx(np.log(scores[1] / scores[0]), rel=0.02)
    assert last_maps(model) == ["shallow", "deep"]


def test_the_class_that_a_corner_decides_lights_up_that_corner():
    films = keras.Input((32, 32, 3))
    x = layers.AveragePooling2D(4, name="tiles")(layers.Rescaling(1 / 255)(films))
    features = keras.Model(films, layers.GlobalAveragePooling2D()(x))
    kernel = np.array([[-40, 40], [0, 0], [0, 0]], np.float32)
    model = linear_classifier(features, kernel, np.zeros(2, np.float32))
    film = np.zeros((32, 32, 3), np.uint8)
    film[:8, 24:, 0] = 255
    camera = GradCam(model)
    heat = camera.signed_map(film, 1)
    assert heat.dtype == np.float32
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert row < 8
    assert column >= 24
    assert camera.signed_map(film, 0).max() <= 0  # nothing speaks for the other class


def test_members_of_an_ensemble_are_summed():
    one, two = small("linear", seed=1), small("linear", seed=2)
    both = GradCam(average([one, two], ["a", "b"])).signed_map(FILM, 1)
    scores = [float(np.asarray(each(FILM[None]))[0, 1]) for each in (one, two)]
    mean = np.mean(scores)
    parts = [p * (1 - p) / 2 / (mean * (1 - mean)) * GradCam(each).signed_map(FILM, 1)
             for p, each in zip(scores, (one, two), strict=True)]
    np.testing.assert_allclose(both, parts[0] + parts[1], rtol=1e-3, atol=1e-5)


def test_the_network_stays_as_it_is():
    model = small("fastai")
    model.trainable = True
    before, scores = model.get_weights(), np.asarray(model(FILM[None]))
    trained = len(model.trainable_variables)
    camera = GradCam(model)
    first, second = camera.signed_map(FILM, 1), camera.signed_map(FILM, 1)
    np.testing.assert_array_equal(first, second)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(model.trainable_variables) == trained
    np.testing.assert_array_equal(scores, np.asarray(model(FILM[None])))


@pytest.mark.parametrize("name", sorted(set(BACKBONES) - {
    "resnet101", "resnet152", "efficientnet_v2_s", "densenet121_xrv", "efficientnet_lite1",
    "efficientnet_lite2", "dinov2_base", "rad_dino"}))
def test_every_backbone_of_the_table_has_its_last_map_seen(name):
    row = BACKBONES[name]
    network = build_backbone(row, 128)  # where no last map is a single pixel yet
    model = attach_head(network, HEADS["softmax"], 2)
    assert last_maps(model) == [network.output._keras_history.operation.name]


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v3_large", "dinov2_small", "vgg16_dwsep"])
def test_maps_of_backbones_are_as_large_as_the_film(name):
    row = BACKBONES[name]
    size = max(row.smallest, 64)
    model = attach_head(build_backbone(row, size), HEADS["softmax"], 2)
    heat = GradCam(model).signed_map(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8), 1)
    assert heat.shape == (size, size)
    assert np.isfinite(heat).all()


def test_a_network_without_maps_is_refused():
    films = keras.Input((8, 8, 3))
    model = keras.Model(films, layers.Dense(2, activation="softmax")(layers.Flatten()(films)))
    assert last_maps(model) == [films._keras_history.operation.name]
    vectors = keras.Input((8,))
    with pytest.raises(OptionError, match="occlusion"):
        GradCam(keras.Model(vectors, layers.Dense(2, activation="softmax")(vectors)))


def test_another_shape_is_refused():
    with pytest.raises(FilmError, match="uint8"):
        GradCam(small()).signed_map(FILM[..., 0], 1)
