"""Write a trained classifier so that any program with Keras can load it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
from absl import logging

from pneumo_tf.runs.folder import ARCHITECTURE, COMPLETE, WEIGHTS
from pneumo_tf.storage import replacing, write_text


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
