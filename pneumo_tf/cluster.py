"""One task over many items on many machines, by Ray: each worker holds what its tasks share.

Nothing here is asked for but by `processes.in_processes` and by what computes frozen networks, which take the
cluster that was joined where they would take this machine. All machines must see the same folders.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pneumo_tf.errors import PneumoError

if TYPE_CHECKING:
    import pyarrow

Item = TypeVar("Item")
Result = TypeVar("Result")

_joined = False


class ClusterError(PneumoError):
    """A cluster that can't be joined, or whose machines can't do the work alike."""


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """Compute on a cluster until the block ends; None changes nothing.

    Args:
        address: "auto" for the cluster that this machine belongs to, or HOST:PORT of its head.

    Raises:
        ClusterError: Ray isn't installed, or there is no such cluster.
    """
    global _joined
    if address is None:
        yield
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # an offline program tells nobody that it runs
    try:
        import ray.data
    except ImportError as failure:
        raise ClusterError("Work on several machines needs Ray.", received="none installed",
                           remedy="On every machine: pip install 'pneumo_tf[cluster]'.") from failure
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as failure:
        raise ClusterError("A cluster must be running where --cluster says.", received=address,
                           remedy="Start it with `ray start --head` here and `ray start --address HOST:6379` "
                                  "on the others.") from failure
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    _joined = True
    try:
        yield
    finally:
        _joined = False
        ray.shutdown()


def is_joined() -> bool:
    """Whether a cluster computes."""
    return _joined


def mapped(make: Callable[[], Callable[[Item], Result]], items: Sequence[Item], *, together: int = 1,
           whole_machine: bool = False) -> Iterator[tuple[int, Result]]:
    """The place and the result of each item, in the order in which they are finished.

    Work that a machine dies with is done again by the others.

    Args:
        make: Gives each worker its task; picklable, like items and results.
        together: Items that a worker is given at a time.
        whole_machine: A worker for each machine, with all of its cores, rather than one for each core.

    Raises:
        PneumoError: What a task raises.
    """
    import ray

    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    each = min(filter(None, cores), default=1) if whole_machine else 1
    pieces = [{"work": pickle.dumps([(place, items[place]) for place in range(start, end)])}
              for start in range(0, len(items), together)
              for end in [min(start + together, len(items))]]
    if not pieces:
        return
    workers = ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, sum(number // each for number in cores)))
    done = ray.data.from_items(pieces, override_num_blocks=len(pieces)).map_batches(
        _Worker, fn_constructor_args=(pickle.dumps(make), str(Path.cwd()), each), batch_size=None,
        batch_format="pyarrow", compute=workers, num_cpus=each)
    for row in done.iter_rows():
        finished = pickle.loads(row["work"])
        if isinstance(finished, PneumoError):
            raise finished
        yield from finished


def cores() -> int:
    """How many cores the cluster has."""
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


@contextmanager
def holding(makes: Sequence[Callable[[], Any]]) -> Iterator[
        Callable[[Callable[[Any], Result]], list[Result]]]:
    """Let the cluster hold parts of what is too large for one machine, and yield how to ask all of them.

    A part that a machine dies with is made anew on another one.

    Args:
        makes: A function for each part, which gives it; picklable.
    """
    import ray

    # No core is reserved: one that has to wait for it would keep all the others waiting.
    kind = ray.remote(_Holder).options(num_cpus=0, scheduling_strategy="SPREAD", max_restarts=-1,
                                       max_task_retries=-1)
    holders: list[Any] = [kind.remote(pickle.dumps(make), str(Path.cwd())) for make in makes]

    def ask(function: Callable[[Any], Result]) -> list[Result]:
        told = ray.put(pickle.dumps(function))
        return [pickle.loads(answer) for answer in ray.get([holder.ask.remote(told) for holder in holders])]

    yield ask
    for holder in holders:
        ray.kill(holder)


class _Holder:
    """A process of the cluster that holds a part."""

    def __init__(self, make: bytes, home: str) -> None:
        self._part = _made(make, home)

    def ask(self, function: bytes) -> bytes:
        return pickle.dumps(pickle.loads(function)(self._part))


class _Worker:
    """A process of the cluster, which makes its task with the first items."""

    def __init__(self, make: bytes, home: str, cores: int) -> None:
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(cores)  # before anything that computes is imported
        self._make, self._home = make, home
        self._task: Callable[[Any], Any] | None = None

    def __call__(self, table: pyarrow.Table) -> dict[str, Any]:
        return {"work": [self._done(piece.as_py()) for piece in table.column("work")]}

    def _done(self, piece: bytes) -> bytes:
        try:
            task = self._task = self._task or _made(self._make, self._home)
            return pickle.dumps([(place, task(item)) for place, item in pickle.loads(piece)])
        except PneumoError as failure:
            return pickle.dumps(failure)


def _made(make: bytes, home: str) -> Any:
    """What was pickled on the first machine, made here, where relative paths begin as they do there."""
    if not Path(home).is_dir():
        raise ClusterError("Every machine of a cluster must see the same folders.",
                           received=f"one without {home}", remedy="Share it, and start there.")
    os.chdir(home)
    return pickle.loads(make)()
