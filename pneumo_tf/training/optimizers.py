"""Optimizers and schedules by name, with a rate of its own for each part of the network.

A multiple of the rate belongs inside the update step. Multiplying the gradients instead would do nothing in
Adam and its kin, which divide by the gradients' own size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from pneumo_tf.errors import OptionError, check_known

OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "adadelta": keras.optimizers.Adadelta,
    "adagrad": keras.optimizers.Adagrad,
    "rmsprop": keras.optimizers.RMSprop,
}
_WITH_MOMENTUM = ("sgd", "rmsprop")
# Adadelta's first steps are as long as sqrt(epsilon / (1 - rho)). PyTorch's are the ones that the practice's
# rate of 0.01 was chosen with; Keras's own, 0.95 and 1e-7, would be twice as short.
_CONSTANTS: dict[str, dict[str, float]] = {"adadelta": {"rho": 0.9, "epsilon": 1e-6}}


class PerVariable:
    """Mixed into an optimizer of Keras: each variable has its multiple of the rate, and decays.

    Where the decay is decoupled, weights shrink by rate × decay before each step (arXiv:1711.05101);
    otherwise decay × weight is added to the gradient before the optimizer sees it, as PyTorch does. The other
    arguments are those of `build_optimizer`.
    """

    def __init__(self, learning_rate: Any, *, factors: Mapping[str, float] | None = None, decay: float = 0.0,
                 decoupled: bool = False, **options: Any) -> None:
        super().__init__(learning_rate, **options)  # type: ignore[call-arg]
        self._named_factors = tuple((factors or {}).items())  # Keras would wrap and track a dict
        self._decay, self._decoupled = decay, decoupled

    def build(self, variables: list[keras.Variable]) -> None:
        """Make the optimizer's state and settle each multiple; a ValueError where none is named."""
        factors = dict(self._named_factors)
        if factors and not any(variable.path in factors for variable in variables):
            raise ValueError(f"no variable is called {next(iter(factors))!r} or any other of the names given")
        self._factors = tuple(factors.get(variable.path, 1.0) for variable in variables)
        super().build(variables)  # type: ignore[misc]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        factor = self._factors[self._get_variable_index(variable)]  # type: ignore[attr-defined]
        rate = ops.cast(learning_rate, variable.dtype) * factor
        if self._decoupled:
            self.assign_sub(variable, variable * (rate * self._decay))  # type: ignore[attr-defined]
        elif self._decay:
            gradient = ops.cast(gradient, variable.dtype) + variable * self._decay
        super().update_step(gradient, variable, rate)  # type: ignore[misc]

    def get_config(self) -> dict[str, Any]:
        """Everything to build it again."""
        return {**super().get_config(), "factors": dict(self._named_factors),  # type: ignore[misc]
                "decay": self._decay, "decoupled": self._decoupled}


_PER_VARIABLE: dict[str, type] = {}
# AdamW rests on Adam here, because Keras's own decay knows of no multiples.
for _name, _base in (OPTIMIZERS | {"adamw": keras.optimizers.Adam}).items():
    _combined = type(f"PerVariable{_base.__name__}", (PerVariable, _base), {"__module__": __name__})
    _PER_VARIABLE[_name] = keras.saving.register_keras_serializable("pneumo_tf")(_combined)


