"""Two networks of keras.applications, rebuilt as flat graphs of built-in layers for Keras's own weights.

Keras's ConvNeXt (Liu et al., A ConvNet for the 2020s, CVPR 2022, arXiv:2201.03545) is made of nested models
and layers that no other program knows. Its LayerScale is a depthwise 1x1 convolution here, its Dense layers
are 1x1 convolutions, its grouped convolution is a depthwise one: the same numbers in kernels of another
shape. Stochastic depth is left out, as Keras leaves it out by default.

Keras's MobileNetV3 (Howard et al., ICCV 2019, arXiv:1905.02244, tables 1 and 2) writes the hard sigmoid with
bare operators, which can neither be copied with another precision nor read by programs that know layers only.
The names of the layers are Keras's.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import keras
from keras import layers


def build_convnext_tiny(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Features (N, H/32, W/32, 768) of inputs (N, H, W, 3) with ImageNet's mean 0 and deviation 1."""
    x = _layer_norm(layers.Conv2D(96, 4, 4, name="stem_conv")(inputs), "stem_layernorm")
    for stage, (blocks, filters) in enumerate(((3, 96), (3, 192), (9, 384), (3, 768))):
        if stage:
            x = _layer_norm(x, f"downsampling_{stage}_layernorm")
            x = layers.Conv2D(filters, 2, 2, name=f"downsampling_{stage}_conv")(x)
        for block in range(blocks):
            x = _convnext_block(x, filters, f"stage_{stage}_block_{block}")
    return _layer_norm(x, "last_layernorm")


def _convnext_block(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    shortcut = x
    x = layers.DepthwiseConv2D(7, padding="same", name=f"{name}_depthwise_conv")(x)
    x = _layer_norm(x, f"{name}_layernorm")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_pointwise_conv_1")(x)
    x = layers.Activation("gelu", name=f"{name}_gelu")(x)
    x = layers.Conv2D(filters, 1, name=f"{name}_pointwise_conv_2")(x)
    tiny = keras.initializers.Constant(1e-6)  # each block starts close to the identity
    x = layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer=tiny, name=f"{name}_layer_scale")(x)
    return layers.Add(name=f"{name}_add")([shortcut, x])


def _layer_norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


class Block(NamedTuple):
    """One row of the architecture's table: widths, and whether channels are squeezed and excited."""

    kernel: int
    expanded: int
    filters: int
    squeezed: bool
    activation: str
    stride: int


_RELU, _SWISH = "relu", "hard_swish"
_MOBILENET_BLOCKS = {
    "large": tuple(Block(*row) for row in (
        (3, 16, 16, False, _RELU, 1), (3, 64, 24, False, _RELU, 2), (3, 72, 24, False, _RELU, 1),
        (5, 72, 40, True, _RELU, 2), (5, 120, 40, True, _RELU, 1), (5, 120, 40, True, _RELU, 1),
        (3, 240, 80, False, _SWISH, 2), (3, 200, 80, False, _SWISH, 1), (3, 184, 80, False, _SWISH, 1),
        (3, 184, 80, False, _SWISH, 1), (3, 480, 112, True, _SWISH, 1), (3, 672, 112, True, _SWISH, 1),
        (5, 672, 160, True, _SWISH, 2), (5, 960, 160, True, _SWISH, 1), (5, 960, 160, True, _SWISH, 1))),
    "small": tuple(Block(*row) for row in (
        (3, 16, 16, True, _RELU, 2), (3, 72, 24, False, _RELU, 2), (3, 88, 24, False, _RELU, 1),
        (5, 96, 40, True, _SWISH, 2), (5, 240, 40, True, _SWISH, 1), (5, 240, 40, True, _SWISH, 1),
        (5, 120, 48, True, _SWISH, 1), (5, 144, 48, True, _SWISH, 1), (5, 288, 96, True, _SWISH, 2),
        (5, 576, 96, True, _SWISH, 1), (5, 576, 96, True, _SWISH, 1))),
}


def build_mobilenet_v3(inputs: keras.KerasTensor, *, kind: Literal["large", "small"]) -> keras.KerasTensor:
    """Features (N, H/32, W/32, 960 or 576) of inputs (N, H, W, 3) in [-1, 1]."""
    x = layers.Conv2D(16, 3, 2, padding="same", use_bias=False, name="conv")(inputs)
    x = _normalised(x, "conv", _SWISH)
    for number, block in enumerate(_MOBILENET_BLOCKS[kind]):
        x = _mobilenet_block(x, block, f"expanded_conv_{number}_" if number else "expanded_conv_")
    x = layers.Conv2D(6 * x.shape[-1], 1, use_bias=False, name="conv_1")(x)
    return _normalised(x, "conv_1", _SWISH)


def _mobilenet_block(x: keras.KerasTensor, block: Block, name: str) -> keras.KerasTensor:
    """Inverted residual: expand, filter each channel, weigh the channels, project."""
    inputs = x
    if name != "expanded_conv_":
        x = layers.Conv2D(block.expanded, 1, use_bias=False, name=f"{name}expand")(x)
        x = _normalised(x, f"{name}expand", block.activation)
    if block.stride == 2:
        before = [(block.kernel // 2 - (1 - side % 2), block.kernel // 2) for side in x.shape[1:3]]
        x = layers.ZeroPadding2D(before, name=f"{name}depthwise_pad")(x)
    padding = "same" if block.stride == 1 else "valid"
    x = layers.DepthwiseConv2D(block.kernel, block.stride, padding=padding, use_bias=False,
                               name=f"{name}depthwise")(x)
    x = _normalised(x, f"{name}depthwise", block.activation)
    if block.squeezed:
        x = _weighed(x, f"{name}squeeze_excite_")
    x = layers.Conv2D(block.filters, 1, use_bias=False, name=f"{name}project")(x)
    x = _normalised(x, f"{name}project", None)
    if block.stride == 1 and inputs.shape[-1] == block.filters:
        x = layers.Add(name=f"{name}add")([inputs, x])
    return x


def _weighed(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Squeeze and excitation: each channel times a weight that all channels' means decide."""
    weight = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}avg_pool")(x)
    weight = layers.Conv2D(rounded(x.shape[-1] / 4), 1, activation="relu", name=f"{name}conv")(weight)
    weight = layers.Conv2D(x.shape[-1], 1, activation="hard_sigmoid", name=f"{name}conv_1")(weight)
    return layers.Multiply(name=f"{name}mul")([x, weight])


def rounded(channels: float) -> int:
    """The multiple of 8 nearest to it, but not below nine tenths of it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _normalised(x: keras.KerasTensor, name: str, activation: str | None) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.999, name=f"{name}_bn")(x)
    return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x
