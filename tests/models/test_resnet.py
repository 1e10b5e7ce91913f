"""ResNet18 and ResNet34 against a forward pass of torchvision's network in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from pneumo_tf.errors import WeightsError
from pneumo_tf.models.backbones import BACKBONES
from pneumo_tf.models.classifier import build_backbone
from pneumo_tf.models.weights.pretrained import Weights, load_weights

Tensors = dict[str, np.ndarray]
DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def torchvision_tensors(name: str) -> Tensors:
    """A state_dict as torchvision names it, random, with its classifier and counters."""
    return dict(_drawn(name))


@cache
def _drawn(name: str) -> Tensors:
    rng, tensors = np.random.default_rng(0), Tensors()

    def conv(prefix: str, outputs: int, inputs: int, side: int) -> None:
        spread = np.sqrt(2 / (inputs * side**2))
        tensors[f"{prefix}.weight"] = rng.normal(0, spread, (outputs, inputs, side, side)).astype("float32")

    def norm(prefix: str, channels: int) -> None:
        for part, low, high in (("weight", 0.5, 1.5), ("bias", -0.3, 0.3), ("running_mean", -0.3, 0.3),
                                ("running_var", 0.5, 2.0)):
            tensors[f"{prefix}.{part}"] = rng.uniform(low, high, channels).astype("float32")
        tensors[f"{prefix}.num_batches_tracked"] = np.array(7)

    conv("conv1", 64, 3, 7), norm("bn1", 64)
    inputs = 64
    for stage, blocks in enumerate(DEPTHS[name], start=1):
        outputs = 32 * 2**stage
        for block in range(blocks):
            prefix = f"layer{stage}.{block}"
            conv(f"{prefix}.conv1", outputs, inputs, 3), norm(f"{prefix}.bn1", outputs)
            conv(f"{prefix}.conv2", outputs, outputs, 3), norm(f"{prefix}.bn2", outputs)
            if inputs != outputs:
                conv(f"{prefix}.downsample.0", outputs, inputs, 1), norm(f"{prefix}.downsample.1", outputs)
            inputs = outputs
    return tensors | {"fc.weight": np.ones((1000, 512), "float32"), "fc.bias": np.ones(1000, "float32")}


class NumpyResNet:
    """torchvision's forward pass on arrays (N, C, H, W): written from its documentation, without Keras."""

    def __init__(self, name: str, tensors: Tensors) -> None:
        self.name, self.tensors = name, {key: value.astype("float64") for key, value in tensors.items()}

    def features(self, films: np.ndarray) -> np.ndarray:
        x = ((films / 255 - MEAN) / DEVIATION).transpose(0, 3, 1, 2)
        x = np.maximum(self.norm(self.conv(x, "conv1", stride=2, pad=3), "bn1"), 0)
        x = self.windows(x, 3, stride=2, pad=1, outside=-np.inf).max(axis=(4, 5))
        for stage, blocks in enumerate(DEPTHS[self.name], start=1):
            for block in range(blocks):
                x = self.block(x, f"layer{stage}.{block}", stride=2 if stage > 1 and block == 0 else 1)
        return x.transpose(0, 2, 3, 1)

    def block(self, x: np.ndarray, prefix: str, *, stride: int) -> np.ndarray:
        y = np.maximum(self.norm(self.conv(x, f"{prefix}.conv1", stride=stride, pad=1), f"{prefix}.bn1"), 0)
        y = self.norm(self.conv(y, f"{prefix}.conv2", pad=1), f"{prefix}.bn2")
        if f"{prefix}.downsample.0.weight" in self.tensors:
            x = self.norm(self.conv(x, f"{prefix}.downsample.0", stride=stride), f"{prefix}.downsample.1")
        return np.maximum(x + y, 0)

    def conv(self, x: np.ndarray, prefix: str, *, stride: int = 1, pad: int = 0) -> np.ndarray:
        kernel = self.tensors[f"{prefix}.weight"]
        windows = self.windows(x, kernel.shape[-1], stride=stride, pad=pad)
        return np.tensordot(windows, kernel, axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)

    def norm(self, x: np.ndarray, prefix: str) -> np.ndarray:
        weight, bias, mean, variance = (self.tensors[f"{prefix}.{part}"][:, None, None] for part in
                                        ("weight", "bias", "running_mean", "running_var"))
        return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias

    @staticmethod
    def windows(x: np.ndarray, side: int, *, stride: int, pad: int, outside: float = 0.0) -> np.ndarray:
        padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=outside)
        every = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (2, 3))
        return every[:, :, ::stride, ::stride]


