"""VGG16DWSep: a VGG16 of depthwise-separable convolutions, whose first two convolutions are ImageNet's.

After VGG16 (Simonyan and Zisserman, ICLR 2015, arXiv:1409.1556) and the separable convolutions of Chollet
(Xception, CVPR 2017) and Howard et al. (MobileNets, arXiv:1704.04861), with a bias in both halves and the
activation only after the second one. Keras's SeparableConv2D has one bias, so each is two layers here.
"""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from pneumo_tf.models.weights.keras_file import assign_layers_by_name

CAFFE_OFFSET = (-123.68, -116.779, -103.939)  # ImageNet's mean red, green, blue, to be taken away
CONSTANT = ("block1_conv1", "block1_conv2")
# ImageNet's VGG16 takes 0-255 minus the mean and answers in hundreds, too much for fresh layers. ReLU lets a
# positive factor pass, so films and biases are scaled alike and its answers are the same times this factor.
SCALE = 1 / 127.5
OFFSET = (CAFFE_OFFSET[0] * SCALE, CAFFE_OFFSET[1] * SCALE, CAFFE_OFFSET[2] * SCALE)
_SEPARABLE = ((2, (128, 128)), (3, (256, 256, 256)), (4, (512, 512, 512)))


def build_vgg16_dwsep(inputs: keras.KerasTensor, *, plain: bool = False) -> keras.KerasTensor:
    """Features (N, H/16, W/16, 512) of inputs (N, H, W, 3) with ImageNet's mean 0, times SCALE.

    With `plain` all convolutions are ordinary ones, to compare with.
    """
    x = inputs
    for name in CONSTANT:
        x = _convolution(x, 64, name)
    x = layers.MaxPooling2D(2, name="block1_pool")(x)
    add = _convolution if plain else _separable_convolution
    for block, widths in _SEPARABLE:
        for number, filters in enumerate(widths, start=1):
            x = add(x, filters, f"block{block}_conv{number}")
            if len(widths) == 3 and number < 3:
                x = layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"block{block}_bn{number}")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return x


def _convolution(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal",
                         name=name)(x)


def _separable_convolution(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """One filter for each channel, then a mixture of channels; each half keeps the variance of its input."""
    # Keras takes the fan of a depthwise kernel (3, 3, channels, 1) as if it mixed channels: "fan_out" is 9.
    keeping = keras.initializers.VarianceScaling(1.0, mode="fan_out")
    x = layers.DepthwiseConv2D(3, padding="same", depthwise_initializer=keeping,
                               name=f"{name}_depthwise")(x)
    return layers.Conv2D(filters, 1, activation="relu", kernel_initializer="he_normal", name=name)(x)


def load_block1(model: keras.Model, path: Path) -> None:
    """Give the first two convolutions the weights of a VGG16 file; the other layers stay as they are.

    It is Keras's HDF5 file, or any that has its layers `block1_conv1` and `block1_conv2`.

    Raises:
        WeightsError: A layer is missing or has another shape; nothing is assigned then.
    """
    assign_layers_by_name(model, CONSTANT, path)
    first, second = (model.get_layer(name) for name in CONSTANT)
    first.kernel.assign(first.kernel[:, :, ::-1])  # that file expects blue first
    for layer in (first, second):
        layer.bias.assign(layer.bias * SCALE)
