"""The recipe `full`: the head first, then the whole network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras

from pneumo_tf.models.classifier import attach_head, build_backbone, freeze, softmax_head, unfreeze
from pneumo_tf.models.folding import fold_batch_norm
from pneumo_tf.models.pretrained import load_weights
from pneumo_tf.training.augment import FILMS, Augmentation
from pneumo_tf.training.batches import FilmBatches, view_variant
from pneumo_tf.training.phases import fit_phase
from pneumo_tf.training.task import Row, Task, Trained
from pneumo_tf.training.trunk import film_outputs


@dataclass(frozen=True, slots=True)
class Full:
    """Two phases of Adam: the head on a frozen backbone, then everything but BatchNorm at a lower rate.

    The second phase decays its rate along a cosine, stops when validation no longer gets better, and keeps
    the best epoch. Fine-tuning raises the figures on one's own films; on films from elsewhere it was
    measured to lower them, so compare there before you trust it.

    Attributes:
        head_epochs: Epochs of the first phase (fewer where fewer are asked for).
        head_rate: Learning rate of the first phase.
        rate: Highest learning rate of the second.
        patience: Epochs without a better validation loss until it stops.
        augmentation: What the views of the training films are drawn from.
    """

    head_epochs: int = 2
    head_rate: float = 1e-3
    rate: float = 1e-4
    patience: int = 5
    augmentation: Augmentation = FILMS

    def train(self, task: Task) -> Trained:
        """Train both phases and score every film."""
        with task.stages.measure("network"), _precision(task.device.bfloat16):
            network = build_backbone(task.backbone, task.size)
            load_weights(network, task.backbone, task.weights)
            model = attach_head(network, softmax_head, len(task.classes))
        with task.stages.measure("training"):
            history = self._fit(task, network, model)
        model = in_float32(model)
        with task.stages.measure("scores"):
            scores = film_outputs(fold_batch_norm(model), task.pixels, description="Scoring films")
        return Trained(model=model, scores=scores, history=history)

    def _fit(self, task: Task, network: keras.Model, model: keras.Model) -> list[Row]:
        batches = FilmBatches(task, "train", variant=view_variant(self.augmentation, task.seed),
                              class_weights=task.class_weights())
        validation = FilmBatches(task, "validation", class_weights=task.class_weights())
        head_epochs = min(self.head_epochs, task.epochs)
        freeze(network)
        _compile(model, self.head_rate)
        history = fit_phase(model, batches, validation, name="head", epochs=head_epochs)
        if task.epochs > head_epochs:
            unfreeze(network)
            epochs = task.epochs - head_epochs
            _compile(model, keras.optimizers.schedules.CosineDecay(self.rate, epochs * len(batches)))
            stop = keras.callbacks.EarlyStopping(patience=self.patience, restore_best_weights=True)
            history += fit_phase(model, batches, validation, name="all layers", epochs=epochs,
                                 first_epoch=head_epochs + 1, callbacks=[stop])
        return history


@contextmanager
def _precision(bfloat16: bool) -> Iterator[None]:
    """Layers built inside compute in bfloat16 where the device has it; their weights stay float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if bfloat16 else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _compile(model: keras.Model, rate: float | keras.optimizers.schedules.LearningRateSchedule) -> None:
    model.compile(keras.optimizers.Adam(rate), loss="categorical_crossentropy", metrics=["accuracy"])


def in_float32(model: keras.Model) -> keras.Model:
    """The same network with every layer computing in float32, as any engine can load it."""

    def rebuild(layer: keras.Layer) -> keras.Layer:
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    exact = keras.models.clone_model(model, clone_function=rebuild)
    exact.set_weights(model.get_weights())
    return exact
