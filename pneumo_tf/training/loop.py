"""The loop that every network is trained with: phases of epochs, each epoch judged, printed and kept on disk.

Keras's own `fit` runs the batches; what happens between epochs is ours, so that it is the same for films and
for cached activations, and so that a killed training goes on from its last epoch.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from pneumo_tf.errors import OptionError, TrainingError
from pneumo_tf.evaluation.statistics import macro_auc
from pneumo_tf.language import say, translated, written
from pneumo_tf.progress import Advance, progress_bar
from pneumo_tf.storage import read_arrays, replacing
from pneumo_tf.training.devices import Devices
from pneumo_tf.training.optimizers import Rates

_CHECK_EVERY = 20  # batches between two checks of the loss; each waits for the device
_LOWER_RATE = "Try a lower --lr; find_lr.py suggests one."
_COLUMNS = {"train loss": "loss", "valid loss": "val_loss", "error rate": "error_rate",
            "accuracy": "val_accuracy", "AUC": "val_auc"}
Row = dict[str, Any]
Arrays = list[np.ndarray]


class Batches(Protocol):
    """What is trained on and validated with: a PyDataset of (inputs, one-hot labels, weights)."""

    batch_size: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...

    def begin(self, epoch: int) -> None:
        """Set the order and the variants of an epoch, counted from 0."""


@dataclass
class EarlyStopping:
    """Early stopping as the assignment defines it: it counts the epochs without improvement.

    Attributes:
        mode: "min" where less is better, "max" where more is.
        patience: Epochs in a row without improvement at which to stop, at least 1.
        relative: Whether the tolerance is a share of the best figure's size.
        tolerance: By how much a figure must be better than the best one to count, 0 or more.
        best: The best figure so far; None before the first.
        waited: Epochs since then.

    Raises:
        OptionError: Options without a meaning.
    """

    mode: str = "min"
    patience: int = 5
    relative: bool = False
    tolerance: float = 0.0
    best: float | None = field(default=None, init=False)
    waited: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.mode not in ("min", "max"):
            raise OptionError("Early stopping waits for the least or the greatest figure.",
                              received=f"mode {self.mode!r}", remedy="Choose min or max.")
        if isinstance(self.patience, bool) or not isinstance(self.patience, int) or self.patience < 1:
            raise OptionError("The patience is a whole number of epochs, at least 1.",
                              received=f"patience {self.patience}", remedy="Choose, say, 5.")
        if not 0 <= self.tolerance < math.inf:
            raise OptionError("The tolerance of early stopping must be 0 or more.",
                              received=f"tolerance {self.tolerance}", remedy="Choose, say, 0.")

    def improved(self, value: float) -> bool:
        """Whether a figure is better than the best so far by more than the tolerance; changes nothing.

        The first one is; NaN and infinity never are.
        """
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.tolerance * (abs(self.best) if self.relative else 1)

    def should_stop(self, value: float) -> bool:
        """Count an epoch's figure; True once as many in a row as `patience` were no improvement."""
        if self.improved(value):
            self.best, self.waited = float(value), 0
        else:
            self.waited += 1
        return self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        """The best figure and the count, ready for JSON."""
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.best, self.waited = state["best"], state["waited"]


@dataclass(frozen=True, kw_only=True)
class LoopPhase:
    """Some epochs in which the same layers learn under the same optimizer.

    Attributes:
        name: As the history and the table call it.
        epochs: Most epochs.
        choose_rates: Gives the learning rates, which a range test may have to find first.
        compile: Freezes, unfreezes and compiles the model, for these rates and so many optimizer steps.
        compile_for_test: Does the same for a range test, which brings rates of its own.
        stopping: Ends the phase early on the validation loss and restores the best epoch's weights.
    """

    name: str
    epochs: int
    choose_rates: Callable[[], Rates]
    compile: Callable[[Rates, int], None]
    compile_for_test: Callable[[], None] = lambda: None
    stopping: EarlyStopping | None = None


