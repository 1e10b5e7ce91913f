"""The loop that every network is trained with: steps of epochs, each epoch judged, printed and kept on disk.

Keras's own `fit` runs the batches; what happens between epochs is ours, so that it is the same for films and
for cached activations, and so that a killed training goes on where it was.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np

from pneumo_tf.errors import TrainingError
from pneumo_tf.evaluation.statistics import macro_auc
from pneumo_tf.progress import Advance, progress_bar
from pneumo_tf.training.checkpoint import Arrays, Checkpoint, Row, Standing
from pneumo_tf.training.early_stopping import EarlyStopping
from pneumo_tf.training.epoch_table import EpochTable
from pneumo_tf.training.optimizers import Rates

_LOOK_EVERY = 20  # batches between two looks at the loss; each look waits for the device
_LOWER_RATE = "Try a lower --lr; find_lr.py suggests one."


class Batches(Protocol):
    """What is trained on and validated with: a PyDataset of (inputs, one-hot labels, weights)."""

    batch_size: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...

    def begin(self, epoch: int) -> None:
        """Take on the order and the variants of an epoch, counted from 0."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Some epochs with the same layers learning under the same optimizer.

    Attributes:
        name: As the history and the table call it.
        epochs: Most epochs.
        choose: Gives the learning rates, which a range test may have to find first.
        compile: Freezes, unfreezes and compiles the model, for these rates and so many optimizer steps.
        trial: Does the same for a range test, which brings rates of its own.
        stopping: Ends the step early on the validation loss and gives back the best epoch's weights.
    """

    name: str
    epochs: int
    choose: Callable[[], Rates]
    compile: Callable[[Rates, int], None]
    trial: Callable[[], None] = lambda: None
    stopping: EarlyStopping | None = None


@dataclass
class Loop:
    """One training: a model, what it learns from, what it is judged by, and where it stands.

    Attributes:
        diverged_in: The epoch whose loss was no number, where one was.
    """

    model: keras.Model
    batches: Batches
    validation: Batches
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    diverged_in: int | None = None

    def run(self, steps: Sequence[Step]) -> list[Row]:
        """Train all steps, going on where the checkpoint stands; the model keeps the last step's weights.

        Returns:
            One row per epoch: epoch, phase, loss, accuracy, val_loss, val_accuracy, error_rate, val_auc,
            rate, seconds.

        Raises:
            TrainingError: The loss is no number before one epoch is finished, or memory is used up.
        """
        kept = self.checkpoint.read()
        standing, table = kept or Standing(), EpochTable()
        for row in standing.history:
            table.show(row)
        for number, step in enumerate(steps):
            if number < standing.step:
                continue
            if number > standing.step:
                standing = Standing(step=number, history=standing.history, model=copies(self.model.variables))
            standing.rates = standing.rates or step.choose()
            step.compile(standing.rates, step.epochs * len(self.batches))
            self.model.optimizer.build(self.model.trainable_variables)
            if kept is not None and standing is kept:
                self._take_up(standing, step)
            self._run_step(step, standing, table)
            if self.diverged_in is not None:
                break
        return standing.history

    def _take_up(self, standing: Standing, step: Step) -> None:
        """Bring model, optimizer and early stopping to where they were."""
        assign(self.model.variables, standing.model)
        assign(self.model.optimizer.variables, standing.optimizer)
        if step.stopping is not None and standing.stopping:
            step.stopping.restore(standing.stopping)

    def _run_step(self, step: Step, standing: Standing, table: EpochTable) -> None:
        left = step.epochs - standing.epochs
        if left > 0 and not standing.over:
            with _memory_understood(self.batches.batch_size), \
                    progress_bar(f"Training: {step.name}", left * len(self.batches)) as advance:
                between = _BetweenEpochs(self, step, standing, table=table, advance=advance)
                self.model.fit(self.batches, epochs=left, verbose=0, shuffle=False, callbacks=[between])
            if between.diverged:
                self._fall_back(standing)
        if standing.best:
            assign(self.model.variables, standing.best)

    def _fall_back(self, standing: Standing) -> None:
        """Return to the last finished epoch, or say that there is none."""
        if not standing.history:
            raise TrainingError("A loss must stay a number.", received="NaN or infinity in the first epoch",
                                remedy=_LOWER_RATE)
        self.diverged_in = len(standing.history) + 1
        print(f"The loss was no longer a number in epoch {self.diverged_in}: training stopped there, and the "
              f"weights are those kept from before. {_LOWER_RATE}", file=sys.stderr)
        assign(self.model.variables, standing.model)


class _BetweenEpochs(keras.callbacks.Callback):
    """Judges each epoch, shows it, keeps the best, writes the checkpoint, and says when to stop."""

    def __init__(self, loop: Loop, step: Step, standing: Standing, *, table: EpochTable,
                 advance: Advance) -> None:
        super().__init__()
        self._loop, self._step, self._standing = loop, step, standing
        self._table, self._advance = table, advance
        self._best = standing.best or standing.model
        self._start, self.diverged = 0.0, False

    def on_epoch_begin(self, epoch: int, logs: Row | None = None) -> None:
        # Said here and not by the batches' own on_epoch_end, which Keras also calls before the first epoch.
        self._loop.batches.begin(len(self._standing.history))
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Row | None = None) -> None:
        self._advance(1)
        # The loss that Keras tells is the epoch's mean so far, so a single NaN is still seen later.
        if batch % _LOOK_EVERY == 0:
            self._look_at(logs or {})

    def on_epoch_end(self, epoch: int, logs: Row | None = None) -> None:
        self._look_at(logs or {})
        if self.diverged:
            return
        standing, model = self._standing, self._loop.model
        row = self._row(logs or {})
        standing.history = [*standing.history, row]
        standing.epochs += 1
        standing.over = standing.epochs >= self._step.epochs
        standing.model, standing.optimizer = copies(model.variables), copies(model.optimizer.variables)
        self._stop_early(row["val_loss"])
        self._loop.checkpoint.write(standing)
        self._table.show(row)

    def _look_at(self, logs: Row) -> None:
        if not math.isfinite(float(logs.get("loss", 0.0))):
            self.diverged = self.model.stop_training = True

    def _row(self, logs: Row) -> Row:
        epoch = len(self._standing.history) + 1
        trained = {name: float(logs[name]) for name in ("loss", "accuracy")}
        judged = validate(self._loop.model, self._loop.validation)
        return {"epoch": epoch, "phase": self._step.name, **trained, **judged,
                "rate": float(keras.ops.convert_to_numpy(self._loop.model.optimizer.learning_rate)),
                "seconds": round(time.perf_counter() - self._start, 3)}

    def _stop_early(self, loss: float) -> None:
        """Keep the best epoch's weights; `best` stays empty while the present ones are the best."""
        standing, stopping = self._standing, self._step.stopping
        if stopping is None:
            return
        if stopping.improved(loss):
            standing.best = []
            self._best = standing.model
        elif not standing.best:
            standing.best = self._best
        if stopping.should_stop(loss):
            standing.over = self.model.stop_training = True
        standing.stopping = stopping.state()


