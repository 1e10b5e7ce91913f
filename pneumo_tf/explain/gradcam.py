"""Grad-CAM on any flat graph, with Keras alone.

Selvaraju et al., Grad-CAM, ICCV 2017. The gradient of a class score after a feature map A is found without
naming a backend: an offset of zero is added to A and made the only variable that trains, and one step of
plain gradient descent at rate 1 on the negative score leaves the gradient in it.

A network may pool several maps (the depths that a linear head reads, the members of an ensemble); what each
adds is summed. For a linear head on pooled maps the sum over all positions is then exactly the class's
log-odds, up to the bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from pneumo_tf.errors import OptionError
from pneumo_tf.explain.superpixels import Film, check_film
from pneumo_tf.models.folding import fold_batch_norm

_TINY = 1e-6  # nearest to 0 and 1 that a score is taken for


class GradCam:
    """Grad-CAM of one network, which is prepared once for all films.

    Args:
        model: A flat functional classifier; it stays as it is.

    Raises:
        OptionError: No feature map on the way to the scores.
    """

    def __init__(self, model: keras.Model) -> None:
        network = fold_batch_norm(model)
        maps = [network.get_layer(name).output for name in last_maps(network)]
        if not maps:
            raise OptionError("Grad-CAM needs a network that pools or flattens feature maps.",
                              received=f"{model.name}, which does neither", remedy="Take occlusion instead.")
        self._maps = keras.Model(network.inputs, maps)
        scores, activation = _before_activation(network)
        self._rest = _Offset(keras.Model(maps, scores))
        self._rest.compile(optimizer=keras.optimizers.SGD(1.0), loss=_negative_log_odds(activation))

    def signed_map(self, film: Film, explained: int) -> NDArray[np.float32]:
        """The share of each pixel in the log-odds of a class, float32 (H, W), signed."""
        check_film(film)
        outputs = keras.tree.flatten(self._maps.predict_on_batch(film[None]))
        maps = [np.asarray(each, np.float32) for each in outputs]
        total = np.zeros(film.shape[:2], np.float32)
        for gradient, values in zip(self._rest.gradients(maps, explained), maps, strict=True):
            added = (gradient.mean(axis=(1, 2), keepdims=True) * values).sum(axis=-1)[0]
            # A place of a coarse map stands for many pixels, among which its share is divided.
            total += cv2.resize(added, film.shape[1::-1], interpolation=cv2.INTER_LINEAR) \
                * (added.size / total.size)
        return total


def last_maps(model: keras.Model) -> list[str]:
    """Names of the layers whose feature maps are pooled or flattened for the head, by the graph's order.

    The map that a squeeze-and-excitation block pools doesn't count: the result is multiplied into a map.
    """
    nodes = [node for level in model._nodes_by_depth.values() for node in level]
    followers: dict[int, list[Any]] = {}
    for node in nodes:
        for parent in node.parent_nodes:
            followers.setdefault(id(parent), []).append(node)
    vectors: dict[int, bool] = {}

    def only_vectors_follow(node: Any) -> bool:
        if id(node) not in vectors:
            vectors[id(node)] = not _is_map(node) and all(
                map(only_vectors_follow, followers.get(id(node), [])))
        return vectors[id(node)]

    found = {node.operation.name for node in nodes
             if _is_map(node) and any(map(only_vectors_follow, followers.get(id(node), [])))}
    return [layer.name for layer in model.layers if layer.name in found]


def _is_map(node: Any) -> bool:
    """Height and width are still there."""
    return any(len(tensor.shape) == 4 and tensor.shape[1:3] != (1, 1) for tensor in node.output_tensors)


def _before_activation(model: keras.Model) -> tuple[keras.KerasTensor, str]:
    """The scores before the last layer's softmax or sigmoid, and its name; else the scores and ""."""
    last = model.outputs[0]._keras_history.operation
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    if not isinstance(last, layers.Dense) or activation not in ("softmax", "sigmoid"):
        return model.outputs[0], ""
    linear = layers.Dense.from_config({**last.get_config(), "activation": "linear"})
    scores = linear(last.input)
    linear.set_weights(last.get_weights())
    return scores, activation


def _negative_log_odds(activation: str) -> Callable[[Any, Any], Any]:
    """The loss whose negative gradient is that of a class's log-odds against all others."""

    def loss(wanted: Any, scores: Any) -> Any:
        own = ops.sum(wanted * scores, axis=-1)
        if activation == "softmax":
            return ops.logsumexp(scores - 1e9 * wanted, axis=-1) - own
        if activation == "sigmoid":
            return -own
        probability = ops.clip(own, _TINY, 1 - _TINY)
        return ops.log(1 - probability) - ops.log(probability)

    return loss


class _Offset(keras.Model):
    """A network from feature maps to scores, with an offset on each map as all that trains."""

    def __init__(self, rest: keras.Model) -> None:
        super().__init__(name="offset")
        rest.trainable = False
        self.rest = rest
        self.offsets = [self.add_weight(shape=(1, *each.shape[1:]), initializer="zeros", name=f"map_{place}")
                        for place, each in enumerate(rest.inputs)]

    def call(self, maps: Sequence[Any]) -> Any:
        moved = [each + offset for each, offset in zip(maps, self.offsets, strict=True)]
        return self.rest(moved if len(moved) > 1 else moved[0], training=False)

    def gradients(self, maps: list[NDArray[np.float32]], explained: int) -> list[NDArray[np.float32]]:
        """The gradient of a class's log-odds after each map, of the map's shape."""
        for offset in self.offsets:
            offset.assign(np.zeros(offset.shape, np.float32))
        wanted = np.zeros((1, self.rest.output_shape[-1]), np.float32)
        wanted[0, explained] = 1
        self.train_on_batch(maps, wanted)
        return [np.asarray(offset) for offset in self.offsets]
