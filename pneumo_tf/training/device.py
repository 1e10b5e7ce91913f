"""What this machine computes with: processor, accelerator, and the precision that pays there."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import keras

_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
_PACKAGES = ("pneumo_tf", "keras", "tensorflow", "jax", "torch", "numpy", "scipy", "scikit-learn", "pillow",
             "opencv-python-headless", "openvino")


@dataclass(frozen=True, slots=True)
class Device:
    """The machine that a run was made on."""

    processor: str
    cores: int
    accelerator: str
    backend: str
    bfloat16: bool

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def pin_numbers() -> None:
    """Make Keras compute in float32 with channels last, as what is exported, whatever keras.json says."""
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")


def describe_device() -> Device:
    """Look at the machine; on a processor bfloat16 is used only where it has instructions for it."""
    accelerators = find_accelerators()
    information = _processor_information()
    return Device(processor=information.get("model name") or platform.processor() or platform.machine(),
                  cores=_available_cores(), accelerator=accelerators[0] if accelerators else "",
                  backend=keras.backend.backend(),
                  bfloat16=bool(accelerators or _BFLOAT16_FLAGS & set(information.get("flags", "").split())))


def find_accelerators() -> list[str]:
    """Names of the devices that aren't processors, e.g. "gpu:0"."""
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


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _processor_information() -> dict[str, str]:
    """The first processor's entries in /proc/cpuinfo; elsewhere nothing, so bfloat16 stays off."""
    source = Path("/proc/cpuinfo")
    if not source.is_file():
        return {}
    pairs = (line.partition(":") for line in source.read_text().partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
