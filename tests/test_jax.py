"""The same code on another backend: a training of two epochs on phantoms with JAX."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX isn't installed")


def test_two_epochs_with_jax_give_a_model_that_any_backend_loads(
        prepared_films: Path, labels_table: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pneumo_tf", "binary_class", "-p", prepared_films, "-l", labels_table,
               "-o", tmp_path / "model", "--cache", tmp_path / "cache", "--backbone", "resnet18",
               "--weights", "none", "--image-size", "48", "--recipe", "fine-tune", "-e", "1",
               "--batch-size", "8"]
    said = subprocess.run([str(part) for part in command], env={**os.environ, "KERAS_BACKEND": "jax"},
                          capture_output=True, text=True, timeout=300, check=False)
    assert said.returncode == 0, said.stderr
    run, = (tmp_path / "model" / "runs").glob("*-fine-tune-*")
    history, predictions = (pd.read_csv(run / f"{name}.csv") for name in ("history", "predictions"))
    assert list(history["phase"]) == ["head", "all layers"]
    films = np.stack([keras.utils.img_to_array(keras.utils.load_img(
        prepared_films / file, target_size=(48, 48), interpolation="bilinear"))
        for file in pd.read_csv(run / "split.csv")["file"]])
    assert keras.backend.backend() != "jax"
    scores = keras.models.load_model(run / "modelo.h5", compile=False).predict(films, verbose=0)
    np.testing.assert_allclose(scores, predictions[["p_NORMAL", "p_PNEUMONIA"]], atol=1e-4)
