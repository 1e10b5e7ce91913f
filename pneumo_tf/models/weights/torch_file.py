"""Weights files of PyTorch into Keras layers, without PyTorch and without executing what the files hold.

A `.pth` file is a pickle that names tensors, with the numbers beside it: in one stream (before PyTorch 1.6)
or in a zip. A pickle can call anything when it is opened, so this reader knows only the handful of names that
a dictionary of tensors needs and refuses every other one. Where a whole network was pickled, its classes are
not looked up either: an empty object stands in for each and takes its tensors. A safetensors file holds
tensors alone.
Format: PyTorch's `torch/serialization.py` (`_legacy_load` and `_load`).
"""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np
from keras import layers
from safetensors import SafetensorError
from safetensors.numpy import load_file

from pneumo_tf.errors import WeightsError
from pneumo_tf.models.weights.assignment import MisfitError, Placement, assign_all, check_fit
from pneumo_tf.storage import refuse_dense

Tensors = dict[str, np.ndarray]
PARTS = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias",
         "moving_mean": "running_mean", "moving_variance": "running_var"}
_CLASSIFIERS = ("fc.", "_fc.", "classifier.", "head.")
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8",
           "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1",
           "BoolStorage": "?"}
# What a damaged pickle or zip can raise; each means the same to the reader of the message.
_DAMAGED = (pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError, AttributeError,
            OverflowError, MemoryError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error, OSError)


def assign_torch_tensors(model: keras.Model, prefixes: Mapping[str, str], path: Path, *,
                         adapt: Callable[[Tensors], Tensors] = dict) -> None:
    """Assign the tensors of a file to layers; a classifier in the file is left out.

    Args:
        model: A network that contains the layers.
        prefixes: PyTorch's name of each layer, by ours.
        path: A `.pth` checkpoint, or a `.safetensors` file with the same names.
        adapt: What is done to the file's tensors first.

    Raises:
        WeightsError: A tensor is missing, superfluous or of another shape; nothing is assigned then.
    """
    wanted = {f"{prefix}.{PARTS[variable.name]}": (layer, variable)
              for layer, prefix in ((model.get_layer(name), prefix) for name, prefix in prefixes.items())
              for variable in layer.weights}
    tensors = adapt(read_tensors(path, first=next(iter(wanted))))
    placements = [Placement(variable, name, tensors[name], _axes(layer, variable))
                  for name, (layer, variable) in wanted.items() if name in tensors]
    check_fit(placements, path)
    missing = next((name for name in wanted if name not in tensors), None)
    if missing:
        raise MisfitError(path, f"which has no tensor {missing}")
    surplus = next((name for name in tensors if name not in wanted and not name.startswith(_CLASSIFIERS)
                    and not name.endswith("num_batches_tracked")), None)
    if surplus:  # a deeper network of the same family has every tensor of this one too
        raise MisfitError(path, f"which also has tensor {surplus} of shape {tensors[surplus].shape}, "
                                "for which this network has no place")
    assign_all(placements, path)


def read_tensors(path: Path, *, first: str) -> Tensors:
    """The tensors of a `.pth` or `.safetensors` file by their names, without the prefix of a wrapping module.

    `first` is the name of any tensor that the network has.

    Raises:
        WeightsError: The file can't be read as tensors.
    """
    if path.suffix != ".safetensors":
        return _without_wrapper(read_checkpoint(path), first)
    try:
        return _without_wrapper(dict(load_file(path)), first)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as failure:
        raise WeightsError("A safetensors file must be complete.",
                           received=f"{path} ({type(failure).__name__}: {failure})",
                           remedy="Fetch the file again from its source.") from failure


def _without_wrapper(tensors: Tensors, first: str) -> Tensors:
    """The tensors without the prefix of a wrapping module, e.g. `module.`, in their names."""
    prefixes = [name.removesuffix(first) for name in tensors if name == first or name.endswith(f".{first}")]
    wrapper = min(prefixes, key=len, default="")
    return {name.removeprefix(wrapper): values for name, values in tensors.items()}


def _axes(layer: keras.Layer, variable: keras.Variable) -> tuple[int, ...]:
    """From (C, 1, h, w) or (out, in, h, w) to Keras's order."""
    if len(variable.shape) != 4:
        return ()
    return (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """The position of a tensor inside its storage; offset and strides count elements."""

    storage: str
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_checkpoint(path: Path) -> Tensors:
    """The named tensors of a checkpoint, as NumPy arrays of the stored dtype.

    Raises:
        WeightsError: Truncated, not a checkpoint, or a pickle that asks for more than tensors.
    """
    try:
        with path.open("rb") as stream:
            read = _read_zip if zipfile.is_zipfile(stream) else _read_legacy
            stream.seek(0)
            return read(stream)
    except _DAMAGED as failure:
        raise WeightsError("A checkpoint must be a complete file of tensors.",
                           received=f"{path} ({type(failure).__name__}: {failure})",
                           remedy="Fetch the file again from its source.") from failure


class _Module:
    """Stands in for any class of layers; a pickle fills it with parameters, buffers and inner modules."""


_KEEPS = {"PUT", "BINPUT", "LONG_BINPUT"}
_LIBRARIES = ("torch.nn.", "torchvision.", "torchxrayvision.")  # whose classes are layers
_CALLABLE: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("__builtin__", "set"): set, ("builtins", "set"): set,
    ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, shape, strides, *_: _Tensor(
        storage[0], storage[1], offset, tuple(shape), tuple(strides)),
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor}


