"""What stands before a network that other programs use: films as an image library gives them.

Grey and size are made as Pillow makes them, so that a network gets the pixels that it learnt from.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# ITU-R 601 in units of 1 / 65,536, as Pillow's "L" has it; their sums are exact in float32.
_GREY = [[19595 / 65536], [38470 / 65536], [7471 / 65536]]


class FilmInput(keras.Layer):
    """Films uint8 (N, H, W, 3) to float32 (N, size, size, 3), as `pixels.resized` makes them.

    A network that is exported with this layer is whole without it: only its operations go into the file.

    Attributes:
        size: Height and width that the network takes; None leaves them as they are.
        grey: Whether colour is taken away.
    """

    def __init__(self, size: int | None, *, grey: bool, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.grey = size, grey

    def call(self, films: keras.KerasTensor) -> keras.KerasTensor:
        pixels = ops.cast(films, "float32")
        if self.grey:
            pixels = _rounded(ops.matmul(pixels, ops.array(_GREY, "float32")))
        if self.size is not None:
            pixels = _resized(pixels, self.size)
        return ops.repeat(pixels, 3, axis=-1) if self.grey else pixels

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (shape[0], *([self.size] * 2 if self.size else shape[1:3]), 3)


def taking_films(model: keras.Model, *, any_size: bool, grey: bool) -> keras.Model:
    """A model of films float32 (N, S, S, 3) as one of films uint8 (N, H, W, 3).

    Args:
        model: With one input and one output.
        any_size: Let films have any height and width, which is that of the whole batch; else S.
        grey: Take colour away, for networks that were trained on grey films.
    """
    size = model.input_shape[1]
    side = None if any_size else size
    films = keras.Input((side, side, 3), name="films", dtype="uint8")
    pixels = FilmInput(size if any_size else None, grey=grey, name="pixels")(films)
    return keras.Model(films, model(pixels), name=model.name)


def _resized(pixels: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """Pillow's BILINEAR: a triangle as wide as a new pixel, along the rows, then along the columns, whole
    numbers after each.
    """
    height, width = ops.shape(pixels)[1], ops.shape(pixels)[2]
    channels = ops.moveaxis(pixels, -1, 1)  # (N, C, H, W)
    across = _rounded(ops.matmul(channels, ops.transpose(_weights(width, size))))
    return ops.moveaxis(_rounded(ops.matmul(_weights(height, size), across)), 1, -1)


def _weights(length: Any, size: int) -> keras.KerasTensor:
    """How much of each of `length` pixels goes into each new one, float32 (size, length), rows summing to 1.

    Distances are whole numbers of 1 / (2 · length · size) of the picture, so that nothing is rounded.
    """
    old = (2 * ops.arange(length, dtype="int32") + 1) * size
    new = (2 * ops.arange(size, dtype="int32") + 1) * length
    distance = ops.cast(ops.abs(new[:, None] - old[None]), "float32")
    triangle = ops.relu(1 - distance / ops.cast(2 * ops.maximum(length, size), "float32"))
    return triangle / ops.sum(triangle, axis=1, keepdims=True)


def _rounded(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Halves go up, as Pillow's do."""
    return ops.floor(pixels + 0.5)
