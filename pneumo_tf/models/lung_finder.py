"""A U-Net that draws the lungs of a chest film: the network that `data/preparation/lungs.py` computes.

Ronneberger et al., U-Net, MICCAI 2015 (arXiv:1505.04597), made small: 96 pixels, five levels of 8 to 44
channels, bilinear upsampling.
"""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from pneumo_tf.data.preparation.lungs import SIZE
from pneumo_tf.models.folding import fold_batch_norm

CHANNELS = (8, 16, 24, 32, 44)


def build_lung_finder() -> keras.Model:
    """Standardised grey films (N, 96, 96, 1) to logits of lung (N, 96, 96, 1)."""
    inputs = keras.Input((SIZE, SIZE, 1), name="films")
    x, skipped = inputs, []
    for level, channels in enumerate(CHANNELS):
        x = _block(layers.MaxPooling2D()(x) if level else x, channels, f"down{level}")
        skipped.append(x)
    for level, channels in reversed(list(enumerate(CHANNELS[:-1]))):
        wider = layers.UpSampling2D(interpolation="bilinear")(x)
        x = _block(layers.Concatenate()([wider, skipped[level]]), channels, f"up{level}")
    return keras.Model(inputs, layers.Conv2D(1, 1, name="lungs")(x), name="lung_finder")


def export_lung_finder(model: keras.Model, path: Path) -> None:
    """Write the network as a `.tflite` file, which OpenCV reads, with BatchNorm folded away."""
    fold_batch_norm(model).export(path, format="litert", verbose=False)


def _block(x: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
    for place in "ab":
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"{name}{place}")(x)
        x = layers.ReLU(name=f"{name}{place}_relu")(layers.BatchNormalization(name=f"{name}{place}_norm")(x))
    return x
