"""Assign the tensors of a file to the variables of a network: all of them, or none where one doesn't fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from pneumo_tf.errors import WeightsError
from pneumo_tf.language import translated


class MisfitError(WeightsError):
    """A weights file of another network; `what` says what about the file doesn't fit."""

    def __init__(self, path: Path, what: str, *, remedy: str = "Name the file of this backbone.") -> None:
        self.what = what
        super().__init__("Weights must fit the network they are loaded into.",
                         received=f"{path}, {translated(what)}", remedy=remedy)


class Placement(NamedTuple):
    """A tensor and the variable that is to hold it.

    Attributes:
        variable: A Keras variable.
        name: Of the tensor in its file.
        values: In the file's layout.
        axes: The file's axes in the variable's order; () where they are the same.
    """

    variable: keras.Variable
    name: str
    values: np.ndarray
    axes: tuple[int, ...] = ()

    @property
    def needed(self) -> tuple[int, ...]:
        """The variable's shape in the file's layout."""
        shape = tuple(self.variable.shape)
        return tuple(shape[self.axes.index(axis)] for axis in range(len(shape))) if self.axes else shape

    def __str__(self) -> str:
        return (f"tensor {self.name} of shape {self.values.shape} where {self.needed} is needed "
                f"for {self.variable.path}")


def check_fit(placements: Sequence[Placement], path: Path) -> None:
    """Refuse tensors that don't fit their variables.

    Raises:
        MisfitError: A tensor has another shape, or values that are no finite floating numbers.
    """
    for placement in placements:
        if placement.values.shape != placement.needed:
            raise MisfitError(path, f"which has {placement}")
        if placement.values.dtype.kind != "f" or not np.isfinite(placement.values).all():
            raise MisfitError(path, f"which has tensor {placement.name}, whose values are not finite "
                                    "floating numbers")


def assign_all(placements: Sequence[Placement], path: Path) -> None:
    """Assign every tensor to its variable.

    Raises:
        MisfitError: One doesn't fit; nothing is assigned then.
    """
    check_fit(placements, path)
    for placement in placements:
        values = placement.values.transpose(placement.axes) if placement.axes else placement.values
        placement.variable.assign(values)