@dataclass(kw_only=True)
class TrainingState:
    """Everything that a training needs to go on after an epoch.

    Attributes:
        phase: Index of the phase.
        epochs: Epochs of that phase that are finished.
        over: Whether the phase has ended, by its epochs or early.
        rates: None until they are chosen.
        history: One row of figures per finished epoch of all phases.
        model: Every variable of the model, dropout's random state among them.
        optimizer: Every variable of the optimizer, its step number and thereby its schedule among them.
        best: The model's variables after the best epoch of the phase; empty where they are the present ones.
    """

    phase: int = 0
    epochs: int = 0
    over: bool = False
    rates: Rates | None = None
    history: list[Row] = field(default_factory=list)
    stopping: dict[str, Any] = field(default_factory=dict)
    model: Arrays = field(default_factory=list)
    optimizer: Arrays = field(default_factory=list)
    best: Arrays = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoint:
    """The file that a training's state is kept in; without a path nothing is kept."""

    path: Path | None = None

    def write(self, state: TrainingState) -> None:
        """Replace the file by the present state.

        Raises:
            StorageError: The disk refuses.
        """
        if self.path is None:
            return
        # In the file the phase is called step, and its figures facts, as they always were.
        facts = {"step": state.phase, "epochs": state.epochs, "over": state.over, "history": state.history,
                 "stopping": state.stopping, "rates": state.rates and [state.rates.low, state.rates.high]}
        arrays = {f"{group}/{number}": array for group in ("model", "optimizer", "best")
                  for number, array in enumerate(getattr(state, group))}
        with replacing(self.path) as temporary:
            np.savez(temporary, allow_pickle=False, facts=np.array(json.dumps(facts)), **arrays)

    def read(self) -> TrainingState | None:
        """The state that was kept last, or None.

        Raises:
            TrainingError: The file is damaged.
        """
        if self.path is None or not self.path.is_file():
            return None
        try:
            arrays = read_arrays(self.path)
            facts: dict[str, Any] = json.loads(str(arrays["facts"]))
            for group in ("model", "optimizer", "best"):
                count = sum(name.startswith(f"{group}/") for name in arrays)
                facts[group] = [arrays[f"{group}/{number}"] for number in range(count)]
            phase, rates = facts.pop("step"), facts.pop("rates")
            state, begun = TrainingState(**facts, phase=phase, rates=rates and Rates(*rates)), TrainingState()
            for name in vars(begun).keys() - {"rates"}:
                if type(getattr(state, name)) is not type(getattr(begun, name)):
                    raise ValueError(name)
            return state
        except (OSError, ValueError, KeyError, TypeError) as failure:
            raise TrainingError("A checkpoint must be whole to be resumed from.",
                                received=f"{self.path} ({type(failure).__name__})",
                                remedy="Start the training again without --resume.") from failure


@dataclass
class Loop:
    """One training: a model, what it learns from, what validates it, and where its state is kept."""

    model: keras.Model
    batches: Batches
    validation: Batches
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    devices: Devices = field(default_factory=Devices)
    diverged_in: int | None = None  # the epoch whose loss was no number

    def run(self, phases: Sequence[LoopPhase]) -> list[Row]:
        """Train all phases, going on from the checkpoint; the model keeps the last phase's weights.

        Returns:
            One row per epoch: epoch, phase, loss, accuracy, val_loss, val_accuracy, error_rate, val_auc,
            rate, seconds.

        Raises:
            TrainingError: The loss is no number before one epoch is finished, or memory is used up.
        """
        kept = self.checkpoint.read()
        state, table = kept or TrainingState(), EpochTable()
        for row in state.history:
            table.show(row)
        for number, phase in enumerate(phases):
            if number < state.phase:
                continue
            if number > state.phase:
                state = TrainingState(phase=number, history=state.history, model=copies(self.model.variables))
            state.rates = state.rates or phase.choose_rates()
            phase.compile(state.rates, phase.epochs * len(self.batches))
            self.model.optimizer.build(self.model.trainable_variables)
            if state is kept:
                assign(self.model.variables, state.model)
                assign(self.model.optimizer.variables, state.optimizer)
                if phase.stopping is not None and state.stopping:
                    phase.stopping.restore(state.stopping)
            self._run_phase(phase, state, table)
            if self.diverged_in is not None:
                break
        return state.history

    def _run_phase(self, phase: LoopPhase, state: TrainingState, table: EpochTable) -> None:
        left = phase.epochs - state.epochs
        if left > 0 and not state.over:
            with _memory_understood(self.batches.batch_size), \
                    progress_bar(f"Training: {phase.name}",
                                 left * (len(self.batches) + len(self.validation))) as advance:
                between = _BetweenEpochs(self, phase, state, table=table, advance=advance)
                self.model.fit(self.batches, epochs=left, verbose=0, shuffle=False, callbacks=[between])
            if between.diverged:
                self._fall_back(state)
        if state.best:
            assign(self.model.variables, state.best)
        elif state.epochs and self.model.optimizer.use_ema:  # fit did so too, but not where nothing was left
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def _fall_back(self, state: TrainingState) -> None:
        """Return to the last finished epoch; a TrainingError where there is none."""
        if not state.history:
            raise TrainingError("A loss must stay a number.", received="NaN or infinity in the first epoch",
                                remedy=_LOWER_RATE)
        self.diverged_in = len(state.history) + 1
        say(f"The loss was no longer a number in epoch {self.diverged_in}: training stopped there, and the "
            f"weights are those kept from before. {_LOWER_RATE}", aside=True)
        assign(self.model.variables, state.model)
        if state.epochs:
            assign(self.model.optimizer.variables, state.optimizer)


