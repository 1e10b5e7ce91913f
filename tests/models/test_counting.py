"""Multiply-adds against what one counts by hand, and against published figures."""

from __future__ import annotations

import keras
import pytest
from keras import layers

from pneumo_tf.models.backbones import BACKBONES
from pneumo_tf.models.classifier import build_backbone
from pneumo_tf.models.counting import multiply_adds


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
