"""Optimizers by name, with a rate of its own for each part of the network.

A multiple of the rate belongs inside the update step. Multiplying the gradients instead would do nothing in
Adam and its kin, which divide by the gradients' own size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from pneumo_tf.errors import OptionError, choose_from

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

    Args:
        learning_rate: The rate that the multiples refer to, or a schedule of it.
        factors: Multiple of the rate by `variable.path`; 1 for variables that aren't named.
        decay: Strength of the weight decay.
        decoupled: Whether weights shrink by rate × decay before each step (arXiv:1711.05101); otherwise
            decay × weight is added to the gradient before the optimizer sees it, as PyTorch does.
    """

    def __init__(self, learning_rate: Any, *, factors: Mapping[str, float] | None = None, decay: float = 0.0,
                 decoupled: bool = False, **options: Any) -> None:
        super().__init__(learning_rate, **options)  # type: ignore[call-arg]
        self._named_factors = tuple((factors or {}).items())  # Keras would wrap and track a dict
        self._decay, self._decoupled = decay, decoupled

    def build(self, variables: list[keras.Variable]) -> None:
        """Make the optimizer's state and settle each variable's multiple.

        Raises:
            ValueError: None of the variables is among those that were named.
        """
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


def _per_variable(base: type) -> type:
    combined = type(f"PerVariable{base.__name__}", (PerVariable, base), {"__module__": __name__})
    return keras.saving.register_keras_serializable("pneumo_tf")(combined)


# AdamW rests on Adam here, because Keras's own decay knows of no multiples.
_PER_VARIABLE = {name: _per_variable(keras.optimizers.Adam if name == "adamw" else base)
                 for name, base in OPTIMIZERS.items()}


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
    if name not in OPTIMIZERS:
        raise OptionError("The optimizer must be one that this program knows.", received=name,
                          remedy=choose_from(OPTIMIZERS, name))
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


def group_factors(rates: Rates, groups: Mapping[str, int], count: int = 3) -> dict[str, float]:
    """Multiple of the high rate by `variable.path`, in equal ratios from low/high to 1.

    `groups` has the group of each variable by its path, from 0 (nearest to the film) to count − 1 (the head).
    """
    if not set(groups.values()) <= set(range(count)):
        raise ValueError(f"groups are numbered from 0 to {count - 1}")
    ratio = rates.low / rates.high
    return {path: 1.0 if count == 1 else ratio ** ((count - 1 - group) / (count - 1))
            for path, group in groups.items()}
