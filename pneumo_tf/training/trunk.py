"""The frozen part, computed once: films and their views through a network, its outputs kept.

A frozen network gives the same outputs in every epoch, so they are computed a single time and everything
that learns reads them. In a cache they lie under the films' pixels, the network and the views, film by film:
a killed run goes on where it was, and another split of the same films finds what it needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

from pneumo_tf.progress import progress_bar
from pneumo_tf.training.engine import Engine
from pneumo_tf.training.pixels import Pixels, as_three_channels
from pneumo_tf.training.store import Cache, Rows, Stored, open_rows, read_rows
from pneumo_tf.training.views import Augmentation, apply_view, sample_view, view_rng

BATCH = 32
_PART = 256  # films that are read at a time
_PROBES = 32  # views of a probe film that tell one way of augmenting from another
Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Activations:
    """The outputs of a network for films, in the cohort's order; only those asked for enter memory.

    Attributes:
        store: (M, …) of films as they are, (M, views, …) of views; in the network's own precision.
        positions: int (N,), the position of each film in the store; beyond its end where it wasn't computed.
    """

    store: Stored
    positions: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def batch(self, rows: Iterable[int], view: int | None = None) -> np.ndarray:
        """The activations of some films, (len(rows), …), or of one view of them.

        Raises:
            IndexError: They weren't computed.
        """
        positions = self.positions[np.asarray(rows, dtype=int)]
        return read_rows(self.store, positions if view is None else (positions, view))

    def gather(self, rows: Iterable[int], out: np.ndarray | None = None) -> np.ndarray:
        """float32 (len(rows), …): `batch` in parts, so that only the result is held in memory, in `out`."""
        wanted = np.asarray(rows, dtype=int)
        out = np.empty((len(wanted), *self.store.shape[1:]), "float32") if out is None else out
        for start in range(0, len(wanted), _PART):
            out[start : start + _PART] = self.batch(wanted[start : start + _PART])
        return out


def film_activations(engine: Engine, pixels: Pixels, *, description: str,
                     cache: Cache | None = None) -> Activations:
    """The outputs of a network for every film as it is: feature maps, features or scores.

    Without a cache, or with pixels that have no key, they are kept in memory.

    Raises:
        StorageError: No room in the cache, or no permission.
    """

    def draw(positions: np.ndarray) -> np.ndarray:
        return as_three_channels(pixels.stored(positions))

    with _open(engine, pixels, cache, kind="films", views=(), key={}) as rows:
        _fill(rows, engine, pixels.positions, draw, views=1, description=description, workers=1)
    return Activations(rows.values(), pixels.positions)


def view_activations(engine: Engine, pixels: Pixels, rows: np.ndarray, *, views: int,
                     augmentation: Augmentation, seed: int, workers: int,
                     cache: Cache | None = None) -> Activations:
    """The outputs of a network for augmented views of some films; only those can be asked for afterwards.

    A film's views depend on the seed, its position in the store and the view's number: not on the split, on
    batches or workers.
    """

    def draw(positions: np.ndarray) -> np.ndarray:
        return as_three_channels(np.stack([
            apply_view(pixels.stored(position),
                       sample_view(augmentation, view_rng(seed, int(position), view)))
            for position in positions for view in range(views)]))

    key = {"seed": seed, "augmentation": asdict(augmentation), "made": _probe(augmentation)}
    with _open(engine, pixels, cache, kind="views", views=(views,), key=key) as filled:
        if views:
            _fill(filled, engine, pixels.positions[rows], draw, views=views, description="Views",
                  workers=workers)
    store = filled.values()
    positions = np.full(len(pixels), len(store))
    positions[rows] = pixels.positions[rows]
    return Activations(store, positions)


def film_outputs(engine: Engine, pixels: Pixels, *, description: str,
                 cache: Cache | None = None) -> np.ndarray:
    """float32 (N, …): `film_activations`, all of them in memory."""
    activations = film_activations(engine, pixels, description=description, cache=cache)
    return activations.gather(range(len(pixels)))


def scores_and_features(engine: Engine, pixels: Pixels, *, classes: int,
                        rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores float32 (N, classes) of all films, and features float32 (len(rows), D) of some, in one pass.

    Args:
        engine: Computes `classifier.with_features` of a network.
        rows: The films whose features are kept, each once.
    """
    scores = np.empty((len(pixels), classes), np.float32)
    features = np.empty((len(rows), engine.output_shape[0] - classes), np.float32)
    place = np.full(len(pixels), -1)
    place[rows] = np.arange(len(rows))
    with progress_bar("Scoring films", len(pixels)) as advance:
        for start in range(0, len(pixels), BATCH):
            part = np.arange(start, min(start + BATCH, len(pixels)))
            outputs = _predict(engine, pixels.batch(part), BATCH)
            scores[part] = outputs[:, :classes]
            kept = place[part] >= 0
            features[place[part][kept]] = outputs[kept, classes:]
            advance(len(part))
    return scores, features


