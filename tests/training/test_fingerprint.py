"""Two networks have one fingerprint where they compute the same, whatever their layers are called."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.models.folding import fold_batch_norm
from pneumo_tf.training.fingerprint import fingerprint


def network(*, activation: str = "relu", kernel: int = 3, joined: str = "ab", dtype: str = "float32",
            cut: bool = False, seed: int = 0) -> keras.Model:
    """Two convolutions of a film and their concatenation, in this order or the other."""
    film = keras.Input((8, 8, 1))
    convolution: dict[str, Any] = {"padding": "same", "dtype": dtype}
    branches = {"a": layers.Conv2D(2, kernel, activation=activation, **convolution)(film),
                "b": layers.Conv2D(2, kernel, **convolution)(film)}
    output = layers.Concatenate()([branches[name] for name in joined])
    model = keras.Model(film, branches["a"] if cut else output)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def test_names_and_what_is_frozen_do_not_count() -> None:
    first, second = network(), network()
    assert [layer.name for layer in first.layers] != [layer.name for layer in second.layers]
    second.trainable = False
    assert fingerprint(first) == fingerprint(second)


@pytest.mark.parametrize("change", [{"activation": "tanh"}, {"kernel": 1}, {"joined": "ba"}, {"cut": True},
                                    {"dtype": "mixed_bfloat16"}, {"seed": 1}], ids=str)
def test_whatever_changes_the_outputs_does(change: dict[str, Any]) -> None:
    assert fingerprint(network(**change)) != fingerprint(network())


def test_how_the_layers_are_joined_counts() -> None:
    """The same layers in the same order with the same weights, but for the end of one shortcut."""
    def residual(shortcut: int) -> keras.Model:
        maps = [keras.Input((8, 8, 2))]
        for _ in range(3):
            maps.append(layers.Conv2D(2, 1, kernel_initializer="ones")(maps[-1]))
        return keras.Model(maps[0], layers.Add()([maps[-1], maps[shortcut]]))

    assert fingerprint(residual(1)) == fingerprint(residual(1)) != fingerprint(residual(2))


def test_which_layers_are_outputs_counts() -> None:
    film = keras.Input((8, 8, 1))
    middle = layers.ReLU()(film)
    last = layers.Softmax()(middle)
    assert fingerprint(keras.Model(film, last)) != fingerprint(keras.Model(film, [last, middle]))


def test_the_smallest_change_of_a_weight_does() -> None:
    model = network()
    before = fingerprint(model)
    weights = model.get_weights()
    weights[0].flat[0] = np.nextafter(weights[0].flat[0], np.float32(9))
    model.set_weights(weights)
    assert fingerprint(model) != before


def test_a_folded_copy_differs_from_its_original_and_not_from_another_copy() -> None:
    film = keras.Input((8, 8, 1))
    normed = layers.BatchNormalization()(layers.Conv2D(2, 3)(film))
    model = keras.Model(film, normed)
    assert fingerprint(fold_batch_norm(model)) == fingerprint(fold_batch_norm(model)) != fingerprint(model)
