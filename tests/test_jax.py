"""The same code on another backend: a training of two epochs on phantoms with JAX."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX isn't installed")
TWO_DEVICES = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


def test_two_epochs_with_jax_give_a_model_that_any_backend_loads(
        prepared_films: Path, labels_table: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pneumo_tf", "binary_class", "-p", prepared_films, "-l", labels_table,
               "-o", tmp_path / "model", "--cache", tmp_path / "cache", "--backbone", "resnet18",
               "--weights", "none", "--image-size", "48", "--recipe", "fine-tune", "-e", "1",
               "--batch-size", "8", "--devices", "all"]
    said = subprocess.run([str(part) for part in command], env={**os.environ, **TWO_DEVICES},
                          capture_output=True, text=True, timeout=300, check=False)
    assert said.returncode == 0, said.stderr
    run, = (tmp_path / "model" / "runs").glob("*-fine-tune-*")
    history, predictions = (pd.read_csv(run / f"{name}.csv") for name in ("history", "predictions"))
    assert list(history["phase"]) == ["head", "all layers"]
    assert json.loads((run / "run.json").read_text())["options"]["devices"] == "all"
    films = np.stack([keras.utils.img_to_array(keras.utils.load_img(
        prepared_films / file, target_size=(48, 48), interpolation="bilinear"))
        for file in pd.read_csv(run / "split.csv")["file"]])
    assert keras.backend.backend() != "jax"
    scores = keras.models.load_model(run / "modelo.h5", compile=False).predict(films, verbose=0)
    np.testing.assert_allclose(scores, predictions[["p_NORMAL", "p_PNEUMONIA"]], atol=1e-4)


SCRIPT = """
import keras, numpy as np
from keras import layers
from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.training.batches import FilmBatches, variant_of
from pneumo_tf.training.devices import choose_devices
from pneumo_tf.training.loop import Loop, LoopPhase
from pneumo_tf.training.optimizers import Rates
from pneumo_tf.training.pixels import Pixels
from pneumo_tf.training.task import Task

films = np.random.default_rng(0).integers(0, 256, (21, 8, 8, 1), dtype=np.uint8)
films[::2] //= 4
cohort = Cohort(tuple(Radiograph(str(row), "AB"[row % 2], split="train" if row < 13 else "validation")
                      for row in range(21)))

def trained(wanted):
    devices = choose_devices(wanted)
    task = Task(cohort=cohort, pixels=Pixels(films, np.arange(21)), members=(), size=8, epochs=3,
                batch_size=5, seed=1, threads=1, devices=devices)
    with devices.shared():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3),
                                  layers.GlobalAveragePooling2D(), layers.Dense(2, activation="softmax")])
        phase = LoopPhase(name="all layers", epochs=3, choose_rates=lambda: Rates(0.5, 0.5),
                          compile=lambda rates, steps: model.compile(
                              keras.optimizers.SGD(rates.high), loss="categorical_crossentropy",
                              metrics=["accuracy"]))
        batches = FilmBatches(task, "train", variant=variant_of("none", 1), class_weights={0: 0.5, 1: 2.0})
        history = Loop(model, batches, FilmBatches(task, "validation"), devices=devices).run([phase])
    return len(devices.names), [row["val_loss"] for row in history], model.get_weights()

(one, losses, weights), (two, other_losses, other_weights) = trained(1), trained("all")
assert (one, two) == (1, 2)
assert len(losses) == 3 and abs(losses[-1] - losses[0]) > 1e-3
np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
for ours, theirs in zip(weights, other_weights):
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
print("alike")
"""


def test_two_devices_learn_what_one_learns() -> None:
    """Batches of five, and a last one of three: films that come twice count once."""
    said = subprocess.run([sys.executable, "-c", SCRIPT], env={**os.environ, **TWO_DEVICES},
                          cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=300,
                          check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout.endswith("alike\n")