def build_optimizer(name: str, rate: float | keras.optimizers.schedules.LearningRateSchedule, *,
                    momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0,
                    factors: Mapping[str, float] | None = None, clip: float | None = None,
                    average: float | None = None) -> keras.Optimizer:
    """An optimizer; Keras's plain class wherever that can do what is asked.

    Args:
        rate: The highest rate of any variable, or a schedule of it.
        momentum: Of sgd and rmsprop, in [0, 1).
        nesterov: Of sgd alone.
        weight_decay: Decoupled in adamw (where 0 means none, not Keras's 0.004), L2 in the others.
        factors: Multiple of the rate by `variable.path`; 1 for variables that aren't named.
        clip: Largest norm of all gradients together; None leaves them.
        average: Momentum of a moving average of the weights, which the training ends with; None keeps none.

    Raises:
        OptionError: No such optimizer, or options that it doesn't have.
    """
    _check(name, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    options: dict[str, Any] = {**_CONSTANTS.get(name, {})}
    if clip is not None:
        options["global_clipnorm"] = clip
    if average is not None:
        options |= {"use_ema": True, "ema_momentum": average}
    if name in _WITH_MOMENTUM:
        options["momentum"] = momentum
    if name == "sgd":
        options["nesterov"] = nesterov
    rate = float(rate) if isinstance(rate, int | float) else rate
    if name == "adamw" and not factors:
        return OPTIMIZERS[name](rate, weight_decay=weight_decay, **options)
    if not factors and not weight_decay:
        return OPTIMIZERS[name](rate, **options)
    return _PER_VARIABLE[name](rate, factors=factors, decay=weight_decay, decoupled=name == "adamw",
                               **options)


def _check(name: str, *, momentum: float, nesterov: bool, weight_decay: float) -> None:
    check_known("optimizer", name, OPTIMIZERS)
    if not 0 <= momentum < 1:
        raise OptionError("The momentum must lie between 0 and 1.", received=f"{momentum:g}",
                          remedy="Choose, say, 0.9.")
    if momentum and name not in _WITH_MOMENTUM:
        raise OptionError(f"Only {' and '.join(_WITH_MOMENTUM)} have a momentum of one's choice.",
                          received=f"{name} with momentum {momentum:g}", remedy="Leave the momentum out.")
    if nesterov and name != "sgd":
        raise OptionError("Only sgd has a Nesterov momentum.", received=name, remedy="Leave Nesterov out.")
    if not 0 <= weight_decay < float("inf"):
        raise OptionError("The weight decay must be 0 or more.", received=f"{weight_decay:g}",
                          remedy="Choose, say, 1e-5, or 0 for none.")


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates of the network's first and last parts.

    Raises:
        OptionError: A rate that isn't above zero, or the wrong way round.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        for rate in (self.low, self.high):
            if not 0 < rate < float("inf"):
                raise OptionError("A learning rate must be a number above zero.", received=f"{rate:g}",
                                  remedy="Choose, say, 1e-3.")
        if self.low > self.high:
            raise OptionError("The network's first layers must learn no faster than its last.",
                              received=f"{self.low:g}:{self.high:g}",
                              remedy=f"Write the lower rate first: {self.high:g}:{self.low:g}.")

    def times(self, factor: float) -> Rates:
        """Both rates multiplied."""
        return Rates(self.low * factor, self.high * factor)


def parse_rates(text: str) -> Rates | None:
    """What `--lr` was given: "1e-3" for all layers, "1e-5:1e-3" from first to last, "auto" for None.

    Raises:
        OptionError: Not a number, not above zero, or the wrong way round.
    """
    if text.strip() == "auto":
        return None
    parts = text.split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise OptionError("--lr takes a learning rate, two with a colon between them, or auto.",
                          received=f"--lr {text}", remedy="Write, say, --lr 1e-3 or --lr 1e-5:1e-3.")
    try:
        return Rates(numbers[0], numbers[-1])
    except OptionError as failure:  # said again with what was typed
        raise OptionError(failure.rule, received=f"--lr {text}", remedy=failure.remedy) from failure


def group_factors(rates: Rates, groups: Mapping[str, int]) -> dict[str, float]:
    """Multiple of the high rate by `variable.path`, in equal ratios from low/high to 1.

    `groups` has the group of each variable by its path: 0 (nearest to the film), 1 or 2 (the head).
    """
    ratio = rates.low / rates.high
    return {path: ratio ** ((2 - group) / 2) for path, group in groups.items()}


class Schedule(Protocol):
    """Steps of a phase, int (N,) in 0 … total − 1, to rates, float64 (N,), none above `peak`."""

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


def rate_schedule(name: str, peak: float, total: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """A schedule for a Keras optimizer, over a phase of `total` steps.

    Raises:
        OptionError: No such schedule.
    """
    check_known("schedule", name, SCHEDULES)
    return Tabulated(SCHEDULES[name](np.arange(total), total=total, peak=peak))


@keras.saving.register_keras_serializable("pneumo_tf")
class Tabulated(keras.optimizers.schedules.LearningRateSchedule):
    """All rates of a phase, looked up by step; the last one holds afterwards.

    The table, float32 (total,), gives the optimizer exactly what was plotted, on every backend.
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
