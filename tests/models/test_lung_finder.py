"""The lung finder's file computes in OpenCV what the network computes in Keras."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.data.preparation import lungs
from pneumo_tf.models.lung_finder import build_lung_finder, export_lung_finder


def test_opencv_computes_what_keras_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(4)
    model = build_lung_finder()
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):  # untouched ones would fold to nothing
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    export_lung_finder(model, tmp_path / "finder.tflite")
    monkeypatch.setattr(lungs, "NETWORK", tmp_path / "finder.tflite")
    monkeypatch.setattr(lungs, "_loaded", type(lungs._loaded)())
    film = rng.integers(0, 256, (224, 224), np.uint8)
    small = lungs.standardised(film)
    one, mirrored = np.asarray(model(np.stack([small, small[:, ::-1]])[..., None], training=False))[..., 0]
    np.testing.assert_allclose(lungs.lung_logits(film), (one + mirrored[:, ::-1]) / 2, atol=1e-4)
