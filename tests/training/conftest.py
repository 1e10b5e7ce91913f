"""Small tasks: synthetic films that differ by a bright blob, a backbone of two convolutions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.models.backbones import BACKBONES, Backbone
from pneumo_tf.models.weights.pretrained import Weights
from pneumo_tf.training.machine import Device, StageRecorder
from pneumo_tf.training.pixels import Pixels
from pneumo_tf.training.task import Member, Task

SIZE = 32
SPLITS = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2


def _two_convolutions(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """The smallest network with all that matters: convolutions, BatchNorm, several depths."""
    x = layers.Conv2D(8, 3, 2, name="shallow_conv")(inputs)
    x = layers.ReLU(name="shallow")(layers.BatchNormalization(name="shallow_bn")(x))
    x = layers.Conv2D(16, 3, 2, name="deep_conv", use_bias=False)(x)
    return layers.ReLU(name="deep")(layers.BatchNormalization(name="deep_bn")(x))


@pytest.fixture(scope="session")
def small_backbone() -> Backbone:
    return replace(BACKBONES["efficientnet_lite0"], name="small", size=SIZE, smallest=8,
                   build=_two_convolutions, taps=("shallow", "deep"), cut="shallow", views=2)


@pytest.fixture(scope="session")
def plain_processor() -> Device:
    return Device(processor="test", cores=1, accelerator="", backend="tensorflow", bfloat16=False)


@pytest.fixture(scope="session")
def blob_cohort() -> Cohort:
    """Ten films a class, six to learn from; the classes alternate, each film is its own patient."""
    return Cohort(tuple(
        Radiograph(id=f"{label}-{number}", label=label, split=split, patient=f"{label}-{number}")
        for number, split in enumerate(SPLITS) for label in ("NORMAL", "PNEUMONIA")))


@pytest.fixture(scope="session")
def blob_pixels(blob_cohort: Cohort) -> Pixels:
    """Grey noise, and in PNEUMONIA a bright disc somewhere in it."""
    rng = np.random.default_rng(0)
    store = rng.normal(90, 12, (len(blob_cohort), SIZE, SIZE, 1))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for film, label in zip(store, blob_cohort.labels, strict=True):
        y, x = rng.integers(10, 22, 2)
        if label == "PNEUMONIA":
            film[(rows - y) ** 2 + (columns - x) ** 2 < 49] += 90
    return Pixels(store.clip(0, 255).astype(np.uint8), np.arange(len(store)))


@pytest.fixture(scope="session")
def task_of(blob_cohort: Cohort, blob_pixels: Pixels, small_backbone: Backbone,
            plain_processor: Device) -> Callable[..., Task]:
    """A task as named options want it; everything else is small, random and the same each time."""
    def build(**options: Any) -> Task:
        defaults = {"cohort": blob_cohort, "pixels": blob_pixels, "size": SIZE, "epochs": 30, "batch_size": 5,
                    "seed": 1, "threads": 1, "device": plain_processor, "stages": StageRecorder()}
        backbone = options.pop("backbone", small_backbone)
        member = Member(backbone, options.pop("weights", Weights(None, "random", "")))
        return Task(**{"members": (member,), **defaults, **options})

    return build
