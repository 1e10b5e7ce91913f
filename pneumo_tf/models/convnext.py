"""ConvNeXt-Tiny in one flat graph of built-in layers, taking the weights of keras.applications.

Liu et al., A ConvNet for the 2020s, CVPR 2022 (arXiv:2201.03545). Keras's own is made of nested models and
layers that no other program knows. Its LayerScale is a depthwise 1x1 convolution here, its Dense layers are
1x1 convolutions, its grouped convolution is a depthwise one: the same numbers in kernels of another shape.
Stochastic depth is left out, as Keras leaves it out by default.
"""

from __future__ import annotations

import keras
from keras import layers

BLOCKS = (3, 3, 9, 3)
FILTERS = (96, 192, 384, 768)


def build_convnext_tiny(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Features (N, H/32, W/32, 768) of inputs (N, H, W, 3) with ImageNet's mean 0 and deviation 1."""
    x = layers.Conv2D(FILTERS[0], 4, 4, name="stem_conv")(inputs)
    x = _norm(x, "stem_layernorm")
    for stage, (blocks, filters) in enumerate(zip(BLOCKS, FILTERS, strict=True)):
        if stage:
            x = _norm(x, f"downsampling_{stage}_layernorm")
            x = layers.Conv2D(filters, 2, 2, name=f"downsampling_{stage}_conv")(x)
        for block in range(blocks):
            x = _block(x, filters, f"stage_{stage}_block_{block}")
    return _norm(x, "last_layernorm")


def _block(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    shortcut = x
    x = layers.DepthwiseConv2D(7, padding="same", name=f"{name}_depthwise_conv")(x)
    x = _norm(x, f"{name}_layernorm")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_pointwise_conv_1")(x)
    x = layers.Activation("gelu", name=f"{name}_gelu")(x)
    x = layers.Conv2D(filters, 1, name=f"{name}_pointwise_conv_2")(x)
    tiny = keras.initializers.Constant(1e-6)  # each block starts close to the identity
    x = layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer=tiny, name=f"{name}_layer_scale")(x)
    return layers.Add(name=f"{name}_add")([shortcut, x])


def _norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)