@dataclass
class EpochTable:
    """Prints the epochs as rows of a table, with a heading before each phase.

    Losses weight the classes alike where the recipe does; error rate, accuracy and AUC are of validation.
    """

    phase: str = ""

    def show(self, row: Row) -> None:
        """Print the row of one finished epoch."""
        if row["phase"] != self.phase:
            self.phase = row["phase"]
            say(self.phase)
            say(f"{translated('epoch'):>5}" + "".join(f"{translated(name):>12}" for name in _COLUMNS)
                + f"{translated('time'):>8}")
        values = [row.get(key) for key in _COLUMNS.values()]
        figures = "".join(f"{'–':>12}" if value is None else written(f"{value:>12.4f}") for value in values)
        minutes, seconds = divmod(round(row["seconds"]), 60)
        say(f"{row['epoch']:>5}{figures}{minutes:>5}:{seconds:02}")


class _BetweenEpochs(keras.callbacks.Callback):
    """Validates each epoch, shows it, keeps the best, writes the checkpoint, and stops early."""

    def __init__(self, loop: Loop, phase: LoopPhase, state: TrainingState, *, table: EpochTable,
                 advance: Advance) -> None:
        super().__init__()
        self._loop, self._phase, self._state = loop, phase, state
        self._table, self._advance = table, advance
        self._best = state.best or state.model
        self._start, self.diverged = 0.0, False

    def on_epoch_begin(self, epoch: int, logs: Row | None = None) -> None:
        # Said here and not by the batches' own on_epoch_end, which Keras also calls before the first epoch.
        self._loop.batches.begin(len(self._state.history))
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Row | None = None) -> None:
        self._advance(1)
        # The loss that Keras passes is the epoch's mean so far, so a single NaN is still seen later.
        if batch % _CHECK_EVERY == 0:
            self._check_loss(logs or {})

    def on_epoch_end(self, epoch: int, logs: Row | None = None) -> None:
        self._check_loss(logs or {})
        if self.diverged:
            return
        state, model = self._state, self._loop.model
        trained = {name: float((logs or {})[name]) for name in ("loss", "accuracy")}
        with _averaged(model):
            judged = validate(model, self._loop.validation, self._loop.devices, advance=self._advance)
        row = {"epoch": len(state.history) + 1, "phase": self._phase.name, **trained, **judged,
               "rate": float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)),
               "seconds": round(time.perf_counter() - self._start, 3)}
        state.history = [*state.history, row]
        state.epochs += 1
        state.over = state.epochs >= self._phase.epochs
        state.model, state.optimizer = copies(model.variables), copies(model.optimizer.variables)
        self._stop_early(row["val_loss"])
        self._loop.checkpoint.write(state)
        self._table.show(row)

    def _check_loss(self, logs: Row) -> None:
        if not math.isfinite(float(logs.get("loss", 0.0))):
            self.diverged = self.model.stop_training = True

    def _stop_early(self, loss: float) -> None:
        """Keep the best epoch's weights; `best` stays empty while the present ones are the best."""
        state, stopping = self._state, self._phase.stopping
        if stopping is None:
            return
        if stopping.improved(loss):
            state.best = []
            self._best = state.model
        elif not state.best:
            state.best = self._best
        if stopping.should_stop(loss):
            state.over = self.model.stop_training = True
        state.stopping = stopping.state()


@contextmanager
def _averaged(model: keras.Model) -> Iterator[None]:
    """The model with the moving average of its weights, where its optimizer keeps one."""
    if not model.optimizer.use_ema:
        yield
        return
    learning = copies(model.trainable_variables)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    yield
    assign(model.trainable_variables, learning)


def validate(model: keras.Model, validation: Batches, devices: Devices | None = None, *,
             advance: Advance = lambda _: None) -> Row:
    """Loss (weighted as the batches say), accuracy, error rate and AUC (macro one-vs-rest) of validation."""
    parts, devices = [], devices or Devices()
    for index in range(len(validation)):
        inputs, labels, weights = validation[index]
        parts.append((labels, weights, devices.predict(model, inputs).astype("float64")))
        advance(1)
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
    """Give variables their kept values.

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
    """Turn each backend's own failure for lack of memory into a TrainingError with advice."""
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
