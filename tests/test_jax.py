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


def train_on(devices: int, films: Path, labels: Path, output: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A run's history and scores, of a training on so many virtual processors."""
    command = [sys.executable, "-m", "pneumo_tf", "binary_class", "-p", films, "-l", labels, "-o", output,
               "--cache", output / "cache", "--backbone", "resnet18", "--weights", "none", "--image-size",
               "32", "--recipe", "full", "-e", "2", "--batch-size", "5", "--devices", devices,
               "--optimizer", "sgd"]
    flags = {"KERAS_BACKEND": "jax", "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    said = subprocess.run([str(part) for part in command], env={**os.environ, **flags}, capture_output=True,
                          text=True, timeout=300, check=False)
    assert said.returncode == 0, said.stderr
    run, = (output / "runs").glob("*-full-*")
    return pd.read_csv(run / "history.csv").drop(columns="seconds"), pd.read_csv(run / "predictions.csv")


def test_two_devices_train_what_one_trains(prepared_films: Path, labels_table: Path, tmp_path: Path) -> None:
    """Batches of five on two devices: the sixth film of each counts for nothing."""
    one, two = (train_on(devices, prepared_films, labels_table, tmp_path / str(devices))
                for devices in (1, 2))
    np.testing.assert_allclose(two[0]["val_loss"], one[0]["val_loss"], rtol=1e-3)
    np.testing.assert_allclose(two[1]["p_PNEUMONIA"], one[1]["p_PNEUMONIA"], atol=1e-3)
