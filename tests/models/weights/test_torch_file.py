"""Checkpoints, written here as PyTorch writes them, read back without it; bad ones refused."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pneumo_tf.errors import WeightsError
from pneumo_tf.models.weights.torch_file import read_checkpoint

Writer = Callable[[Any], bytes]


def read(path: Path, content: bytes) -> dict[str, np.ndarray]:
    path.write_bytes(content)
    return read_checkpoint(path)


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4, 5, 6)).astype("float32")


def test_views_of_one_storage_come_back_as_the_arrays_they_show(
        checkpoint_bytes: Writer, numbers: np.ndarray, tmp_path: Path) -> None:
    views = {"whole": numbers, "transposed": numbers.transpose(2, 0, 1), "sliced": numbers[1:3, ::2, 4],
             "repeated": np.broadcast_to(numbers[2, 3], (3, 6)), "scalar": numbers[3, 4, 5:].reshape(()),
             "empty": numbers[:0]}
    found = read(tmp_path / "views.pth", checkpoint_bytes(views))
    assert list(found) == list(views)
    for name, view in views.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], view, err_msg=name, strict=True)


def test_a_view_that_is_read_can_be_changed_without_changing_its_neighbour(
        checkpoint_bytes: Writer, numbers: np.ndarray, tmp_path: Path) -> None:
    found = read(tmp_path / "views.pth", checkpoint_bytes({"whole": numbers, "row": numbers[0]}))
    found["whole"][:] = 0
    np.testing.assert_array_equal(found["row"], numbers[0])


@pytest.mark.parametrize("dtype", ["float16", "float64", "int64"])
def test_each_tensor_keeps_its_own_precision(checkpoint_bytes: Writer, tmp_path: Path, dtype: str) -> None:
    stored = (np.arange(-6, 6) / (1 if dtype == "int64" else 8)).astype(dtype).reshape(3, 4)
    content = {"single": np.ones(2, "float32"), "other": stored.T}
    np.testing.assert_array_equal(read(tmp_path / "mixed.pth", checkpoint_bytes(content))["other"], stored.T,
                                  strict=True)


def test_a_training_checkpoint_gives_its_network_and_not_its_optimizer(
        checkpoint_bytes: Writer, numbers: np.ndarray, tmp_path: Path) -> None:
    content = {"epoch": 3, "optimizer": {"state": {0: np.full(7, 9.0)}}, "state_dict": {"weight": numbers}}
    found = read(tmp_path / "training.pth", checkpoint_bytes(content))
    assert list(found) == ["weight"]
    np.testing.assert_array_equal(found["weight"], numbers)


def layer(place: str, name: str, **held: Any) -> Any:
    """An instance of a class of layers, as PyTorch fills it."""
    made = getattr(sys.modules[place], name)()
    made.__dict__ = {"training": False, "_non_persistent_buffers_set": set(), "_parameters": OrderedDict(),
                     "_buffers": OrderedDict(), "_modules": OrderedDict()}
    for kind, values in held.items():
        made.__dict__[f"_{kind}"].update(values)
    return made


def test_a_whole_pickled_network_gives_its_tensors_and_none_of_its_classes_is_looked_up(
        checkpoint_bytes: Writer, numbers: np.ndarray, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    mean = np.arange(5, dtype="float32")
    first = layer("torch.nn.modules.conv", "Conv2d", parameters={"weight": numbers, "bias": None})
    norm = layer("torch.nn.modules.batchnorm", "BatchNorm2d", parameters={"weight": numbers[0, 0]},
                 buffers={"running_mean": mean})
    inside = layer("torch.nn.modules.container", "Sequential", modules={"0": first, "1": norm, "2": None})
    network = layer("torchxrayvision.models", "DenseNet", modules={"features": inside})
    network.targets = ["Pneumonia", ""]
    content = checkpoint_bytes(network)
    for place in {type(each).__module__ for each in (network, inside, first, norm)}:
        monkeypatch.setitem(sys.modules, place, None)  # importing it would fail
    found = read(tmp_path / "network.pt", content)
    assert list(found) == ["features.0.weight", "features.1.weight", "features.1.running_mean"]
    np.testing.assert_array_equal(found["features.0.weight"], numbers)
    np.testing.assert_array_equal(found["features.1.running_mean"], mean)


def test_a_network_inside_itself_is_refused(checkpoint_bytes: Writer, tmp_path: Path) -> None:
    ring = layer("torch.nn.modules.container", "Sequential")
    ring.__dict__["_modules"]["again"] = ring
    with pytest.raises(WeightsError, match="RecursionError"):
        read(tmp_path / "ring.pt", checkpoint_bytes(ring))


class _Attack:
    """Runs a command where it is unpickled without care."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def test_a_pickle_that_wants_to_run_something_is_refused_and_runs_nothing(
        checkpoint_bytes: Writer, numbers: np.ndarray, tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    content = checkpoint_bytes({"weight": numbers, "attack": _Attack(f"touch {trap}")})
    with pytest.raises(WeightsError, match=r"for (posix|nt)\.system; nothing was executed\. .*state_dict"):
        read(tmp_path / "hostile.pth", content)
    assert not trap.exists()


