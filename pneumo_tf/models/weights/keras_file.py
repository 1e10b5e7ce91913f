"""Weights files of Keras: layers of an HDF5 file into a network, checked before anything is assigned.

Keras itself matches such a file to a network by the order of the layers alone, and stops half-way at the
first shape that differs. Files of the newer layout (`.weights.h5`, `.keras`) are left to Keras.
"""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np

from pneumo_tf.errors import WeightsError
from pneumo_tf.models.weights.assignment import MisfitError, Placement, assign_all, check_fit

_KINDS = {"kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"}
# What a tensor may unpack to: an HDF5 file can declare terabytes of which it holds nothing.
_LARGEST_RATIO, _SMALL = 1000, 2**16
# What h5py raises for a damaged file.
_DAMAGED = (OSError, LookupError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError,
            MemoryError)
# A damaged file can keep HDF5 busy without end, and no Ctrl-C reaches it: another process looks first.
_LOOK = ("import sys, h5py\nwith h5py.File(sys.argv[1]) as file:\n"
         "    dict(file.attrs)\n    file.visititems(lambda _, part: (dict(part.attrs), None)[1])")
_PATIENCE = 60.0  # seconds
_NUMBERED = re.compile(r"((depthwise_|separable_)?conv2d|(batch|layer)_normalization|dense)(_\d+)?")


class Tensor(NamedTuple):
    """A tensor of a file: its layer there, its name, its values."""

    layer: str
    name: str
    values: np.ndarray


def load_keras_weights(model: keras.Model, path: Path, *, same_but_for_ones: bool = False) -> None:
    """Load all weights of a file into a network.

    By name where file (`.h5`, `.weights.h5` or `.keras`) and network name their layers alike, else by order.
    With `same_but_for_ones` shapes may differ by axes of length 1, and kinds of tensors by their name.

    Raises:
        WeightsError: A file of another network, or no weights file; the network is then as before.
    """
    tensors = _read(path)
    if tensors is None:
        _load_with_keras(model, path)
        return
    slots = [(layer, variable) for layer in model.layers for variable in layer.weights]
    tensors = _in_order_of_names(tensors, [layer.name for layer, _ in slots])
    placements = [Placement(variable, tensor.name, tensor.values)
                  for (_, variable), tensor in zip(slots, tensors, strict=False)]
    if same_but_for_ones:
        placements = [_reshaped(placement) for placement in placements]
    _check_count(slots, tensors, placements, path)
    check_fit(placements, path)
    if not same_but_for_ones:
        _check_names(slots, tensors, path)
    assign_all(placements, path)


def assign_layers_by_name(model: keras.Model, names: Sequence[str], path: Path) -> None:
    """Load the weights of the named layers from a file; the others stay as they are.

    Raises:
        WeightsError: The file lacks a layer, or its shape is another; nothing is assigned then.
    """
    tensors = _read(path) or []
    placements = []
    for layer in map(model.get_layer, names):
        own = [tensor for tensor in tensors if tensor.layer == layer.name]
        if len(own) != len(layer.weights):
            raise MisfitError(path, f"which holds {len(own)} tensors of a layer {layer.name} "
                                    f"where {len(layer.weights)} are needed")
        placements += [Placement(variable, tensor.name, tensor.values)
                       for variable, tensor in zip(layer.weights, own, strict=True)]
    assign_all(placements, path)


def _read(path: Path) -> list[Tensor] | None:
    """The tensors in the file's order; None for one of the newer layout."""
    try:
        if path.suffix == ".keras":
            return None
        _refuse_endless(path)
        with h5py.File(path) as file:
            root = "model_weights/" if "model_weights" in file else "/"
            names = _listed(file[root], "layer_names")
            if not names:
                return None
            return [Tensor(layer, name, _values(file, f"{root}{layer}/{name}"))
                    for layer in names for name in _listed(file[f"{root}{layer}"], "weight_names")]
    except _DAMAGED as failure:
        raise WeightsError("A weights file of Keras must be a complete HDF5 file.",
                           received=f"{path} ({str(failure).strip().partition(chr(10))[0]})",
                           remedy="Fetch the file again from its source, or name another one.") from failure


