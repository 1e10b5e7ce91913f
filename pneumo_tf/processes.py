"""One task over many items, in several processes, or on the cluster that was joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeVar

from pneumo_tf import cluster
from pneumo_tf.errors import PneumoError
from pneumo_tf.progress import progress_bar

Item = TypeVar("Item")
Result = TypeVar("Result")

_ITEMS_WORTH_A_PROCESS = 16  # fewer quick ones take less time than starting it
# A process ends then; joblib's default is 300. One whose parent was killed outlives it by 30 more, for which
# joblib waits for an answer: the price for looking after no processes ourselves.
_IDLE_SECONDS = 5


class ProcessError(PneumoError):
    """A process that was killed."""


def in_processes(task: Callable[[Item], Result], items: Sequence[Item], *, workers: int,
                 description: str, least: int = _ITEMS_WORTH_A_PROCESS,
                 whole_machine: bool = False) -> list[Result]:
    """Compute `task(item)` for every item, in order, in up to `workers` processes, and show how far it is.

    On a cluster, its machines compute. Else fewer than `least` items a worker, or one worker, are computed
    in this process.

    Args:
        task: Picklable, like what it returns; its module should be quick to import.
        description: Of the progress bar.
        whole_machine: Whether an item takes all cores of a machine of the cluster, rather than one.

    Raises:
        ProcessError: A process was killed.
    """
    results: dict[int, Result] = {}
    with progress_bar(description, len(items)) as advance:
        for place, result in _computed(task, items, min(workers, len(items) // least), whole_machine):
            results[place] = result
            advance(1)
    return [results[place] for place in range(len(items))]


def _computed(task: Callable[[Item], Result], items: Sequence[Item], workers: int,
              whole_machine: bool) -> Iterator[tuple[int, Result]]:
    if cluster.is_joined():
        yield from cluster.mapped(partial(_given, task), items, together=min(64, 1 + len(items) // 256),
                                  whole_machine=whole_machine)
        return
    if workers < 2:
        yield from enumerate(map(task, items))
        return
    from joblib import Parallel, delayed  # slow to import

    # joblib starts fresh processes: a fork of one that runs threads, as TensorFlow does, may hang.
    pool = Parallel(workers, return_as="generator", idle_worker_timeout=_IDLE_SECONDS)
    try:
        yield from enumerate(pool(delayed(task)(item) for item in items))
    except BrokenProcessPool as failure:
        raise ProcessError("Every process must live until the work is done.",
                           received="one that the system killed, most likely for want of memory",
                           remedy="Run it again with --workers 1.") from failure


def _given(task: Callable[[Item], Result]) -> Callable[[Item], Result]:
    """What a worker of the cluster makes: a task that needs no making."""
    return task
