"""Several devices for one training: the films of a step are divided among them, and learn as one batch.

Keras's DataParallel does it, on JAX: each device holds the whole network, and gradients are of all films.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np

from pneumo_tf.errors import OptionError

ALL = "all"


@dataclass(frozen=True, slots=True)
class Devices:
    """What a training step is divided among.

    Attributes:
        names: As `keras.distribution.list_devices` gives them; empty for Keras's own choice of one.
        hosts: Processes that train together, each with devices of its own.
        host: Which of them this one is, from 0.
    """

    names: tuple[str, ...] = ()
    hosts: int = 1
    host: int = 0

    @property
    def count(self) -> int:
        return len(self.names) or 1

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Networks that are built and trained in the block are on all devices."""
        if self.count == 1:
            yield
            return
        together = keras.distribution.DataParallel(devices=list(self.names), auto_shard_dataset=False)
        with together.scope():
            yield

    def share(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """This host's films of a step, and how much each counts, float32.

        Every device is given as many. Where films are missing for that, some come twice and count once; the
        others count for more by as much as the mean is divided by more films, so that the loss is the same.
        """
        size = len(rows) + -len(rows) % self.count
        counts = np.where(np.arange(size) < len(rows), size / max(1, len(rows)), 0).astype("float32")
        mine = np.array_split(np.arange(size), self.hosts)[self.host]
        return np.resize(rows, size)[mine], counts[mine]

    def predict(self, model: keras.Model, inputs: np.ndarray) -> np.ndarray:
        """The outputs (n, …) of a network that is on all devices."""
        padding = [(0, -len(inputs) % self.count), *[(0, 0)] * (inputs.ndim - 1)]
        return np.asarray(model.predict_on_batch(np.pad(inputs, padding)))[: len(inputs)]


def choose_devices(wanted: int | str | None) -> Devices:
    """So many of this machine's devices, or "all" of them; None leaves it to Keras.

    Raises:
        OptionError: Keras can't divide a training among devices on this backend, or there are fewer.
    """
    if wanted is None:
        return Devices()
    backend = keras.backend.backend()
    if backend != "jax":
        raise OptionError("Several devices train together on JAX alone: Keras 3 has no strategy that works "
                          "elsewhere (keras issue 20585).", received=f"--devices with {backend}",
                          remedy="Set KERAS_BACKEND=jax, or leave --devices out.")
    there = keras.distribution.list_devices()
    if wanted != ALL and int(wanted) > len(there):
        raise OptionError("A training can use no more devices than there are.",
                          received=f"--devices {wanted} where there are {', '.join(there)}",
                          remedy="Give --devices all.")
    import jax

    used = there if wanted == ALL else there[: int(wanted)]
    return Devices(tuple(used), jax.process_count(), jax.process_index())
