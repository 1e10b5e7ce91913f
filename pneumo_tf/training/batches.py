"""Batches of films for Keras's own training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock

import keras
import numpy as np

# Keras 3 keeps this class under the name that TensorFlow re-exports as tf.keras; importing it here works
# with every backend.
from keras._tf_keras.keras.preprocessing.image import ImageDataGenerator

from pneumo_tf.training.pixels import as_three_channels
from pneumo_tf.training.task import Task
from pneumo_tf.training.trunk import Activations
from pneumo_tf.training.views import apply_view, get_preset, sample_view, view_rng

GENERATOR = "generator"
Variant = Callable[[np.ndarray, int, int], np.ndarray]  # film, row, epoch -> film


class _TaskBatches(keras.utils.PyDataset):
    """Batches (inputs, one-hot labels, weights) of one split of a task.

    Order and inputs depend on seed, film and epoch alone, so the number of threads never changes them.
    """

    def __init__(self, task: Task, split: str, *, shuffled: bool,
                 class_weights: Mapping[int, float] | None = None) -> None:
        super().__init__(workers=task.threads, use_multiprocessing=False, max_queue_size=8)
        self.batch_size = task.batch_size
        self._task, self._rows, self._labels, self._shuffled = task, task.rows(split), task.labels, shuffled
        self._weights = class_weights or dict.fromkeys(range(len(task.classes)), 1.0)
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Set the order and the variants of an epoch, counted from 0."""
        self._epoch, self._order = epoch, self._rows
        if self._shuffled:
            self._order = np.random.default_rng((self._task.seed, epoch)).permutation(self._rows)

    def __len__(self) -> int:
        return -(-len(self._rows) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        rows, counts = self._task.devices.share(rows) if self._shuffled else (rows, 1)
        labels = self._labels[rows]
        one_hot = np.eye(len(self._task.classes), dtype="float32")[labels]
        weights = np.array([self._weights[label] for label in labels], "float32")
        return self._inputs(rows), one_hot, weights * counts

    def _inputs(self, rows: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class FilmBatches(_TaskBatches):
    """Films as they are, or shuffled and each as another variant in every epoch.

    Args:
        mixup: Both parameters of the beta distribution that the share of a second film of the batch is drawn
            from (Zhang 2018, arXiv:1710.09412); 0 mixes none.
        smoothing: What each label gives away to all classes alike (Szegedy 2016, arXiv:1512.00567).
    """

    def __init__(self, task: Task, split: str, *, variant: Variant | None = None,
                 class_weights: Mapping[int, float] | None = None, mixup: float = 0.0,
                 smoothing: float = 0.0) -> None:
        self._variant, self._mixup, self._smoothing = variant, mixup, smoothing
        super().__init__(task, split, shuffled=variant is not None, class_weights=class_weights)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inputs, labels, weights = super().__getitem__(index)
        labels = labels * (1 - self._smoothing) + self._smoothing / labels.shape[1]
        if not self._mixup:
            return inputs, labels, weights
        rng = np.random.default_rng((self._task.seed, self._epoch, index))
        share = rng.beta(self._mixup, self._mixup)
        own, other = np.float32(max(share, 1 - share)), rng.permutation(len(inputs))
        inputs = own * inputs.astype("float32") + (1 - own) * inputs[other]
        # A mixture weighs what its films weigh in it, and so do its labels.
        mixed = own * weights + (1 - own) * weights[other]
        labels = (own * weights[:, None] * labels + (1 - own) * (weights[:, None] * labels)[other]) \
            / np.where(mixed, mixed, 1)[:, None]
        return inputs, labels.astype("float32"), mixed

    def _inputs(self, rows: np.ndarray) -> np.ndarray:
        if self._variant is None:
            return self._task.pixels.batch(rows)
        films = [self._variant(self._task.pixels.film(row), int(row), self._epoch) for row in rows]
        return as_three_channels(np.stack(films))


class ActivationBatches(_TaskBatches):
    """The activations of films as they are, or shuffled and each as another view in every epoch."""

    def __init__(self, task: Task, split: str, *, films: Activations, views: Activations | None = None,
                 class_weights: Mapping[int, float] | None = None) -> None:
        self._films, self._views = films, views
        super().__init__(task, split, shuffled=views is not None, class_weights=class_weights)

    def _inputs(self, rows: np.ndarray) -> np.ndarray:
        inputs = self._films.batch(rows).astype("float32", copy=False)
        if self._views is None:
            return inputs
        count = self._views.store.shape[1]
        for index, row in enumerate(rows):
            # One choice in count + 1 is the film itself.
            choice = int(np.random.default_rng((self._task.seed, self._epoch, int(row))).integers(count + 1))
            if choice < count:
                inputs[index] = self._views.batch([row], choice)[0]
        return inputs


def generator_variant(seed: int) -> Variant:
    """The tutorial's variants, drawn and made by Keras's own ImageDataGenerator."""
    one_at_a_time = Lock()  # Keras draws from NumPy's global generator, which all threads share
    generator = ImageDataGenerator(rotation_range=30, width_shift_range=0.2, height_shift_range=0.2,
                                   horizontal_flip=True)

    def draw(film: np.ndarray, row: int, epoch: int) -> np.ndarray:
        film_seed = int(np.random.default_rng((seed, row, epoch)).integers(2**31))
        with one_at_a_time:
            transform = generator.get_random_transform(film.shape, seed=film_seed)
        return np.asarray(generator.apply_transform(film.astype("float32"), transform))

    return draw


def variant_of(name: str, seed: int) -> Variant:
    """The variants that a recipe names: Keras's own generator, or views drawn from one of our presets."""
    if name == GENERATOR:
        return generator_variant(seed)
    augmentation = get_preset(name)
    return lambda film, row, epoch: apply_view(film, sample_view(augmentation, view_rng(seed, row, epoch)))
