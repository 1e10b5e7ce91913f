"""The new layers on a backbone's last feature map; each ends in one score per class, in float32."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers

OUTPUT = "scores"
Head = Callable[[keras.KerasTensor, int], keras.KerasTensor]


def softmax_head(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Pooling, dropout and one softmax layer."""
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    x = layers.Dropout(0.3, name="dropout")(x)
    return _scores(x, classes)


def linear_head(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Pooling and one softmax layer: the last layer of an ImageNet network, made anew."""
    return _scores(layers.GlobalAveragePooling2D(name="pooled")(x), classes)


def tutorial_head(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """The head of the transfer-learning tutorial: three wide layers and one sigmoid per class."""
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    x = layers.Dense(1024, activation="relu", name="dense_1")(x)
    x = layers.Dense(512, activation="relu", name="dense_2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(512, activation="relu", name="dense_3")(x)
    return _scores(x, classes, activation="sigmoid")


def fastai_head(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """fastai's: mean and maximum of each channel, then two layers with BatchNorm and dropout before each.

    Howard and Gugger, fastai: A Layered API for Deep Learning, Information 2020, 11:108.
    """
    pool = layers.GlobalMaxPooling2D(name="pooled_max"), layers.GlobalAveragePooling2D(name="pooled")
    x = layers.Concatenate(name="features")([each(x) for each in pool])
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="head_norm_1")(x)
    x = layers.Dropout(0.25, name="dropout_1")(x)
    x = layers.Dense(512, activation="relu", use_bias=False, name="dense_1")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="head_norm_2")(x)
    x = layers.Dropout(0.5, name="dropout_2")(x)
    return _scores(x, classes)


def dwsep_head(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """The fully connected layers of VGG16DWSep: 1,024 and 512 units with heavy dropout."""
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(1024, activation="relu", name="dense_1")(x)
    x = layers.Dropout(0.7, name="dropout_1")(x)
    x = layers.Dense(512, activation="relu", name="dense_2")(x)
    x = layers.Dropout(0.5, name="dropout_2")(x)
    return _scores(x, classes)


def _scores(x: keras.KerasTensor, classes: int, *, activation: str = "softmax") -> keras.KerasTensor:
    return layers.Dense(classes, activation=activation, dtype="float32", name=OUTPUT)(x)


HEADS: dict[str, Head] = {"softmax": softmax_head, "linear": linear_head, "tutorial": tutorial_head,
                          "fastai": fastai_head, "dwsep": dwsep_head}
