"""One task over many films, in as many processes as wanted; and the two tasks that there are.

The workers import neither pandas nor scikit-learn, so that they start quickly.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import NamedTuple, Protocol, TypeVar

from pneumo_tf.data.images import film_facts, open_film, prepared_jpeg, read_film
from pneumo_tf.data.preparation.filters import FilterOptions, apply_filters
from pneumo_tf.data.sources import Source, open_source
from pneumo_tf.errors import FilmError
from pneumo_tf.storage import replacing

# Below this many films a worker, starting it takes longer than it saves.
_FILMS_WORTH_A_WORKER = 16
_source: Source | None = None  # of a worker process

Result = TypeVar("Result")
Item = TypeVar("Item")


class Track(Protocol):
    """Passes items on, showing how many of `total` have gone by."""

    def __call__(self, items: Iterable[Result], *, total: int, description: str) -> Iterable[Result]: ...


class Inspection(NamedTuple):
    """What the bytes of a file tell without decoding: hash, facts; or the trouble with them."""

    sha256: str
    facts: dict[str, str]
    trouble: str


class Crew:
    """A source that stays open, and the processes that read it; see `crew`."""

    def __init__(self, source: Source, pool: Executor | None, track: Track) -> None:
        self.source = source
        self._pool = pool
        self._track = track

    def map(self, task: Callable[[Source, Item], Result], items: Sequence[Item], *,
            description: str) -> list[Result]:
        """`task(source, item)` for every item, in order.

        Raises:
            FilmError: A worker process died.
        """
        try:
            return list(self._track(self._results(task, items), total=len(items), description=description))
        except BrokenProcessPool as failure:
            raise FilmError("Every worker must live until the films are done.",
                            received="one that the system killed, most likely for want of memory",
                            remedy="Run it again with --workers 1.") from failure

    def _results(self, task: Callable[[Source, Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        if self._pool is None:
            return (task(self.source, item) for item in items)
        chunk = max(1, min(32, len(items) // 64))
        return self._pool.map(partial(_in_worker, task), items, chunksize=chunk)


def untracked(items: Iterable[Result], *, total: int, description: str) -> Iterable[Result]:
    """A `Track` that shows nothing."""
    return items


@contextmanager
def crew(source: Source, *, workers: int, films: int, track: Track) -> Iterator[Crew]:
    """Up to `workers` processes for `films` films; the work stays in this process where that is faster."""
    workers = min(workers, films // _FILMS_WORTH_A_WORKER)
    if workers < 2:
        yield Crew(source, None, track)
        return
    # A fork of a process that runs threads, as TensorFlow does, may hang; hence "spawn".
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker,
                               initargs=(source.path,))
    try:
        yield Crew(source, pool, track)
    finally:
        pool.shutdown(cancel_futures=True)


def inspect(source: Source, file: str) -> Inspection:
    """Hash and facts of one file of the source."""
    try:
        data = source.read(file)
    except OSError as failure:
        return Inspection("", {}, f"can't be opened ({failure.strerror})")
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        return Inspection(sha256, film_facts(open_film(data, decode=False), data), "")
    except FilmError as failure:
        return Inspection(sha256, {}, failure.received)


def develop(source: Source, film: tuple[str, str], *, folder: Path, filters: FilterOptions) -> str:
    """Filter one film and write it to `folder` as `<sha256>.jpeg`, unless that is there already.

    Args:
        source: Where the film is read.
        film: Its file within the source, and the hash of its bytes.
        folder: Where to write.
        filters: What to do to its pixels.

    Returns:
        Why the film can't be read, or an empty string.

    Raises:
        StorageError: The disk refuses.
    """
    file, sha256 = film
    path = folder / f"{sha256}.jpeg"
    if path.exists():
        return ""
    data = source.read(file)
    try:
        image = apply_filters(read_film(data), filters)
    except FilmError as failure:
        return failure.received
    with replacing(path) as temporary:
        temporary.write_bytes(prepared_jpeg(image))
    return ""


def _start_worker(path: Path) -> None:
    global _source
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone answers to Ctrl-C
    Thread(target=_end_with_parent, daemon=True).start()
    _source = open_source(path)


def _end_with_parent() -> None:
    """Without this a worker whose parent was killed would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _in_worker(task: Callable[[Source, Item], Result], item: Item) -> Result:
    if _source is None:
        raise RuntimeError("The worker was not started by crew().")
    return task(_source, item)
