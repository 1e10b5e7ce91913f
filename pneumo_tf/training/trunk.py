"""The frozen part, computed once: films and their views through the network, pooled features out.

A frozen network gives the same features in every epoch, so they are computed a single time and everything
that learns reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import keras
import numpy as np

from pneumo_tf.progress import progress_bar
from pneumo_tf.training.augment import Augmentation, apply_view, sample_view, view_rng
from pneumo_tf.training.pixels import Pixels, as_three_channels

BATCH = 32
Item = TypeVar("Item")
Made = TypeVar("Made")


def film_outputs(network: keras.Model, pixels: Pixels, *, description: str) -> np.ndarray:
    """float32 (N, D): what the network gives for every film as it is, features or scores."""
    batches = [np.arange(start, min(start + BATCH, len(pixels))) for start in range(0, len(pixels), BATCH)]
    return _outputs(network, pixels.batch, batches, description=description, workers=1)


def view_features(network: keras.Model, pixels: Pixels, rows: np.ndarray, *, views: int,
                  augmentation: Augmentation, seed: int, workers: int) -> np.ndarray:
    """float32 (len(rows), views, D): the features of augmented views of some films.

    A film's views depend on the seed, its row and the view's number, not on batches or workers.
    """
    pairs = [(row, view) for row in rows for view in range(views)]
    batches = [pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)]

    def draw(batch: list[tuple[int, int]]) -> np.ndarray:
        return as_three_channels(np.stack([
            apply_view(pixels.film(row), sample_view(augmentation, view_rng(seed, row, view)))
            for row, view in batch]))

    features = _outputs(network, draw, batches, description="Views", workers=workers)
    return features.reshape(len(rows), views, features.shape[-1])


def _outputs(network: keras.Model, make: Callable[[Item], np.ndarray], batches: list[Item], *,
              description: str, workers: int) -> np.ndarray:
    total = np.sum([len(batch) for batch in batches])  # type: ignore[arg-type]
    outputs = [np.empty((0, *network.output_shape[1:]), "float32")]
    with ThreadPoolExecutor(workers) as pool, progress_bar(description, int(total)) as advance:
        for films in _ahead(pool, make, batches, depth=workers + 1):
            outputs.append(_predict(network, films))
            advance(len(films))
    return np.concatenate(outputs)


def _ahead(pool: ThreadPoolExecutor, make: Callable[[Item], Made], items: Iterable[Item], *,
           depth: int) -> Iterator[Made]:
    """Results in order, with `depth` of them under way: the network never waits, and memory stays flat."""
    waiting = []
    for item in items:
        waiting.append(pool.submit(make, item))
        if len(waiting) > depth:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _predict(network: keras.Model, films: np.ndarray) -> np.ndarray:
    """Features of at most one batch, always computed at the full batch's shape so it is compiled once."""
    padding = [(0, BATCH - len(films)), *[(0, 0)] * (films.ndim - 1)]
    return np.asarray(network.predict_on_batch(np.pad(films, padding)), "float32")[: len(films)]
