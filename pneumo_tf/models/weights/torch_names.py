"""Tensors with PyTorch's names and layouts into Keras layers, from a `.pth` or a safetensors file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
from keras import layers
from safetensors import SafetensorError
from safetensors.numpy import load_file

from pneumo_tf.errors import WeightsError
from pneumo_tf.models.weights.assignment import MisfitError, Placement, assign_all, check_fit
from pneumo_tf.models.weights.torch_checkpoint import read_checkpoint

_PARTS = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias",
          "moving_mean": "running_mean", "moving_variance": "running_var"}
_CLASSIFIERS = ("fc.", "_fc.", "classifier.", "head.")


def assign_torch_tensors(model: keras.Model, prefixes: Mapping[str, str], path: Path) -> None:
    """Give layers their tensors; a classifier in the file is left out.

    Args:
        model: A network that contains the layers.
        prefixes: PyTorch's name of each layer, by ours.
        path: A `.pth` checkpoint, or a `.safetensors` file with the same names.

    Raises:
        WeightsError: A tensor is missing, has another shape or no place here; nothing is assigned then.
    """
    tensors = _read_tensors(path)
    wanted = {f"{prefix}.{_PARTS[variable.name]}": (layer, variable)
              for layer, prefix in ((model.get_layer(name), prefix) for name, prefix in prefixes.items())
              for variable in layer.weights}
    tensors = _without_wrapper(tensors, next(iter(wanted)))
    placements = [Placement(variable, name, tensors[name], _axes(layer, variable))
                  for name, (layer, variable) in wanted.items() if name in tensors]
    check_fit(placements, path)
    missing = next((name for name in wanted if name not in tensors), None)
    if missing:
        raise MisfitError(path, f"which has no tensor {missing}")
    surplus = next(_surplus(tensors, wanted), None)
    if surplus:  # a deeper network of the same family has every tensor of this one too
        raise MisfitError(path, f"which also has tensor {surplus} of shape {tensors[surplus].shape}, "
                                "for which this network has no place")
    assign_all(placements, path)


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    if path.suffix != ".safetensors":
        return read_checkpoint(path)
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as failure:
        raise WeightsError("A safetensors file must be complete.",
                           received=f"{path} ({type(failure).__name__}: {failure})",
                           remedy="Fetch the file again from its source.") from failure


def _without_wrapper(tensors: dict[str, np.ndarray], first: str) -> dict[str, np.ndarray]:
    """The tensors without what a wrapping module put before their names, e.g. `module.`."""
    found = [name.removesuffix(first) for name in tensors if name == first or name.endswith(f".{first}")]
    wrapper = min(found, key=len, default="")
    return {name.removeprefix(wrapper): values for name, values in tensors.items()}


def _surplus(tensors: Mapping[str, np.ndarray], wanted: Mapping[str, object]) -> Iterator[str]:
    return (name for name in tensors if name not in wanted and not name.startswith(_CLASSIFIERS)
            and not name.endswith("num_batches_tracked"))


def _axes(layer: keras.Layer, variable: keras.Variable) -> tuple[int, ...]:
    """From (C, 1, h, w) or (out, in, h, w) to Keras's order."""
    if len(variable.shape) != 4:
        return ()
    return (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
