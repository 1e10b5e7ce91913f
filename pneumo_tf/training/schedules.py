"""How the learning rate moves over the steps of a phase: pure functions, and a table of them for Keras.

A phase of `total` steps has the steps 0 … total − 1, one per batch.
"""

from __future__ import annotations

from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from pneumo_tf.errors import OptionError, choose_from


class Schedule(Protocol):
    """Steps, int (N,), to rates, float64 (N,), none above `peak`."""

    def __call__(self, steps: np.ndarray, *, total: int, peak: float) -> np.ndarray: ...


def one_cycle(steps: np.ndarray, *, total: int, peak: float) -> np.ndarray:
    """Cosine up from peak/25 over the first quarter, then cosine down towards peak/100,000.

    The end would be reached at the step `total`, one after the last. Source: Smith and Topin,
    arXiv:1708.07120, with the shape and the divisors that fastai gave it.
    """
    done = np.asarray(steps, "float64") / total
    up = _cosine(peak / 25, peak, done / 0.25)
    down = _cosine(peak, peak / 1e5, (done - 0.25) / 0.75)
    return np.where(done < 0.25, up, down)


def cosine(steps: np.ndarray, *, total: int, peak: float, warm_up: float = 0.05) -> np.ndarray:
    """Straight up to the peak over the first part of the steps, then cosine down towards nothing.

    The first step already learns: with w steps of warm-up its rate is peak / (w + 1). Source: Loshchilov
    and Hutter, arXiv:1608.03983, without restarts; warm-up after Goyal et al., arXiv:1706.02677.
    `warm_up` is a share of the steps, in [0, 1).
    """
    steps = np.asarray(steps, "float64")
    warm = np.ceil(warm_up * total)
    up = peak * (steps + 1) / (warm + 1)
    down = _cosine(peak, 0.0, (steps - warm) / max(total - warm, 1))
    return np.where(steps < warm, up, down)


def constant(steps: np.ndarray, *, total: int, peak: float) -> np.ndarray:
    """The peak at every step."""
    return np.full(np.shape(steps), peak, "float64")


SCHEDULES: dict[str, Schedule] = {"one-cycle": one_cycle, "cosine": cosine, "constant": constant}


def get_schedule(name: str) -> Schedule:
    """A schedule by its name.

    Raises:
        OptionError: No such schedule.
    """
    if name not in SCHEDULES:
        raise OptionError("The schedule must be one that this program knows.", received=name,
                          remedy=choose_from(SCHEDULES, name))
    return SCHEDULES[name]


def rate_schedule(name: str, peak: float, total: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """A schedule for a Keras optimizer, over a phase of `total` steps.

    Raises:
        OptionError: No such schedule.
    """
    return Tabulated(get_schedule(name)(np.arange(total), total=total, peak=peak))


@keras.saving.register_keras_serializable("pneumo_tf")
class Tabulated(keras.optimizers.schedules.LearningRateSchedule):
    """All rates of a phase, looked up by step; the last one holds afterwards.

    A table, float32 (total,), gives the optimizer exactly what was plotted, on every backend.
    """

    def __init__(self, rates: Any) -> None:
        super().__init__()
        self.rates = np.asarray(rates, "float32")

    def __call__(self, step: Any) -> Any:
        last = len(self.rates) - 1
        return ops.take(ops.convert_to_tensor(self.rates), ops.minimum(ops.cast(step, "int32"), last))

    def get_config(self) -> dict[str, Any]:
        """The rates as numbers."""
        return {"rates": [float(rate) for rate in self.rates]}


def _cosine(start: float, end: float, done: np.ndarray) -> np.ndarray:
    """Half a cosine wave from start (at 0) to end (at 1)."""
    return end + (start - end) * (1 + np.cos(np.pi * np.clip(done, 0, 1))) / 2
