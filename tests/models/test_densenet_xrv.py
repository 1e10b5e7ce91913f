"""torchxrayvision's DenseNet-121: its own kind of file, its one channel, its BatchNorm.

What it computes is held against the original in test_originals.py.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pneumo_tf.errors import WeightsError
from pneumo_tf.models.densenet_xrv import load_xrv_weights

Tensors = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    """Random tensors by the original's names, one storage for all; with its thresholds of 18 findings."""
    with np.load(Path(__file__).with_name("originals") / "densenet121_xrv.npz") as kept:
        shapes = json.loads(str(kept["shapes"]))
    rng = np.random.default_rng(0)
    drawn = {name: rng.uniform(0.5, 1.5, shape).astype("float32") for name, shape in shapes.items()}
    return {**drawn, "op_threshs": np.full(18, 0.5, "float32")}


@pytest.fixture
def network(lived_in_networks: dict[str, keras.Model]) -> keras.Model:
    return lived_in_networks["densenet121_xrv"]


def pickled_whole(tensors: Tensors) -> Any:
    """A network of layers inside layers, as PyTorch pickles one."""
    def module() -> Any:
        made = sys.modules["torch.nn.modules.container"].Sequential()
        made.__dict__ = {"_parameters": OrderedDict(), "_buffers": OrderedDict(), "_modules": OrderedDict()}
        return made

    whole = module()
    for name, values in tensors.items():
        *places, last = name.split(".")
        inner = whole
        for place in places:
            inner = inner._modules.setdefault(place, module())
        kind = "_parameters" if last in ("weight", "bias") else "_buffers"
        getattr(inner, kind)[last] = values
    return whole


def test_a_whole_pickled_network_fills_every_variable(
        network: keras.Model, tensors: Tensors, checkpoint_bytes: Callable[[Any], bytes],
        tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    path.write_bytes(checkpoint_bytes(pickled_whole(tensors)))
    before = network.get_weights()
    load_xrv_weights(network, path)
    filled = {variable.path: variable.numpy() for variable in network.variables}
    network.set_weights(before)
    grey = tensors["features.conv0.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(filled["conv1_conv/kernel"], np.repeat(grey / 3, 3, axis=2))
    np.testing.assert_array_equal(filled["bn/moving_variance"], tensors["features.norm5.running_var"])
    last = tensors["features.denseblock4.denselayer16.conv2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(filled["conv5_block16_2_conv/kernel"], last)
    np.testing.assert_array_equal(filled["pool3_bn/gamma"], tensors["features.transition2.norm.weight"])


def test_its_norms_divide_as_those_of_pytorch(network: keras.Model) -> None:
    norms = [each for each in network.layers if isinstance(each, keras.layers.BatchNormalization)]
    assert len(norms) == 121
    assert {each.get_config()["epsilon"] for each in norms} == {1e-5}


def test_another_number_of_channels_is_refused(
        network: keras.Model, tensors: Tensors, checkpoint_bytes: Callable[[Any], bytes],
        tmp_path: Path) -> None:
    other = {**tensors, "features.conv0.weight": np.ones((64, 2, 7, 7), "float32")}
    (tmp_path / "other.pt").write_bytes(checkpoint_bytes(other))
    with pytest.raises(WeightsError, match=r"conv0\.weight of shape \(64, 2, 7, 7\) where \(64, 3, 7, 7\)"):
        load_xrv_weights(network, tmp_path / "other.pt")
