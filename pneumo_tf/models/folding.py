"""A frozen network without its BatchNorm layers: the same function in fewer steps.

At inference BatchNorm multiplies and shifts each channel by constants, which the convolution before it can do
by itself. Keras 3 spells the layer out as several passes over memory, so on a CPU folding it away is the
difference between waiting for memory and computing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
from keras import layers

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Conv1D, layers.Conv3D)
_EXACT = (layers.GlobalAveragePooling2D, layers.Concatenate, layers.Dense)


def fold_batch_norm(model: keras.Model, *, dtype: str = "float32") -> keras.Model:
    """A copy of a functional model with every BatchNorm that follows a convolution folded into it.

    Only for inference: the copy's statistics can't be trained any more. In float32 its outputs agree with the
    original's to rounding.

    `dtype` is the copy's dtype policy, e.g. "mixed_bfloat16"; what is one vector a film stays float32.
    """
    foldable = _foldable(model)
    convolutions = {convolution.name for convolution in foldable.values()}

    def rebuild(layer: keras.Layer) -> keras.Layer:
        policy = "float32" if isinstance(layer, _EXACT) and len(layer.output.shape) == 2 else dtype
        if layer.name in foldable:
            return layers.Identity(name=layer.name, dtype=policy)
        config = {**layer.get_config(), "dtype": policy}
        if layer.name in convolutions:
            config["use_bias"] = True
        return layer.__class__.from_config(config)

    folded = keras.models.clone_model(model, clone_function=rebuild, call_function=_call)
    for layer in model.layers:
        if layer.name not in foldable and layer.name not in convolutions and layer.weights:
            folded.get_layer(layer.name).set_weights(layer.get_weights())
    for norm_name, convolution in foldable.items():
        norm = model.get_layer(norm_name)
        folded.get_layer(convolution.name).set_weights(_folded_weights(convolution, norm))
    return folded


def _call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
    # BatchNorm is called with a mask, which Identity doesn't know.
    return layer(*args) if isinstance(layer, layers.Identity) else layer(*args, **kwargs)


def _foldable(model: keras.Model) -> dict[str, keras.Layer]:
    """Name of each BatchNorm whose only input is a linear convolution that feeds nothing else."""
    results = {output._keras_history.operation for output in model.outputs}
    nodes = [node for level in model._nodes_by_depth.values() for node in level]  # of this model alone
    uses = Counter(node.operation for node in nodes)
    fed = Counter(parent.operation for node in nodes for parent in node.parent_nodes)
    pairs = {}
    for node in nodes:
        layer = node.operation
        if not isinstance(layer, layers.BatchNormalization) or uses[layer] > 1:
            continue
        source = node.parent_nodes[0].operation
        alone = uses[source] == 1 and fed[source] == 1 and source not in results
        per_channel = layer.axis in (-1, len(node.output_tensors[0].shape) - 1)
        linear = (isinstance(source, _CONVOLUTIONS) and source.data_format == "channels_last"
                  and source.activation is keras.activations.linear)
        if alone and per_channel and linear:
            pairs[layer.name] = source
    return pairs


def _folded_weights(convolution: keras.Layer, norm: keras.Layer) -> list[np.ndarray]:
    """Kernel and bias of the convolution after the normalisation: y = g (k x + b - m) / s + beta."""
    mean = np.asarray(norm.moving_mean, "float64")
    factor = 1 / np.sqrt(np.asarray(norm.moving_variance, "float64") + norm.epsilon)
    if norm.scale:
        factor *= np.asarray(norm.gamma, "float64")
    shift = np.asarray(norm.beta, "float64") if norm.center else 0.0
    *first, kernel = convolution.get_weights()[: -1 if convolution.use_bias else None]
    offset = convolution.get_weights()[-1] if convolution.use_bias else 0.0
    depthwise = isinstance(convolution, layers.DepthwiseConv2D)
    per_output = factor.reshape(kernel.shape[-2:]) if depthwise else factor
    bias = (offset - mean) * factor + shift
    return [*first, (kernel * per_output).astype("float32"), bias.astype("float32")]
