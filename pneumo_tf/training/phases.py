"""One phase of training with Keras's own loop: some layers, one optimizer, some epochs."""

from __future__ import annotations

import time
from collections.abc import Sequence

import keras

from pneumo_tf.progress import Advance, progress_bar
from pneumo_tf.training.batches import FilmBatches
from pneumo_tf.training.task import Row


class _Bar(keras.callbacks.Callback):
    """Moves a progress bar on after every batch and times the epochs."""

    def __init__(self, advance: Advance) -> None:
        super().__init__()
        self._advance, self._start, self.seconds = advance, 0.0, list[float]()

    def on_epoch_begin(self, epoch: int, logs: Row | None = None) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Row | None = None) -> None:
        self._advance(1)

    def on_epoch_end(self, epoch: int, logs: Row | None = None) -> None:
        self.seconds.append(time.perf_counter() - self._start)


def fit_phase(model: keras.Model, batches: FilmBatches, validation: FilmBatches, *, name: str, epochs: int,
              first_epoch: int = 1, callbacks: Sequence[keras.callbacks.Callback] = ()) -> list[Row]:
    """Train a compiled model for some epochs.

    Returns:
        One row per epoch: epoch, phase, losses and accuracies of both splits, seconds.
    """
    with progress_bar(f"Training: {name}", epochs * len(batches)) as advance:
        bar = _Bar(advance)
        figures = model.fit(batches, validation_data=validation, epochs=epochs, verbose=0, shuffle=False,
                            callbacks=[bar, *callbacks]).history
    return [{"epoch": first_epoch + index, "phase": name,
             **{key: float(values[index]) for key, values in figures.items()}, "seconds": round(seconds, 3)}
            for index, seconds in enumerate(bar.seconds)]
