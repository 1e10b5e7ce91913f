"""The machine that a run is made on, and the time and memory that each stage of the run takes there.

Keras is imported where it is asked: what computes without it asks for no more than the number of cores.
"""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

import psutil

_INTERVAL = 0.05  # seconds between two samples of the memory
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
_PACKAGES = ("pneumo_tf", "keras", "tensorflow", "jax", "torch", "numpy", "scipy", "scikit-learn", "pillow",
             "opencv-python-headless", "openvino", "onnx", "onnxruntime", "tf2onnx", "ai-edge-litert")


@dataclass(frozen=True, slots=True)
class Device:
    """What computes: processor, accelerator ("" for none), Keras's backend, and whether bfloat16 pays."""

    processor: str
    cores: int
    accelerator: str
    backend: str
    bfloat16: bool

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def pin_numbers() -> None:
    """Make Keras compute in float32 with channels last, as what is exported, whatever keras.json says."""
    import keras

    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")


@cache
def describe_device() -> Device:
    """This machine, looked at once per process; a processor needs instructions for bfloat16 to use it."""
    import keras

    accelerators = find_accelerators()
    information = _processor_information()
    return Device(processor=information.get("model name") or platform.processor() or platform.machine(),
                  cores=available_cores(), accelerator=accelerators[0] if accelerators else "",
                  backend=keras.backend.backend(),
                  bfloat16=bool(accelerators or _BFLOAT16_FLAGS & set(information.get("flags", "").split())))


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def find_accelerators() -> list[str]:
    """Names of the devices that aren't processors, e.g. "gpu:0"."""
    import keras

    # Asked for a kind that isn't there, JAX raises where TensorFlow answers with an empty list.
    return [name for name in keras.distribution.list_devices() if not name.lower().startswith("cpu")]


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on, where installed."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _processor_information() -> dict[str, str]:
    """The first processor's entries in /proc/cpuinfo; elsewhere nothing, so bfloat16 stays off."""
    source = Path("/proc/cpuinfo")
    if not source.is_file():
        return {}
    pairs = (line.partition(":") for line in source.read_text().partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


@dataclass(frozen=True, slots=True)
class Stage:
    """Wall time of a stage, and the largest resident memory of this process and its children during it."""

    stage: str
    seconds: float
    peak_memory_bytes: int


@dataclass
class StageRecorder:
    """Collects the stages of a run in order."""

    stages: list[Stage] = field(default_factory=list)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure the with block."""
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
        except psutil.NoSuchProcess:  # it has just ended
            continue
    return int(total)