def _open(engine: Engine, pixels: Pixels, cache: Cache | None, *, kind: str, views: tuple[int, ...],
          key: dict[str, Any]) -> AbstractContextManager[Rows]:
    """Rows for one output per film of the store, or for one per view."""
    shape, dtype = (len(pixels.store), *views, *engine.output_shape), engine.dtype
    if cache is None or not pixels.key:
        return open_rows(None, kind, {}, shape=shape, dtype=dtype, what="")
    whole = {"pixels": pixels.key, "network": engine.fingerprint(), "batch": BATCH, "views": views, **key}
    of = f"{views[0]} views of " if views else ""
    size = "×".join(str(side) for side in engine.output_shape)
    return open_rows(cache, kind, whole, shape=shape, dtype=dtype,
                     what=f"{of}{shape[0]:,} films through {engine.name} ({size} {dtype})")


def _probe(augmentation: Augmentation) -> str:
    """Hash of the views of a probe film, which another version of the code or of a library would change."""
    film = np.random.default_rng(0).integers(0, 256, (48, 48, 1), dtype=np.uint8)
    sha256 = hashlib.sha256()
    for number in range(_PROBES):
        sha256.update(apply_view(film, sample_view(augmentation, view_rng(0, 0, number))).tobytes())
    return sha256.hexdigest()


def _fill(rows: Rows, engine: Engine, positions: np.ndarray, draw: Callable[[np.ndarray], np.ndarray], *,
          views: int, description: str, workers: int) -> None:
    """Compute what is missing, a few films at a time, each with all of its views."""
    missing, films = rows.claim(positions), max(1, BATCH // views)
    groups = [missing[start : start + films] for start in range(0, len(missing), films)]
    with ThreadPoolExecutor(workers) as pool, progress_bar(description, len(missing) * views) as advance:
        drawn = ahead(pool, draw, groups, depth=workers + 1)
        for group, pictures in zip(groups, drawn, strict=True):
            outputs = _predict(engine, pictures, films * views)
            rows.write(group, outputs.reshape(len(group), *rows.shape[1:]))
            advance(len(pictures))


def ahead(pool: ThreadPoolExecutor, make: Callable[[Item], Made], items: Iterable[Item], *,
          depth: int) -> Iterator[Made]:
    """Results in order, with `depth` of them under way: the network never waits, and memory stays flat."""
    waiting = []
    for item in items:
        waiting.append(pool.submit(make, item))
        if len(waiting) > depth:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _predict(engine: Engine, films: np.ndarray, batch: int) -> np.ndarray:
    """Outputs of at most one batch, always computed at the full batch's shape so it is compiled once."""
    padding = [(0, batch - len(films)), *[(0, 0)] * (films.ndim - 1)]
    return engine(np.pad(films, padding))[: len(films)]