def validate(model: keras.Model, validation: Batches) -> Row:
    """Loss (weighted as the batches say), accuracy, error rate and AUC (macro one-vs-rest) of validation."""
    parts = [(labels, weights, np.asarray(model.predict_on_batch(inputs), "float64"))
             for inputs, labels, weights in (validation[index] for index in range(len(validation)))]
    labels, weights, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    losses = keras.ops.convert_to_numpy(keras.losses.get(model.loss)(labels.astype("float64"), scores))
    truth = labels.argmax(axis=1)
    accuracy = float((scores.argmax(axis=1) == truth).mean())
    return {"val_loss": float((losses * weights).mean()), "val_accuracy": accuracy,
            "error_rate": 1 - accuracy, "val_auc": macro_auc(truth, scores)}


def copies(variables: Sequence[Any]) -> Arrays:
    """The present values of some variables."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: Sequence[Any], values: Arrays) -> None:
    """Give variables kept values.

    Raises:
        TrainingError: They are of another model.
    """
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in values]:
        raise TrainingError("A checkpoint must be of the model that goes on.",
                            received=f"{len(values)} arrays for {len(shapes)} variables of other shapes",
                            remedy="Start the training again without --resume.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@contextmanager
def _memory_understood(batch_size: int) -> Iterator[None]:
    """Turn running out of memory into advice; every backend says it in a way of its own."""
    tensorflow = sys.modules.get("tensorflow")
    known = (MemoryError, RuntimeError, *([tensorflow.errors.ResourceExhaustedError] if tensorflow else []))
    try:
        yield
    except known as failure:
        if isinstance(failure, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(failure):
            raise
        raise TrainingError("A training step must fit into memory.", received=f"--batch-size {batch_size}",
                            remedy=f"Try --batch-size {max(1, batch_size // 2)}, or a smaller --image-size.",
                            ) from failure
