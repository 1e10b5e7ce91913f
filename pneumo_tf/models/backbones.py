"""The table of backbones: how each is built, what it expects, where it is cut, where its weights are.

A backbone is added as a row here and in `published`; a network that keras.applications lacks is a module
beside this one. Scalings of the rows that Keras builds are from keras.applications.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import keras

from pneumo_tf.errors import check_known
from pneumo_tf.models.applications import build_convnext_tiny, build_mobilenet_v3
from pneumo_tf.models.densenet_xrv import build_densenet121_xrv, load_xrv_weights
from pneumo_tf.models.dinov2 import PATCH, build_dinov2, load_dinov2_weights
from pneumo_tf.models.efficientnet_lite import build_efficientnet_lite, load_torch_weights
from pneumo_tf.models.published import PUBLISHED, WeightsFile
from pneumo_tf.models.resnet import build_resnet, load_resnet_weights
from pneumo_tf.models.vgg16_dwsep import CAFFE_OFFSET, CONSTANT, OFFSET, SCALE, build_vgg16_dwsep, load_block1
from pneumo_tf.models.weights.keras_file import load_keras_weights

__all__ = ["BACKBONES", "Backbone", "WeightsFile", "get_backbone"]

Channels = tuple[float, float, float]  # red, green, blue
Factor = float | Channels
Build = Callable[[keras.KerasTensor], keras.KerasTensor]

# The published means and deviations of ImageNet, of values 0-1: each channel gets mean 0 and deviation 1 …
IMAGENET_MEANS: Channels = (0.485, 0.456, 0.406)
IMAGENET_DEVIATIONS: Channels = (0.229, 0.224, 0.225)
_R, _G, _B = zip(IMAGENET_MEANS, IMAGENET_DEVIATIONS, strict=True)
IMAGENET_SCALE: Channels = (1 / (255 * _R[1]), 1 / (255 * _G[1]), 1 / (255 * _B[1]))
IMAGENET_OFFSET: Channels = (-_R[0] / _R[1], -_G[0] / _G[1], -_B[0] / _B[1])
# … or mean 0 only, still in 0-255 (CAFFE_OFFSET), as the networks first trained with Caffe expect it.


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A pretrained network and everything needed to use it.

    Attributes:
        name: As typed after --backbone.
        size: Side of its input in pixels.
        smallest: Smallest side it can be built for.
        scale: Inputs are multiplied by this …
        offset: … and then shifted by this; films come as red, green, blue in 0–255.
        build: Adds the network to a scaled input and returns its last feature map.
        cut: Layer below the last one or two blocks. Everything above depends on its output alone, so a recipe
            that trains only those blocks computes the rest once.
        taps: Layers of increasing depth whose pooled outputs describe a film; nothing behind the last one is
            computed for them.
        views: Augmented views of each training film that its cost allows, where a recipe computes it once.
        weights: The file of pretrained weights.
        load: Loads the weights of a file into a network that contains the backbone.
        constant: Layers that never train, because a document says so.
        partial: The file fills only some layers; the rest starts at random.
    """

    name: str
    size: int = 224
    smallest: int = 32
    scale: Factor
    offset: Factor
    build: Build
    cut: str
    taps: tuple[str, ...]
    views: int
    weights: WeightsFile
    load: Callable[[keras.Model, Path], None] = load_keras_weights
    constant: tuple[str, ...] = ()
    partial: bool = False


def _row(name: str, **about: Any) -> Backbone:
    known = PUBLISHED[name]
    return Backbone(name=name, size=known.size, weights=known.weights, **about)


def _application(name: str, **options: object) -> Build:
    """A function that adds a network of keras.applications, without its top, to inputs."""

    def build(inputs: keras.KerasTensor) -> keras.KerasTensor:
        construct = getattr(keras.applications, name)
        return construct(include_top=False, weights=None, input_tensor=inputs, **options).output

    return build


def _reversed_colours(first: str) -> Callable[[keras.Model, Path], None]:
    """A loader of files whose first kernel expects blue, green, red: it is reversed, not the films."""

    def load(model: keras.Model, path: Path) -> None:
        load_keras_weights(model, path)
        kernel = model.get_layer(first).kernel
        kernel.assign(kernel[:, :, ::-1])

    return load


def _resnet(depth: int, *, size_of_conv4: int, views: int) -> Backbone:
    return _row(
        f"resnet{depth}", scale=1.0, offset=CAFFE_OFFSET, views=views,
        build=_application(f"ResNet{depth}"), load=_reversed_colours("conv1_conv"), cut="conv5_block1_out",
        taps=("conv3_block4_out" if depth < 152 else "conv3_block8_out", f"conv4_block{size_of_conv4}_out",
              "conv5_block3_out"))


def _efficientnet_v2(letter: str, *, scale: Factor, offset: Factor, views: int, cut: str,
                     taps: tuple[str, ...]) -> Backbone:
    return _row(
        f"efficientnet_v2_{letter.lower()}", scale=scale, offset=offset,
        views=views, cut=cut, taps=taps,
        build=_application(f"EfficientNetV2{letter}", include_preprocessing=False), load=load_keras_weights)


