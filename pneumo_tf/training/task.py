"""What a recipe is given and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.balance import class_weights
from pneumo_tf.data.patients import owner
from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.pretrained import Weights
from pneumo_tf.training.device import Device
from pneumo_tf.training.pixels import Pixels
from pneumo_tf.training.stages import StageRecorder

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Films with a split, a backbone with its weights, and the options of one training."""

    cohort: Cohort
    pixels: Pixels
    backbone: Backbone
    weights: Weights
    size: int
    epochs: int
    batch_size: int
    seed: int
    threads: int
    device: Device
    stages: StageRecorder

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

    def patients_per_class(self, split: str) -> list[int]:
        """Number of patients of each class in a split; a film whose patient is unknown counts as one."""
        pairs = {(film.label, owner(film)) for film in self.cohort.subset(split)}
        return [sum(label == name for label, _ in pairs) for name in self.classes]

    def class_weights(self) -> Mapping[int, float]:
        """Weight of each class index, from the training split: rare classes count like frequent ones."""
        weights = class_weights(self.cohort.subset("train").labels)
        return {index: weights[name] for index, name in enumerate(self.classes)}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a recipe leaves.

    Attributes:
        model: Films (N, H, W, 3) in 0–255 to scores (N, K), in float32.
        scores: float32 (N, K): the model's scores for every film of the task, in its order.
        history: One row of figures per epoch.
        held_out: Scores (K,) of training films, by row, from models that never saw the film's patient; empty
            where the recipe has none. With the validation films they fix the operating point.
    """

    model: keras.Model
    scores: np.ndarray
    history: list[Row]
    held_out: Mapping[int, np.ndarray] = field(default_factory=dict)
