"""ResNet18 and ResNet34 as torchvision has them, which keras.applications lacks.

He et al., Deep residual learning for image recognition, CVPR 2016 (arXiv:1512.03385). Layer names are
torchvision's with `_` for `.`: `layer2_0_conv1`. Strided layers pad both sides by hand, because Keras's
"same" would pad only the right and lower ones where PyTorch pads all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
from keras import layers

from pneumo_tf.models.weights.torch_file import assign_torch_tensors

FILTERS = (64, 128, 256, 512)


def build_resnet(inputs: keras.KerasTensor, *, repeats: Sequence[int]) -> keras.KerasTensor:
    """Features (N, H/32, W/32, 512) of inputs (N, H, W, 3) with ImageNet's mean 0 and deviation 1.

    Each of the four stages has so many basic blocks as `repeats` says.
    """
    x = _convolution(inputs, 64, 7, stride=2, name="conv1")
    x = layers.ReLU(name="relu")(_norm(x, "bn1"))
    x = layers.ZeroPadding2D(1, name="maxpool_pad")(x)  # no value is below the 0 of a ReLU
    x = layers.MaxPooling2D(3, 2, name="maxpool")(x)
    for stage, (filters, blocks) in enumerate(zip(FILTERS, repeats, strict=True), start=1):
        for block in range(blocks):
            x = _basic_block(x, filters, stride=2 if stage > 1 and block == 0 else 1,
                             name=f"layer{stage}_{block}")
    return x


def _basic_block(x: keras.KerasTensor, filters: int, *, stride: int, name: str) -> keras.KerasTensor:
    shortcut = x
    x = _norm(_convolution(x, filters, 3, stride=stride, name=f"{name}_conv1"), f"{name}_bn1")
    x = layers.ReLU(name=f"{name}_relu")(x)
    x = _norm(_convolution(x, filters, 3, name=f"{name}_conv2"), f"{name}_bn2")
    if stride > 1:
        shortcut = _convolution(shortcut, filters, 1, stride=stride, name=f"{name}_downsample_0")
        shortcut = _norm(shortcut, f"{name}_downsample_1")
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, shortcut]))


def _convolution(x: keras.KerasTensor, filters: int, kernel: int, *, name: str,
                 stride: int = 1) -> keras.KerasTensor:
    if kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(filters, kernel, stride, use_bias=False, kernel_initializer="he_normal",
                         name=name)(x)


def _norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=name)(x)


def load_resnet_weights(model: keras.Model, path: Path) -> None:
    """Load torchvision's `.pth` file, or timm's safetensors file; its classifier is left out.

    Raises:
        WeightsError: A tensor is missing or has another shape; nothing is assigned then.
    """
    assign_torch_tensors(model, dict(_torch_names(model)), path)


def _torch_names(model: keras.Model) -> Iterator[tuple[str, str]]:
    """Our layer names and torchvision's."""
    for layer in model.layers:
        stage, _, rest = layer.name.partition("_")
        if layer.weights and stage in ("layer1", "layer2", "layer3", "layer4"):
            block, _, part = rest.partition("_")
            yield layer.name, f"{stage}.{block}.{part.replace('_', '.')}"
        elif layer.name in ("conv1", "bn1"):
            yield layer.name, layer.name
