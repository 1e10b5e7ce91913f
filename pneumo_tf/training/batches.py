"""Batches of films for Keras's own training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import numpy as np

from pneumo_tf.training.augment import Augmentation, apply_view, sample_view, view_rng
from pneumo_tf.training.pixels import as_three_channels
from pneumo_tf.training.task import Task

Variant = Callable[[np.ndarray, int, int], np.ndarray]  # film, row, epoch -> film


class FilmBatches(keras.utils.PyDataset):
    """Shuffled batches (films, one-hot labels, weights), each film as another variant in every epoch.

    Order and variants depend on seed, film and epoch alone, so the number of threads never changes them.
    """

    def __init__(self, task: Task, split: str, *, variant: Variant | None = None,
                 class_weights: Mapping[int, float] | None = None) -> None:
        super().__init__(workers=task.threads, use_multiprocessing=False, max_queue_size=8)
        self._task, self._rows, self._labels = task, task.rows(split), task.labels
        self._variant = variant
        self._weights = class_weights or dict.fromkeys(range(len(task.classes)), 1.0)
        self._epoch, self._order = 0, self._rows
        self._shuffle()

    def __len__(self) -> int:
        return -(-len(self._rows) // self._task.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        size = self._task.batch_size
        rows = self._order[index * size : (index + 1) * size]
        labels = self._labels[rows]
        one_hot = np.eye(len(self._task.classes), dtype="float32")[labels]
        weights = np.array([self._weights[label] for label in labels], "float32")
        return self._films(rows), one_hot, weights

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's order and variants.

        At the end, because Keras starts its threads before it says that an epoch begins.
        """
        self._epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        if self._variant:  # what isn't learnt from keeps its order
            self._order = np.random.default_rng((self._task.seed, self._epoch)).permutation(self._rows)

    def _films(self, rows: np.ndarray) -> np.ndarray:
        if self._variant is None:
            return self._task.pixels.batch(rows)
        films = [self._variant(self._task.pixels.film(row), int(row), self._epoch) for row in rows]
        return as_three_channels(np.stack(films))


def view_variant(augmentation: Augmentation, seed: int) -> Variant:
    """Views drawn from an augmentation."""
    return lambda film, row, epoch: apply_view(film, sample_view(augmentation, view_rng(seed, row, epoch)))
