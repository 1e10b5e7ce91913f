"""What tells two networks apart: what they compute, never what their layers are called."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import keras
import numpy as np

from pneumo_tf.training.device import find_accelerators, package_versions


def fingerprint(network: keras.Model) -> str:
    """SHA-256, hexadecimal, over everything that a network's outputs depend on beside its inputs.

    That is: the layers and their settings, precision included; how they are joined; their weights; the
    engine and its version, and whether a processor or an accelerator runs it. Names don't count, because
    Keras numbers layers by what else a process has built; nor does what is frozen.
    """
    config = network.get_config()
    numbers = {layer["config"]["name"]: number for number, layer in enumerate(config["layers"])}
    layers = [[layer["class_name"], _settings(layer["config"]),
               _numbered(layer.get("inbound_nodes"), numbers)] for layer in config["layers"]]
    ends = [_numbered(config.get(end), numbers) for end in ("input_layers", "output_layers")]
    structure = json.dumps([_engine(), layers, ends], sort_keys=True, default=str)
    sha256 = hashlib.sha256(structure.encode())
    for weights in network.weights:
        sha256.update(np.asarray(weights).tobytes())
    return sha256.hexdigest()


def _engine() -> list[str]:
    backend = keras.backend.backend()
    return [backend, package_versions().get(backend, ""), keras.__version__,
            "accelerator" if find_accelerators() else "processor"]


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in ("name", "trainable")}


def _numbered(value: Any, numbers: dict[str, int]) -> Any:
    """The same with every layer's name replaced by its number."""
    if isinstance(value, dict):
        return {key: _numbered(part, numbers) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_numbered(part, numbers) for part in value]
    return numbers.get(value, value) if isinstance(value, str) else value
