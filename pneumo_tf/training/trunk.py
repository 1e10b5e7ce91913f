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
from pneumo_tf.training.store import Cache, Rows, open_rows, read_rows
from pneumo_tf.training.views import Augmentation, apply_view, sample_view, view_rng

BATCH = 32
_PART = 256  # films that are read at a time
_PROBES = 32  # views of a probe film that tell one way of augmenting from another
Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Activations:
    """What a network gives for films, in the cohort's order; only what is asked for enters memory.

    Attributes:
        store: (M, …) of films as they are, (M, views, …) of views; in the network's own precision.
        places: int (N,), where each film lies in the store; beyond its end where it wasn't computed.
    """

    store: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def batch(self, rows: Iterable[int], view: int | None = None) -> np.ndarray:
        """The activations of some films, (len(rows), …), or of one view of them.

        Raises:
            IndexError: They weren't computed.
        """
        places = self.places[np.asarray(rows, dtype=int)]
        return read_rows(self.store, places if view is None else (places, view))

    def gather(self, rows: Iterable[int], out: np.ndarray | None = None) -> np.ndarray:
        """float32 (len(rows), …): `batch` in parts, so that only the result is held in memory.

        Args:
            rows: Of films that were computed.
            out: Where to put them, of the same shape; None makes an array.
        """
        wanted = np.asarray(rows, dtype=int)
        found = np.empty((len(wanted), *self.store.shape[1:]), "float32") if out is None else out
        for start in range(0, len(wanted), _PART):
            found[start : start + _PART] = self.batch(wanted[start : start + _PART])
        return found


def film_activations(engine: Engine, pixels: Pixels, *, description: str,
                     cache: Cache | None = None) -> Activations:
    """What a network gives for every film as it is: feature maps, features or scores.

    Args:
        engine: The network.
        pixels: The films.
        description: Words for the progress bar.
        cache: Where the outputs are kept; None, or pixels without a key, keeps them in memory.

    Raises:
        StorageError: No room in the cache, or no permission.
    """

    def draw(places: np.ndarray) -> np.ndarray:
        return as_three_channels(pixels.stored(places))

    with _open(engine, pixels, cache, kind="films", views=(), key={}) as rows:
        _fill(rows, engine, pixels.places, draw, views=1, description=description, workers=1)
    return Activations(rows.values(), pixels.places)


def view_activations(engine: Engine, pixels: Pixels, rows: np.ndarray, *, views: int,
                     augmentation: Augmentation, seed: int, workers: int,
                     cache: Cache | None = None) -> Activations:
    """What a network gives for augmented views of some films; only those can be asked for afterwards.

    A film's views depend on the seed, its place in the store and the view's number: not on the split, on
    batches or workers.
    """

    def draw(places: np.ndarray) -> np.ndarray:
        return as_three_channels(np.stack([
            apply_view(pixels.stored(place),
                       sample_view(augmentation, view_rng(seed, int(place), view)))
            for place in places for view in range(views)]))

    key = {"seed": seed, "augmentation": asdict(augmentation), "made": _way_of(augmentation)}
    with _open(engine, pixels, cache, kind="views", views=(views,), key=key) as filled:
        if views:
            _fill(filled, engine, pixels.places[rows], draw, views=views, description="Views",
                  workers=workers)
    store = filled.values()
    places = np.full(len(pixels), len(store))
    places[rows] = pixels.places[rows]
    return Activations(store, places)


def film_outputs(engine: Engine, pixels: Pixels, *, description: str,
                 cache: Cache | None = None) -> np.ndarray:
    """float32 (N, …): `film_activations`, all of them in memory."""
    found = film_activations(engine, pixels, description=description, cache=cache)
    return found.gather(range(len(pixels)))


def view_features(engine: Engine, pixels: Pixels, rows: np.ndarray, *, views: int,
                  augmentation: Augmentation, seed: int, workers: int, cache: Cache | None = None,
                  out: np.ndarray | None = None) -> np.ndarray:
    """float32 (len(rows), views, …): `view_activations` of some films, all of them in memory, in `out`."""
    found = view_activations(engine, pixels, rows, views=views, augmentation=augmentation, seed=seed,
                             workers=workers, cache=cache)
    return found.gather(rows, out)


def _open(engine: Engine, pixels: Pixels, cache: Cache | None, *, kind: str, views: tuple[int, ...],
          key: dict[str, Any]) -> AbstractContextManager[Rows]:
    """Room for one output per film of the store, or for one per view."""
    shape, dtype = (len(pixels.store), *views, *engine.output_shape), engine.dtype
    if cache is None or not pixels.key:
        return open_rows(None, kind, {}, shape=shape, dtype=dtype, what="")
    whole = {"pixels": pixels.key, "network": engine.fingerprint(), "batch": BATCH, "views": views, **key}
    of = f"{views[0]} views of " if views else ""
    size = "×".join(str(side) for side in engine.output_shape)
    return open_rows(cache, kind, whole, shape=shape, dtype=dtype,
                     what=f"{of}{shape[0]:,} films through {engine.name} ({size} {dtype})")


def _way_of(augmentation: Augmentation) -> str:
    """What an augmentation makes of a probe film: another version of the code or of a library shows in it."""
    probe = np.random.default_rng(0).integers(0, 256, (48, 48, 1), dtype=np.uint8)
    sha256 = hashlib.sha256()
    for number in range(_PROBES):
        sha256.update(apply_view(probe, sample_view(augmentation, view_rng(0, 0, number))).tobytes())
    return sha256.hexdigest()


def _fill(rows: Rows, engine: Engine, places: np.ndarray, draw: Callable[[np.ndarray], np.ndarray], *,
          views: int, description: str, workers: int) -> None:
    """Compute what is missing, a few films at a time, each with all of its views."""
    missing, films = rows.claim(places), max(1, BATCH // views)
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
