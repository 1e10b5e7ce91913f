"""What a backbone is: everything needed to build it, feed it, cut it and find its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from pneumo_tf.models.published import WeightsFile

Channels = tuple[float, float, float]  # red, green, blue
Factor = float | Channels

# The published means and deviations of ImageNet, of values 0-1: each channel gets mean 0 and deviation 1 …
IMAGENET_MEANS: Channels = (0.485, 0.456, 0.406)
IMAGENET_DEVIATIONS: Channels = (0.229, 0.224, 0.225)
_R, _G, _B = zip(IMAGENET_MEANS, IMAGENET_DEVIATIONS, strict=True)
IMAGENET_SCALE: Channels = (1 / (255 * _R[1]), 1 / (255 * _G[1]), 1 / (255 * _B[1]))
IMAGENET_OFFSET: Channels = (-_R[0] / _R[1], -_G[0] / _G[1], -_B[0] / _B[1])
# … or mean 0 only, still in 0-255, as the networks that were first trained with Caffe expect it.
CAFFE_SCALE = 1.0
CAFFE_OFFSET: Channels = (-123.68, -116.779, -103.939)


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
    size: int
    smallest: int
    scale: Factor
    offset: Factor
    build: Callable[[keras.KerasTensor], keras.KerasTensor]
    cut: str
    taps: tuple[str, ...]
    views: int
    weights: WeightsFile
    load: Callable[[keras.Model, Path], None]
    constant: tuple[str, ...] = ()
    partial: bool = False
