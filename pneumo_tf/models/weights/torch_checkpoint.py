"""Read the tensors of a PyTorch checkpoint without PyTorch, and without executing what it holds.

A `.pth` file is a pickle that names tensors, with the numbers beside it: in one stream (before PyTorch 1.6)
or in a zip. A pickle can call anything when it is opened, so this reader knows only the handful of names that
a dictionary of tensors needs and refuses every other one.
Format: PyTorch's `torch/serialization.py` (`_legacy_load` and `_load`).
"""

from __future__ import annotations

import collections
import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from pneumo_tf.errors import WeightsError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8",
           "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1",
           "BoolStorage": "?"}
# What a damaged pickle or zip can raise; each means the same to the reader of the message.
_DAMAGED = (pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError, AttributeError,
            OverflowError, MemoryError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error, OSError)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where a tensor lies inside its storage; offset and strides count elements."""

    storage: str
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
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


class _TensorUnpickler(pickle.Unpickler):
    """An unpickler that can name tensors and do nothing else.

    Attributes:
        dtypes: Of each storage that was named, an optimizer's among them.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self.dtypes: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        if module == "torch" and name in _DTYPES:
            return name
        if (module, name) not in known:
            raise WeightsError("A checkpoint may hold tensors and nothing that runs.",
                               received=f"a pickle that asks for {module}.{name}; nothing was executed",
                               remedy="Use a checkpoint saved as a plain state_dict from a source you trust.")
        return known[module, name]

    def persistent_load(self, reference: Any) -> tuple[str, str]:
        _, storage_type, key, *_ = reference
        self.dtypes[str(key)] = _DTYPES[storage_type]
        return str(key), _DTYPES[storage_type]


def _rebuild_tensor(storage: tuple[str, str], offset: int, shape: tuple[int, ...],
                    strides: tuple[int, ...], *_: Any) -> _Tensor:
    key, dtype = storage
    return _Tensor(key, dtype, offset, tuple(shape), tuple(strides))


def _read_zip(stream: IO[bytes]) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(stream) as archive:
        index = next((name for name in archive.namelist() if name.endswith("data.pkl")), "data.pkl")
        folder = index.removesuffix("data.pkl")
        tensors = _named_tensors(_TensorUnpickler(io.BytesIO(archive.read(index))).load())
        storages = {key: archive.read(f"{folder}data/{key}") for key in {t.storage for t in tensors.values()}}
    return {name: _view(tensor, storages[tensor.storage]) for name, tensor in tensors.items()}


def _read_legacy(stream: IO[bytes]) -> dict[str, np.ndarray]:
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
    """The tensors of a state_dict, or of the state_dict that a training checkpoint wraps."""
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    tensors = {name: value for name, value in content.items() if isinstance(value, _Tensor)}
    if not tensors:
        raise ValueError("no tensors in it")
    return tensors


def _view(tensor: _Tensor, raw: bytes) -> np.ndarray:
    flat = np.frombuffer(raw, dtype=tensor.dtype)
    needed = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True)) + 1
    if 0 not in tensor.shape and (min((tensor.offset, *tensor.strides)) < 0 or needed > flat.size):
        raise ValueError(f"a tensor of shape {tensor.shape} in a storage of {flat.size} numbers")
    strides = [s * flat.itemsize for s in tensor.strides]
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides).copy()
