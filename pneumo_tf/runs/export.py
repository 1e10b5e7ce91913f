"""Write a trained classifier so that any program with Keras can load it; read it without running anything.

Keras looks up by name whatever class a file asks for. Its safe mode refuses code of the file's own; what is
refused here besides is whatever no network of ours has: classes from elsewhere than Keras, layers that call
other programs or read other files, and members that no export writes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import keras
from absl import logging

from pneumo_tf.runs.folder import ARCHITECTURE, COMPLETE, WEIGHTS
from pneumo_tf.storage import DAMAGED_ZIP, refuse_dense, replacing, write_text

_MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
_LARGEST = 2**26  # bytes of config.json, a thousand times those of the largest network
# Where Keras keeps what networks are made of; its other modules load, download and configure.
_MODULES = {None, "builtins", "keras", "keras.activations", "keras.constraints", "keras.initializers",
            "keras.layers", "keras.ops", "keras.regularizers", "keras.src.models.functional"}
# Layers that run what they are given, or read the files that they are told of.
_FOREIGN = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "StringLookup",
            "IntegerLookup", "TextVectorization"}


def export_model(model: keras.Model, folder: Path) -> list[Path]:
    """Write `model.json`, `modelo.h5` and `modelo.keras`, each atomically.

    `modelo.h5` is a legacy whole-model HDF5: both `load_model("modelo.h5")` and, after
    `model_from_json`, `load_weights("modelo.h5")` read it. Keras 3's `save_weights` would refuse that name.
    Each has one tensor for input, films (N, H, W, 3), and one for output. Optimizer and losses are left out:
    what is exported is for predicting.

    Raises:
        StorageError: No room, or no permission.
    """
    # Without what compile() attached, and with tensors where Keras keeps lists of one as lists of one.
    untied = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    write_text(folder / ARCHITECTURE, untied.to_json())
    for name in (WEIGHTS, COMPLETE):
        with replacing(folder / name) as temporary, _without_advice():
            untied.save(temporary)
    return [folder / name for name in (ARCHITECTURE, WEIGHTS, COMPLETE)]


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keras advises against HDF5 at every save; `modelo.h5` is what the tutorial's readers look for."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def read_exported(path: Path) -> keras.Model:
    """The network of a `.keras` file that `export_model` wrote, or one that is made of the same.

    Raises:
        ValueError: It holds something else; nothing of it was executed.
        OSError: It can't be read.
    """
    _refuse_foreign(path)
    tensorflow = sys.modules.get("tensorflow")  # its errors, a layer of terabytes among them, are its own
    own = (tensorflow.errors.OpError,) if tensorflow else ()
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
        ends = len(model.inputs), len(model.outputs)
    except (*DAMAGED_ZIP, TypeError, AttributeError, AssertionError, ArithmeticError, MemoryError,
            *own) as failure:  # what Keras stumbles over in a configuration that makes no sense
        raise ValueError(str(failure) or type(failure).__name__) from failure
    if not isinstance(model, keras.Model) or ends != (1, 1):
        raise ValueError("no network of one input and one output")
    return model


def _refuse_foreign(path: Path) -> None:
    try:
        with ZipFile(path) as archive:
            if surplus := sorted(set(archive.namelist()) - _MEMBERS):
                raise ValueError(f"a member {surplus[0]!r}")
            refuse_dense(archive)
            if archive.getinfo("config.json").file_size > _LARGEST:
                raise ValueError("a configuration of more than 64 MiB")
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} is damaged")
            kinds = list(_kinds(json.loads(archive.read("config.json"))))
    except DAMAGED_ZIP as failure:
        raise ValueError(f"no whole file of Keras: {failure}") from failure
    for kind in kinds:
        module, name = kind.get("module"), kind["class_name"]
        if module not in _MODULES or name in _FOREIGN:
            raise ValueError(f"a {name} of {module}, as no network of this program has; nothing was executed")


def _kinds(config: Any) -> Iterator[dict[str, Any]]:
    """Every part of a configuration that names a class or a function."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from _kinds(part)