class _TensorUnpickler(pickle.Unpickler):
    """An unpickler that can name tensors and do nothing else.

    Attributes:
        dtypes: Of each storage that was named, an optimizer's among them.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self.dtypes: dict[str, str] = {}
        self._stream = stream

    def load(self) -> Any:
        """What the next pickle of the stream holds.

        Raises:
            UnpicklingError: It would keep something at a far place, for which room is made up to there.
        """
        start = self._stream.tell()
        for number, (opcode, value, _) in enumerate(pickletools.genops(self._stream)):
            if opcode.name in _KEEPS and int(value or 0) > number:
                raise pickle.UnpicklingError(f"a value kept as number {value:,} of {number}")
        self._stream.seek(start)
        return super().load()

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return name
        if f"{module}.".startswith(_LIBRARIES):
            return _Module
        if (module, name) not in _CALLABLE:
            raise WeightsError("A checkpoint may hold tensors and nothing that runs.",
                               received=f"a pickle that asks for {module}.{name}; nothing was executed",
                               remedy="Use a plain state_dict; where PyTorch is, and if you trust the file: "
                                      "torch.save(torch.load(FILE, weights_only=False).state_dict(), OTHER).")
        return _CALLABLE[module, name]

    def persistent_load(self, reference: Any) -> Any:
        kind, storage_type, key, *_ = reference
        if kind == "module":  # a class, with its source code as text
            return storage_type
        self.dtypes[str(key)] = _DTYPES[storage_type]
        return str(key), _DTYPES[storage_type]


def _read_zip(stream: IO[bytes]) -> Tensors:
    with zipfile.ZipFile(stream) as archive:
        refuse_dense(archive)  # PyTorch packs nothing
        index = next((name for name in archive.namelist() if name.endswith("data.pkl")), "data.pkl")
        folder = index.removesuffix("data.pkl")
        tensors = _named_tensors(_TensorUnpickler(io.BytesIO(archive.read(index))).load())
        storages = {key: archive.read(f"{folder}data/{key}") for key in {t.storage for t in tensors.values()}}
    return {name: _view(tensor, storages[tensor.storage]) for name, tensor in tensors.items()}


def _read_legacy(stream: IO[bytes]) -> Tensors:
    if _TensorUnpickler(stream).load() != _LEGACY_MAGIC:
        raise ValueError("no PyTorch magic number")
    _TensorUnpickler(stream).load()  # protocol version
    _TensorUnpickler(stream).load()  # byte order and sizes of the writing machine
    content = _TensorUnpickler(stream)
    tensors = _named_tensors(content.load())
    storages = {}
    for key in _TensorUnpickler(stream).load():
        (count,) = struct.unpack("<q", stream.read(8))
        size = count * np.dtype(content.dtypes[key]).itemsize
        storages[key] = stream.read(size)
        if len(storages[key]) != size:
            raise EOFError(f"storage {key} ends after {len(storages[key])} of {size} bytes")
    return {name: _view(tensor, storages[tensor.storage]) for name, tensor in tensors.items()}


def _named_tensors(content: Any) -> dict[str, _Tensor]:
    """The tensors of a state_dict, of one that a training checkpoint wraps, or of a whole network."""
    if isinstance(content, _Module):
        content = dict(_inside(content))
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    tensors = {name: value for name, value in content.items() if isinstance(value, _Tensor)}
    if not tensors:
        raise ValueError("no tensors in it")
    return tensors


def _inside(module: _Module, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """What a network holds by its names in a state_dict: tensors, or None for a bias that was left out."""
    held = vars(module)
    for kind in ("_parameters", "_buffers"):
        yield from ((f"{prefix}{name}", value) for name, value in held.get(kind, {}).items())
    for name, inner in held.get("_modules", {}).items():
        if inner is not None:
            yield from _inside(inner, f"{prefix}{name}.")


def _view(tensor: _Tensor, raw: bytes) -> np.ndarray:
    flat = np.frombuffer(raw, dtype=tensor.dtype)
    needed = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True)) + 1
    if 0 not in tensor.shape and (min((tensor.offset, *tensor.strides)) < 0 or needed > flat.size):
        raise ValueError(f"a tensor of shape {tensor.shape} in a storage of {flat.size} numbers")
    strides = [s * flat.itemsize for s in tensor.strides]
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides).copy()