def load(network: keras.Model, path: Path) -> None:
    load_weights(network, BACKBONES[network.name], Weights(path, "given path", ""))


def furthest(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, relative to the largest value."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("name", DEPTHS)
def test_converted_weights_compute_what_torchvision_computes(name: str, tmp_path: Path) -> None:
    tensors = torchvision_tensors(name)
    save_file(tensors, tmp_path / "model.safetensors")
    network = build_backbone(BACKBONES[name], 64)
    load(network, tmp_path / "model.safetensors")
    films = np.random.default_rng(1).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    wanted = NumpyResNet(name, tensors).features(films)
    assert wanted.shape == (1, 2, 2, 512)
    assert furthest(np.asarray(network(films)), wanted) < 1e-5


@pytest.fixture(scope="module")
def resnet18() -> keras.Model:
    return build_backbone(BACKBONES["resnet18"], 32)


def bare(tensors: Tensors) -> Any:
    return tensors


def in_a_training_checkpoint(tensors: Tensors) -> Any:
    return {"epoch": 90, "model": tensors, "optimizer": {"state": {0: np.ones(3)}}}


def of_several_processors(tensors: Tensors) -> Any:
    return {"state_dict": {f"module.{name}": value for name, value in tensors.items()}}


@pytest.mark.parametrize("wrap", [bare, in_a_training_checkpoint, of_several_processors])
def test_a_pth_file_gives_the_same_weights_as_safetensors(
        resnet18: keras.Model, checkpoint_bytes: Callable[[Any], bytes], tmp_path: Path,
        wrap: Callable[[Tensors], Any]) -> None:
    tensors = torchvision_tensors("resnet18")
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "model.pth").write_bytes(checkpoint_bytes(wrap(tensors)))
    load(resnet18, tmp_path / "model.safetensors")
    wanted = resnet18.get_weights()
    resnet18.set_weights([np.zeros_like(values) for values in wanted])
    load(resnet18, tmp_path / "model.pth")
    assert all(np.array_equal(*pair) for pair in zip(resnet18.get_weights(), wanted, strict=True))
    assert all(values.std() > 0 for values in wanted)


def of_a_deeper_network(tensors: Tensors) -> None:
    tensors.update(torchvision_tensors("resnet34"))


def of_a_network_of_bottlenecks(tensors: Tensors) -> None:
    tensors["layer1.0.conv1.weight"] = np.ones((64, 64, 1, 1), "float32")
    tensors["layer1.0.conv3.weight"] = np.ones((256, 64, 1, 1), "float32")


def without_a_statistic(tensors: Tensors) -> None:
    del tensors["layer3.1.bn2.running_var"]


def with_a_narrower_block(tensors: Tensors) -> None:
    tensors["layer2.0.conv1.weight"] = np.ones((128, 60, 3, 3), "float32")


def with_no_numbers(tensors: Tensors) -> None:
    tensors["bn1.bias"] = np.full(64, np.nan, "float32")


@pytest.mark.parametrize(("change", "said"), [
    (of_a_deeper_network, r"also has tensor layer1\.2\.bn1\.bias of shape \(64,\), for which"),
    (of_a_network_of_bottlenecks, r"layer1\.0\.conv1\.weight of shape \(64, 64, 1, 1\) where \(64, 64, 3,"),
    (without_a_statistic, r"no tensor layer3\.1\.bn2\.running_var\."),
    (with_a_narrower_block, r"layer2\.0\.conv1\.weight of shape \(128, 60, 3, 3\) where \(128, 64, 3,"),
    (with_no_numbers, r"tensor bn1\.bias, whose values are not finite"),
])
def test_weights_of_another_network_are_refused_by_name_and_change_nothing(
        resnet18: keras.Model, tmp_path: Path, change: Callable[[Tensors], None], said: str) -> None:
    tensors = torchvision_tensors("resnet18")
    change(tensors)
    save_file(tensors, tmp_path / "other.safetensors")
    before = resnet18.get_weights()
    with pytest.raises(WeightsError, match=said) as caught:
        load(resnet18, tmp_path / "other.safetensors")
    assert "usually called resnet18-f37072fd.pth" in str(caught.value)
    assert all(np.array_equal(*pair) for pair in zip(before, resnet18.get_weights(), strict=True))


@pytest.mark.parametrize("length", [0, 7, 2000, -1])
def test_a_safetensors_file_cut_short_is_refused(
        resnet18: keras.Model, tmp_path: Path, length: int) -> None:
    path = tmp_path / "short.safetensors"
    save_file(torchvision_tensors("resnet18"), path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match=r"A safetensors file must be complete\. Received: .*short"):
        load(resnet18, path)
