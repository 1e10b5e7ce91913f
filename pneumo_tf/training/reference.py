"""The recipe `reference`: the transfer-learning tutorial as it stands, to be compared with."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import keras
import numpy as np

# Keras 3 keeps this class under the name that TensorFlow re-exports as tf.keras; importing it here works
# with every backend.
from keras._tf_keras.keras.preprocessing.image import ImageDataGenerator

from pneumo_tf.models.classifier import attach_head, build_backbone, tutorial_head
from pneumo_tf.models.folding import fold_batch_norm
from pneumo_tf.models.pretrained import load_weights
from pneumo_tf.training.batches import FilmBatches, Variant
from pneumo_tf.training.phases import fit_phase
from pneumo_tf.training.task import Task, Trained
from pneumo_tf.training.trunk import film_outputs


@dataclass(frozen=True, slots=True)
class Reference:
    """Nothing frozen under a fresh head of three wide layers; plain SGD, no early stopping, no class weights.

    The inputs are divided by 255, which is not what InceptionV3 was trained on; kept, because this recipe
    repeats the tutorial. Two things differ: the training films are shuffled, and validation films are not
    augmented.

    Attributes:
        rate: Learning rate.
        momentum: Nesterov momentum.
        rotation: Largest rotation in degrees.
        shift: Largest shift as a fraction of the side.
        flip: Whether half of the films are flipped left to right.
    """

    rate: float = 1e-4
    momentum: float = 0.8
    rotation: float = 30
    shift: float = 0.2
    flip: bool = True

    def train(self, task: Task) -> Trained:
        """Train all epochs and score every film with the last one's weights."""
        with task.stages.measure("network"):
            network = build_backbone(task.backbone, task.size, scaling=(1 / 255, 0.0))
            load_weights(network, task.backbone, task.weights)
            model = attach_head(network, tutorial_head, len(task.classes))
            optimizer = keras.optimizers.SGD(self.rate, momentum=self.momentum, nesterov=True)
            model.compile(optimizer, loss="binary_crossentropy", metrics=["accuracy"])
        with task.stages.measure("training"):
            batches = FilmBatches(task, "train", variant=self._variant(task.seed))
            history = fit_phase(model, batches, FilmBatches(task, "validation"), name="all layers",
                                epochs=task.epochs)
        with task.stages.measure("scores"):
            scores = film_outputs(fold_batch_norm(model), task.pixels, description="Scoring films")
        return Trained(model=model, scores=scores, history=history)

    def _variant(self, seed: int) -> Variant:
        one_at_a_time = Lock()  # Keras draws from NumPy's global generator, which all threads share
        generator = ImageDataGenerator(rotation_range=self.rotation, width_shift_range=self.shift,
                                       height_shift_range=self.shift, horizontal_flip=self.flip)

        def draw(film: np.ndarray, row: int, epoch: int) -> np.ndarray:
            chance = int(np.random.default_rng((seed, row, epoch)).integers(2**31))
            with one_at_a_time:
                transform = generator.get_random_transform(film.shape, seed=chance)
            return np.asarray(generator.apply_transform(film.astype("float32"), transform))

        return draw