def _mobilenet_v3(kind: Literal["large", "small"], *, cut: str, taps: tuple[str, ...]) -> Backbone:
    return _row(
        f"mobilenet_v3_{kind}", scale=1 / 127.5, offset=-1.0, views=3, cut=cut,
        taps=taps, build=partial(build_mobilenet_v3, kind=kind), load=load_keras_weights)


def _efficientnet_lite(number: int, *, cut: str, taps: tuple[str, ...], **factors: float) -> Backbone:
    return _row(
        f"efficientnet_lite{number}", scale=1 / 128, offset=-127 / 128, views=3, cut=cut, taps=taps,
        build=partial(build_efficientnet_lite, **factors), load=load_torch_weights)


def _dinov2(name: str, *, width: int, **about: Any) -> Backbone:
    return _row(
        name, smallest=2 * PATCH, build=partial(build_dinov2, width=width), cut="block9_add", taps=("map",),
        load=load_dinov2_weights, **about)


_ROWS = (
    _row(
        "inception_v3", smallest=75, scale=1 / 127.5, offset=-1.0, views=2,
        build=_application("InceptionV3"), cut="mixed8", taps=("mixed4", "mixed6", "mixed8"),
        load=load_keras_weights),
    _resnet(50, size_of_conv4=6, views=2),
    _resnet(101, size_of_conv4=23, views=1),
    _resnet(152, size_of_conv4=36, views=1),
    _row(
        "vgg16", scale=1.0, offset=CAFFE_OFFSET, views=1,
        build=_application("VGG16"), cut="block4_pool",
        taps=("block3_pool", "block4_pool", "block5_pool"), load=_reversed_colours("block1_conv1")),
    _row(
        "densenet121", scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=2,
        build=_application("DenseNet121"), cut="pool4_pool", taps=("pool3_relu", "pool4_relu", "relu"),
        load=load_keras_weights),
    _row(
        "xception", smallest=71, scale=1 / 127.5, offset=-1.0, build=_application("Xception"),
        cut="block14_sepconv1_act", views=1, load=load_keras_weights,
        taps=("block5_sepconv1_act", "block13_sepconv1_act", "block14_sepconv2_act")),
    _mobilenet_v3("large", cut="expanded_conv_12_project_bn",
                  taps=("expanded_conv_5_add", "expanded_conv_11_add", "conv_1_hard_swish")),
    _mobilenet_v3("small", cut="expanded_conv_8_project_bn",
                  taps=("expanded_conv_2_add", "expanded_conv_7_add", "conv_1_hard_swish")),
    _efficientnet_v2("B0", scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, cut="block6f_add",
                     views=3, taps=("block3b_add", "block5e_add", "top_activation")),
    _efficientnet_v2("S", scale=1 / 128, offset=-1.0, cut="block6m_add", views=1,
                     taps=("block3d_add", "block5i_add", "top_activation")),
    _row(
        "convnext_tiny", scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=2,
        build=build_convnext_tiny, load=partial(load_keras_weights, same_but_for_ones=True),
        cut="stage_3_block_0_add",
        taps=("stage_1_block_2_add", "stage_2_block_8_add", "last_layernorm")),
    _efficientnet_lite(0, cut="block6c_add", taps=("block3b_add", "block5c_add", "head_relu")),
    _efficientnet_lite(1, depth=1.1, cut="block6d_add", taps=("block3c_add", "block5d_add", "head_relu")),
    _efficientnet_lite(2, width=1.1, depth=1.2, cut="block6d_add",
                       taps=("block3c_add", "block5d_add", "head_relu")),
    _row(
        "resnet18", scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=3,
        build=partial(build_resnet, repeats=(2, 2, 2, 2)), cut="layer3_1_out",
        taps=("layer2_1_out", "layer3_1_out", "layer4_1_out"), load=load_resnet_weights),
    _row(
        "resnet34", scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=2,
        build=partial(build_resnet, repeats=(3, 4, 6, 3)), cut="layer4_0_out",
        taps=("layer2_3_out", "layer3_5_out", "layer4_2_out"), load=load_resnet_weights),
    _row(
        "densenet121_xrv", scale=2048 / 255, offset=-1024.0, views=2, build=build_densenet121_xrv,
        cut="pool4_pool", taps=("pool3_relu", "pool4_relu", "relu"), load=load_xrv_weights),
    _dinov2("dinov2_small", width=384, views=2, scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET),
    _dinov2("dinov2_base", width=768, views=1, scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET),
    _dinov2("rad_dino", width=768, views=1, scale=1 / (255 * 0.2583), offset=-0.5307 / 0.2583),
    _row(
        "vgg16_dwsep", smallest=16, scale=SCALE, offset=OFFSET, views=1,
        build=build_vgg16_dwsep, cut="block3_pool", taps=("block2_pool", "block3_pool", "block4_pool"),
        load=load_block1, constant=CONSTANT, partial=True),
)
BACKBONES = {backbone.name: backbone for backbone in _ROWS}


def get_backbone(name: str) -> Backbone:
    """The row of that name.

    Raises:
        OptionError: No such row.
    """
    check_known("backbone", name, BACKBONES)
    return BACKBONES[name]
