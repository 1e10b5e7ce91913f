"""What a network costs, read from its graph."""

from __future__ import annotations

import math

import keras
from keras import layers


def multiply_adds(network: keras.Model) -> int:
    """Multiplications with an addition that one film takes: those of convolutions and dense layers.

    Every value of a kernel is used once at each place of the layer's output. Normalisation, activation and
    pooling are left out, as is usual.

    Args:
        network: A functional model with an input of known size.
    """
    return sum(_multiply_adds(layer) for layer in network.layers)


def _multiply_adds(layer: keras.Layer) -> int:
    kernels = [weight for weight in layer.weights if weight.name.endswith("kernel")]
    counted = isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense))
    places = math.prod(layer.output.shape[1:-1]) if counted else 0
    return places * sum(math.prod(kernel.shape) for kernel in kernels)
