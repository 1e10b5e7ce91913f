"""What is rebuilt or turned round here computes what keras.applications computes with the same file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import pytest

from pneumo_tf.models.backbones import BACKBONES
from pneumo_tf.models.weights.pretrained import Weights, load_weights

FILMS = np.random.default_rng(5).uniform(0, 255, (3, 32, 32, 3)).astype("float32")


def prepared(module: str) -> np.ndarray:
    return getattr(keras.applications, module).preprocess_input(FILMS.copy())


CASES: Mapping[str, tuple[str, dict[str, bool], np.ndarray]] = {
    "mobilenet_v3_small": ("MobileNetV3Small", {"include_preprocessing": True}, FILMS),
    "mobilenet_v3_large": ("MobileNetV3Large", {"include_preprocessing": True}, FILMS),
    "convnext_tiny": ("ConvNeXtTiny", {"include_preprocessing": True}, FILMS),
    "vgg16": ("VGG16", {}, prepared("vgg16")),
    "resnet50": ("ResNet50", {}, prepared("resnet50")),
}


def randomised(model: keras.Model) -> keras.Model:
    """Every variable random, so that none of them could be mistaken for another; variances positive."""
    rng = np.random.default_rng(6)
    for variable in model.weights:
        fan = max(1, int(np.prod(variable.shape[:-1])))
        values = rng.normal(0, 1.4 / np.sqrt(fan), variable.shape) if len(variable.shape) > 1 \
            else rng.uniform(0.5, 1.5, variable.shape)
        variable.assign(values)
    return model


@pytest.mark.parametrize("name", CASES)
def test_the_same_file_gives_the_same_features(
        name: str, lived_in_networks: Mapping[str, keras.Model], tmp_path: Path,
        write_keras_file: Callable[[keras.Model, Path], Path]) -> None:
    constructor, options, inputs = CASES[name]
    keras_own = randomised(getattr(keras.applications, constructor)(
        include_top=False, weights=None, input_shape=(32, 32, 3), **options))
    path = write_keras_file(keras_own, tmp_path / "file.h5")
    network = lived_in_networks[name]
    before = network.get_weights()
    load_weights(network, BACKBONES[name], Weights(path, "given path", ""))
    found, wanted = np.asarray(network(FILMS)), np.asarray(keras_own(inputs))
    network.set_weights(before)
    assert wanted.std() > 0
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert network.count_params() == keras_own.count_params()