def _refuse_endless(path: Path) -> None:
    """ValueError for a file that HDF5 finds no end of or breaks down on; its reader finds the rest."""
    try:
        done = subprocess.run([sys.executable, "-c", _LOOK, str(path)], timeout=_PATIENCE,
                              capture_output=True, check=False)
    except subprocess.TimeoutExpired as endless:
        raise ValueError(f"no end of it in {_PATIENCE:g} seconds") from endless
    if done.returncode not in (0, 1):  # by a signal, and not by an exception
        raise ValueError(f"HDF5 breaks down on it with status {done.returncode}")


def _values(file: h5py.File, name: str) -> np.ndarray:
    """A tensor of the file itself; ValueError where it would be read from another file, or be made up."""
    part = file
    for step in filter(None, name.split("/")):
        if not isinstance(part.get(step, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link")
        part = part[step]
    if not isinstance(part, h5py.Dataset):
        raise ValueError(f"{name} is no tensor")
    if part.external or part.is_virtual:
        raise ValueError(f"{name} lies in another file")
    if part.nbytes > _LARGEST_RATIO * max(part.id.get_storage_size(), _SMALL):
        raise ValueError(f"{name} of {part.nbytes:,} bytes, of which the file has "
                         f"{part.id.get_storage_size():,}")
    return np.asarray(part)


def _listed(group: h5py.Group, name: str) -> list[str]:
    """Names in an attribute, which HDF5 splits in several where it is long."""
    parts = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [entry.decode() if isinstance(entry, bytes) else str(entry) for part in parts for entry in part]


def _in_order_of_names(tensors: list[Tensor], layers: list[str]) -> list[Tensor]:
    """The file's tensors in the order of the network's layers, where both have the same names."""
    rank = {name: index for index, name in reversed(list(enumerate(layers)))}
    if {tensor.layer for tensor in tensors} != set(rank) or any(map(_NUMBERED.fullmatch, rank)):
        return tensors
    return sorted(tensors, key=lambda tensor: rank[tensor.layer])


def _check_names(slots: list[tuple[keras.Layer, keras.Variable]], tensors: list[Tensor], path: Path) -> None:
    """Refuse an order that would put a layer into another one of its own network, or a mean into a gamma."""
    own = {layer.name for layer, _ in slots if not _NUMBERED.fullmatch(layer.name)}
    for (layer, variable), tensor in zip(slots, tensors, strict=False):
        kind = tensor.name.rpartition("/")[2].partition(":")[0].removeprefix("depthwise_")
        needed = variable.name.removeprefix("depthwise_")
        misplaced = tensor.layer in own and tensor.layer != layer.name
        if misplaced or (kind != needed and {kind, needed} <= _KINDS):
            raise MisfitError(path, f"whose order of layers puts tensor {tensor.name} of shape "
                                    f"{tensor.values.shape} where {variable.path} of shape "
                                    f"{tuple(variable.shape)} is needed")


def _check_count(slots: list[tuple[keras.Layer, keras.Variable]], tensors: list[Tensor],
                 placements: list[Placement], path: Path) -> None:
    if len(slots) == len(tensors):
        return
    misfit = next((str(one) for one in placements if one.values.shape != one.needed), None)
    if misfit is None:
        slot, tensor = next(pair for pair in zip_longest(slots, tensors) if None in pair)
        misfit = (f"tensor {tensor.name} of shape {tensor.values.shape}, which has no place" if slot is None
                  else f"nothing for {slot[1].path} of shape {tuple(slot[1].shape)}")
    raise MisfitError(path, f"which holds {len(tensors)} tensors where {len(slots)} are needed, "
                            f"the first that differs: {misfit}")


def _reshaped(placement: Placement) -> Placement:
    """With the axes of length 1 where the variable has them."""
    shape, needed = placement.values.shape, placement.needed
    if [n for n in shape if n > 1] != [n for n in needed if n > 1]:
        return placement
    return placement._replace(values=placement.values.reshape(needed))


def _load_with_keras(model: keras.Model, path: Path) -> None:
    before = model.get_weights()
    try:
        with warnings.catch_warnings(record=True) as said:
            model.load_weights(path)
        if said:  # Keras only warns where a file leaves layers as they were
            raise ValueError(said[0].message)
    except _DAMAGED as failure:
        model.set_weights(before)
        raise MisfitError(path, f"of which Keras says: {str(failure).strip().rstrip('.')}") from failure
