"""A classifier: scaling in the graph, a backbone, a head; one flat functional graph of built-in layers.

Flat, because explanations need the inner layers and because any engine can then load it. Films enter as they
are, 0–255, so nobody can scale them wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from pneumo_tf.errors import OptionError
from pneumo_tf.models.backbones import Backbone, Factor
from pneumo_tf.models.heads import OUTPUT, Head

HEAD_GROUP = 2  # of `depth_groups`
_DEPTHS = 5  # resolutions whose last feature map `with_features` tells of


def build_backbone(backbone: Backbone, size: int, *,
                   scaling: tuple[Factor, Factor] | None = None) -> keras.Model:
    """The backbone with its scaling: films (N, size, size, 3) in 0–255 to its last feature map.

    `scaling` is a factor and an offset instead of the backbone's own.

    Raises:
        OptionError: The films would be too small for its strides.
    """
    if size < backbone.smallest:
        raise OptionError(f"{backbone.name} needs films of at least {backbone.smallest} pixels.",
                          received=f"--image-size {size}", remedy=f"Its own size is {backbone.size}.")
    inputs = keras.Input((size, size, 3), name="films")
    scaled = layers.Rescaling(*(scaling or (backbone.scale, backbone.offset)), name="scaling")(inputs)
    return keras.Model(inputs, backbone.build(scaled), name=backbone.name)


def pooled_features(network: keras.Model, taps: Sequence[str]) -> keras.Model:
    """Films to one vector: the mean of each channel at several depths, concatenated.

    Layers behind the last tap are left out.
    """
    pooled = [layers.GlobalAveragePooling2D(name=f"{tap}_pooled")(network.get_layer(tap).output)
              for tap in taps]
    features = pooled[0] if len(pooled) == 1 else layers.Concatenate(name="features")(pooled)
    return keras.Model(network.input, features, name=network.name)


def linear_classifier(features: keras.Model, kernel: np.ndarray, bias: np.ndarray) -> keras.Model:
    """Films to (N, D) features under a trained softmax layer, kernel (D, K) and bias (K,), as one graph."""
    classify = layers.Dense(kernel.shape[1], activation="softmax", dtype="float32", name=OUTPUT)
    model = keras.Model(features.input, classify(features.output), name=features.name)
    classify.set_weights([kernel, bias])
    return model


def with_features(model: keras.Model) -> keras.Model:
    """A classifier that also gives what a film looks like to it: films to (N, K + D), scores then features.

    The features are means of each channel at several depths: what a linear head reads where it was given
    several, else the last feature map of each of the last five resolutions; those of all heads where scores
    are averaged. One output, so that any engine computes it in the same pass and the scores stay the
    classifier's own.

    The last map alone wouldn't do: what a fine-tuned network has no use for it forgets on the way, and a leg
    or a photograph ends beside a chest (benchmarks/refusal.py).
    """
    scores = model.outputs[0]
    features = [vector for head in _head_inputs(scores) for vector in _several_depths(head)]
    together = layers.Concatenate(dtype="float32", name="scores_and_features")([scores, *features])
    return keras.Model(model.inputs[0], together, name=model.name)


def _head_inputs(scores: keras.KerasTensor) -> list[keras.KerasTensor]:
    """What the layers with weights read that scores are computed by: one vector, or one for each head."""
    node = _node_of(scores)
    if node.operation.weights:
        return [node.input_tensors[0]]
    return [vector for part in node.input_tensors for vector in _head_inputs(part)]


def _several_depths(vector: keras.KerasTensor) -> list[keras.KerasTensor]:
    """A vector that holds the means of several feature maps, else the means of those that it comes from."""
    before = _behind(vector)
    pools = layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D
    nodes = [_node_of(one) for one in before]
    pooled = {id(node.input_tensors[0]) for node in nodes if isinstance(node.operation, pools)}
    if len(pooled) > 1:
        return [vector]
    size = before[0].shape[1:3]  # of the films
    maps = {one.shape[1:3]: one for one in before if len(one.shape) == 4 and one.shape[1:3] != size}
    # A name that Keras gives by itself may be that of a layer that was read from a file.
    named = {f"mean_of_{_node_of(one).operation.name}": one for one in list(maps.values())[-_DEPTHS:]}
    return [layers.GlobalAveragePooling2D(dtype="float32", name=name)(one) for name, one in named.items()]


def _behind(tensor: keras.KerasTensor) -> list[keras.KerasTensor]:
    """The tensor and all that it is computed from, the films first."""
    order: list[keras.KerasTensor] = []
    seen: set[int] = set()
    waiting = [(tensor, False)]
    while waiting:
        one, is_ready = waiting.pop()
        if is_ready:
            order.append(one)
        elif id(one) not in seen:
            seen.add(id(one))
            waiting += [(one, True), *((part, False) for part in _node_of(one).input_tensors)]
    return order


def _node_of(tensor: keras.KerasTensor) -> Any:
    """The call of a layer that gave a tensor; a layer that several models share may have several calls."""
    layer, call, _ = tensor._keras_history
    return layer._inbound_nodes[call]


def attach_head(network: keras.Model, head: Head, classes: int) -> keras.Model:
    """A network with a fresh head on its last feature map."""
    return keras.Model(network.input, head(network.output, classes), name=network.name)


def unfreeze(network: keras.Model, *, constant: Iterable[str] = (), norm: bool = False) -> None:
    """Let every layer learn but BatchNorm and those named constant.

    With few films a batch's statistics are too noisy to replace ImageNet's. In Keras 3 calling with
    training=False doesn't outlast unfreezing (keras issue 20285), so each such layer is frozen itself. The
    model must be compiled again afterwards.

    With `norm` BatchNorm learns too, where its statistics started at random.
    """
    network.trainable = True
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = norm
    for name in constant:
        network.get_layer(name).trainable = False


def depth_groups(model: keras.Model, network: keras.Model) -> dict[str, int]:
    """The depth group of each variable, so that early layers can learn more slowly than late ones.

    Three groups, as fastai cuts its networks: 0 and 1 for the first and second half of the backbone's layers
    with weights, 2 for the layers on top of it.

    Returns:
        The group of each variable of the classifier `model` on the backbone `network`, by its path.
    """
    weighted = [layer.name for layer in network.layers if layer.weights]
    groups = {name: int(index >= len(weighted) / 2) for index, name in enumerate(weighted)}
    return {variable.path: groups.get(layer.name, HEAD_GROUP)
            for layer in model.layers for variable in layer.weights}


def multiply_adds(network: keras.Model) -> int:
    """Multiplications with an addition that one film takes: of convolutions, dense layers and attention.

    Every value of a kernel is used once at each position of the layer's output; attention also compares all
    pairs of positions and sums over them. Normalisation, activation and pooling are left out, as is usual.
    The size of the network's input must be known.
    """
    counted = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense,
               layers.EinsumDense, layers.MultiHeadAttention)
    kernels = sum(math.prod(layer.output.shape[1:-1]) * math.prod(weight.shape)
                  for layer in network.layers if isinstance(layer, counted)
                  for weight in layer.weights if weight.name.endswith("kernel"))
    pairs = sum(2 * layer.output.shape[1] ** 2 * layer.output.shape[2]
                for layer in network.layers if isinstance(layer, layers.MultiHeadAttention))
    return kernels + pairs
