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
from functools import partial
from typing import Any, TypeVar

import numpy as np

from pneumo_tf import cluster
from pneumo_tf.cluster import ClusterError
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
Draw = Callable[[np.ndarray], np.ndarray]
"""Positions of films in a store to the pictures, uint8 (n, H, W, 3), that a network is given."""


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
    with _open(engine, pixels, cache, kind="films", views=(), key={}) as rows:
        _fill(rows, engine, pixels.positions, _Films(pixels.store), views=1, description=description,
              workers=1)
    return Activations(rows.values(), pixels.positions)


def view_activations(engine: Engine, pixels: Pixels, rows: np.ndarray, *, views: int,
                     augmentation: Augmentation, seed: int, workers: int,
                     cache: Cache | None = None) -> Activations:
    """The outputs of a network for augmented views of some films; only those can be asked for afterwards.

    A film's views depend on the seed, its position in the store and the view's number: not on the split, on
    batches or workers.
    """
    key = {"seed": seed, "augmentation": asdict(augmentation), "made": _probe(augmentation)}
    with _open(engine, pixels, cache, kind="views", views=(views,), key=key) as filled:
        if views:
            _fill(filled, engine, pixels.positions[rows], _Views(pixels.store, views, augmentation, seed),
                  views=views, description="Views", workers=workers)
    store = filled.values()
    positions = np.full(len(pixels), len(store))
    positions[rows] = pixels.positions[rows]
    return Activations(store, positions)


@dataclass(frozen=True)
class _Films:
    """Positions in a store to its films, uint8 (n, H, W, 3)."""

    store: Stored

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        return as_three_channels(read_rows(self.store, positions))


@dataclass(frozen=True)
class _Views:
    """Positions in a store to the views of its films, one film's after the other's."""

    store: Stored
    views: int
    augmentation: Augmentation
    seed: int

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        films = read_rows(self.store, positions)
        return as_three_channels(np.stack([
            apply_view(film, sample_view(self.augmentation, view_rng(self.seed, int(position), view)))
            for film, position in zip(films, positions, strict=True) for view in range(self.views)]))


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


def _fill(rows: Rows, engine: Engine, positions: np.ndarray, draw: Draw, *, views: int, description: str,
          workers: int) -> None:
    """Compute what is missing, a few films at a time, each with all of its views; on a cluster, its machines
    do.
    """
    missing, films = rows.claim(positions), max(1, BATCH // views)
    groups = [missing[start : start + films] for start in range(0, len(missing), films)]
    with progress_bar(description, len(missing) * views) as advance:
        for group, outputs in _computed(engine, groups, draw, films * views, workers):
            rows.write(group, outputs.reshape(len(group), *rows.shape[1:]))
            advance(len(outputs))


def _computed(engine: Engine, groups: list[np.ndarray], draw: Draw, batch: int,
              workers: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if cluster.is_joined():
        make = partial(_worker, engine, draw, batch, engine.fingerprint())
        for place, outputs in cluster.mapped(make, groups, together=4, whole_machine=True):
            yield groups[place], outputs
        return
    with ThreadPoolExecutor(workers) as pool:
        for group, pictures in zip(groups, ahead(pool, draw, groups, depth=workers + 1), strict=True):
            yield group, _predict(engine, pictures, batch)


def _worker(engine: Engine, draw: Draw, batch: int, fingerprint: str) -> Callable[[np.ndarray], np.ndarray]:
    """What a worker of the cluster makes: positions to outputs.

    Raises:
        ClusterError: Its network would compute something else.
    """
    if engine.fingerprint() != fingerprint:
        raise ClusterError("Every machine of a cluster must compute alike.",
                           received="another version of Keras or of what computes, or other hardware",
                           remedy="Install the same versions everywhere, on machines of one kind.")
    return lambda positions: _predict(engine, draw(positions), batch)


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