@pytest.mark.parametrize(("offset", "shape", "strides"), [
    (0, (13,), (1,)), (0, (2,), (12,)), (0, (3, 4), (4, 2)), (6, (7,), (1,)), (6, (3,), (-4,))])
def test_a_tensor_that_reaches_outside_its_storage_is_refused(
        checkpoint_bytes: Writer, tmp_path: Path, offset: int, shape: tuple[int, ...],
        strides: tuple[int, ...]) -> None:
    storage = np.arange(12, dtype="float32")
    outside = np.lib.stride_tricks.as_strided(storage[offset:], shape, [4 * stride for stride in strides])
    with pytest.raises(WeightsError, match="in a storage of 12 numbers"):
        read(tmp_path / "outside.pth", checkpoint_bytes({"outside": outside}))


def test_a_file_cut_short_anywhere_is_refused(
        checkpoint_bytes: Writer, numbers: np.ndarray, tmp_path: Path) -> None:
    content = checkpoint_bytes({"weight": numbers[0]})
    for length in range(0, len(content) - 1, 3):
        with pytest.raises(WeightsError, match="must be a complete file of tensors"):
            read(tmp_path / "short.pth", content[:length])


def test_a_damaged_file_is_read_or_refused_but_never_breaks_the_reader(
        checkpoint_bytes: Writer, tmp_path: Path) -> None:
    content = checkpoint_bytes({"weight": np.ones((2, 3), "float32"), "bias": np.ones(2, "float32")})
    refused = 0
    for place in range(len(content)):
        for bit in (0x01, 0xFF):
            damaged = bytearray(content)
            damaged[place] ^= bit
            try:
                read(tmp_path / "damaged.pth", bytes(damaged))
            except WeightsError:
                refused += 1
    assert refused > len(content) / 2


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"\x89HDF\r\n\x1a\n" + bytes(99)],
                         ids=["empty", "a web page", "HDF5"])
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"must be a complete file of tensors\. Received: .*other\.pth"):
        read(tmp_path / "other.pth", content)


def test_a_few_bytes_that_ask_for_gigabytes_are_refused_before_any_is_given(tmp_path: Path) -> None:
    """A value that is to be kept under a far number makes a pickle's reader take room for all before it."""
    far = pickle.EMPTY_DICT + pickle.LONG_BINPUT + (2**32 - 1).to_bytes(4, "little") + pickle.STOP
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("archive/data.pkl", far)
    (tmp_path / "legacy.pth").write_bytes(far)
    with zipfile.ZipFile(tmp_path / "dense.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**24))
    for name, told in (("zip", "number 4,294,967,295"), ("legacy", "number 4,294,967,295"),
                       ("dense", "unpack to 16,777,216")):
        with pytest.raises(WeightsError, match=told):
            read_checkpoint(tmp_path / f"{name}.pth")


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(model)
    assert zipfile.is_zipfile(model)
    with pytest.raises(WeightsError, match=r"no item named 'data\.pkl'"):
        read_checkpoint(model)


def test_a_checkpoint_without_any_tensor_is_refused(checkpoint_bytes: Writer, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no tensors in it"):
        read(tmp_path / "bare.pth", checkpoint_bytes({"epoch": 3}))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.pth \(FileNotFoundError"):
        read_checkpoint(tmp_path / "nowhere.pth")


def test_the_published_file_holds_the_published_number_of_parameters(packaged_weights: Path) -> None:
    tensors = read_checkpoint(packaged_weights)
    learnt = [name for name in tensors if name.endswith(("weight", "bias"))]
    assert sum(tensors[name].size for name in learnt) == 4_652_008  # with the 1,000 classes
    assert all(np.isfinite(array).all() for array in tensors.values())
