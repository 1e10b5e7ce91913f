"""Time and peak memory of each stage of a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import psutil

_INTERVAL = 0.05  # seconds between two looks at the memory


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage took.

    Attributes:
        stage: Its name.
        seconds: Wall time.
        peak_memory_bytes: Largest resident memory seen, of this process and its children.
    """

    stage: str
    seconds: float
    peak_memory_bytes: int


@dataclass
class StageRecorder:
    """Collects the stages of a run in order."""

    stages: list[Stage] = field(default_factory=list)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure what happens inside the with block."""
        finished, peak = threading.Event(), [_resident_memory()]

        def watch() -> None:
            while not finished.wait(_INTERVAL):
                peak[0] = max(peak[0], _resident_memory())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            finished.set()
            watcher.join()
            self.stages.append(Stage(name, round(seconds, 3), max(peak[0], _resident_memory())))

    def to_json(self) -> list[dict[str, object]]:
        """One dictionary per stage."""
        return [asdict(stage) for stage in self.stages]


def _resident_memory() -> int:
    """Bytes of physical memory held by this process and its children."""
    process = psutil.Process()
    total = process.memory_info().rss
    for child in process.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.NoSuchProcess:  # it ended while we looked
            continue
    return int(total)
