"""The input of a recipe, a Task, and its output, Trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import keras
import numpy as np

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.splits import class_weights
from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.weights.pretrained import Weights
from pneumo_tf.training.devices import Devices
from pneumo_tf.training.engine import KERAS, Engine, build_engine
from pneumo_tf.training.loop import Checkpoint, Row
from pneumo_tf.training.machine import Device, StageRecorder, describe_device
from pneumo_tf.training.pixels import Pixels
from pneumo_tf.training.store import Cache
from pneumo_tf.training.trunk import Activations, view_activations
from pneumo_tf.training.views import get_preset

_REFERENCE = {"train": 4000, "validation": 1000, "test": 1000}


class Member(NamedTuple):
    """A backbone and its weights."""

    backbone: Backbone
    weights: Weights


@dataclass(frozen=True, kw_only=True)
class Task:
    """Films with a split, a backbone with its weights, and the options of one training.

    Attributes:
        members: The backbones and their weights; more than one for an ensemble alone.
        epochs: Of the recipe's main phase.
        engine: What computes frozen networks, `KERAS` or `OPENVINO`.
        cache: Where the outputs of frozen networks are kept; None keeps them in memory.
        checkpoint: Where a training's state is kept after each epoch, to be resumed from.
        devices: What the steps of a training of every layer are divided among.
    """

    cohort: Cohort
    pixels: Pixels
    members: tuple[Member, ...]
    size: int
    epochs: int
    batch_size: int
    seed: int
    threads: int
    device: Device = field(default_factory=describe_device)
    stages: StageRecorder = field(default_factory=StageRecorder)
    engine: str = KERAS
    cache: Cache | None = None
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    devices: Devices = field(default_factory=Devices)

    @property
    def backbone(self) -> Backbone:
        """The first member's."""
        return self.members[0].backbone

    @property
    def weights(self) -> Weights:
        """The first member's."""
        return self.members[0].weights

    @property
    def classes(self) -> list[str]:
        return self.cohort.classes

    @property
    def labels(self) -> np.ndarray:
        """int (N,): index of each film's class."""
        index = {name: number for number, name in enumerate(self.classes)}
        return np.array([index[label] for label in self.cohort.labels])

    def rows(self, split: str) -> np.ndarray:
        """int: the rows of one split, in order."""
        return np.array([row for row, film in enumerate(self.cohort) if film.split == split], dtype=int)

    def reference_rows(self) -> np.ndarray:
        """int: the films that new ones are held against: training films, then validation, then test films.

        At most 4,000 of the first and 1,000 of each other, drawn at random.
        """
        drawn = np.random.default_rng(self.seed)
        return np.concatenate([np.sort(drawn.permutation(self.rows(split))[:most])
                               for split, most in _REFERENCE.items()])

    def frozen(self, network: keras.Model) -> Engine:
        """An engine that computes a frozen network in float32."""
        return build_engine(network, self.engine, threads=self.threads)

    def train_views(self, engine: Engine, *, views: int, augment: str) -> Activations:
        """The outputs of a frozen network for views of the training films, drawn from a preset."""
        # Views only teach, so they may be computed in the processor's fastest precision.
        return view_activations(engine.coarse() if self.device.bfloat16 else engine, self.pixels,
                                self.rows("train"), views=views, seed=self.seed, cache=self.cache,
                                augmentation=get_preset(augment), workers=self.threads)

    def class_weights(self) -> Mapping[int, float]:
        """Weight of each class index, from the training split: rare classes count like frequent ones."""
        weights = class_weights(self.cohort.subset("train").labels)
        return {index: weights[name] for index, name in enumerate(self.classes)}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The output of a recipe.

    Attributes:
        model: Films (N, H, W, 3) in 0–255 to scores (N, K), in float32.
        scores: float32 (N, K): the model's scores for every film of the task, in its order.
        history: One row of figures per epoch.
        held_out: Scores (K,) of training films, by row, from models that never saw the film's patient; empty
            where the recipe has none. With the validation films they fix the operating point.
        diverged_in: The epoch in which training ended because its loss was no number; None where it didn't.
        score: Films (n, H, W, 3), n at most 32, to scores (n, K), where the recipe has compiled that already.
        features: float32 (m, D), as `with_features` of the model gives them for the task's reference rows,
            where the recipe has computed them already.
    """

    model: keras.Model
    scores: np.ndarray
    history: list[Row]
    held_out: Mapping[int, np.ndarray] = field(default_factory=dict)
    diverged_in: int | None = None
    score: Callable[[np.ndarray], np.ndarray] | None = None
    features: np.ndarray | None = None
