"""The range test: which learning rates suit a network, from a hundred steps that leave no trace.

Source: Smith, arXiv:1506.01186, with fastai's smoothing and its four ways to read the curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import keras
import numpy as np

from pneumo_tf.errors import OptionError, TrainingError
from pneumo_tf.progress import progress_bar
from pneumo_tf.training.loop import Batches, assign, copies
from pneumo_tf.training.optimizers import Tabulated

_SMOOTHING = 0.98  # share of the past in the running mean of the loss
_DIVERGED = 4  # times the best loss
_FEWEST = 10  # points that a curve can be read from
_LAST = 5  # points left out at the end, where the loss shoots up


@dataclass(frozen=True, slots=True)
class RateCurve:
    """What a range test saw.

    Attributes:
        rates: float64 (N,): learning rate of each step, growing.
        losses: float64 (N,): training loss, smoothed.
        steps: Steps that were planned; N is smaller where the loss shot up before.
    """

    rates: np.ndarray
    losses: np.ndarray
    steps: int

    def readable(self) -> tuple[np.ndarray, np.ndarray]:
        """Rates and losses without the first tenth of the plan and the last five points.

        Raises:
            TrainingError: Fewer than ten points are left.
        """
        part = slice(self.steps // 10, max(len(self.rates) - _LAST, 0))
        if len(self.rates[part]) < _FEWEST:
            raise TrainingError(
                f"A range test must get through {self.steps // 10 + _LAST + _FEWEST} steps to be read.",
                received=f"a loss that shot up, or was no number, after {len(self.rates)} of {self.steps}",
                remedy="Start from a lower rate or plan more steps; if that changes nothing, look at the "
                       "films and their scaling.")
        return self.rates[part], self.losses[part]


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Learning rates read from a curve, as fastai defines them.

    Attributes:
        minimum: A tenth of the rate with the least loss.
        steep: Where the loss falls fastest per factor of the rate.
        valley: Half way through the longest run of falling losses, which may skip points in between.
        slide: Going back from the end, where the slope is first the same as 15 points further on.
    """

    minimum: float
    steep: float
    valley: float
    slide: float

    def to_json(self) -> dict[str, float]:
        """Rates by the name of the rule."""
        return asdict(self)


def find_rates(model: keras.Model, batches: Batches, *, low: float = 1e-7, high: float = 10.0,
               steps: int = 100, description: str = "Trying learning rates") -> RateCurve:
    """Train a compiled model with a rate that grows by the same factor each step, then restore everything.

    The model's own optimizer isn't touched: a fresh one with the same options takes the steps. Batches are
    used in order and again from the first where they don't suffice; `on_epoch_end` isn't called, so that
    the training which follows finds them as they were.

    It ends early where the smoothed loss is four times its best or where a loss is no number.

    Raises:
        OptionError: Invalid rates or too few steps.
        TrainingError: It ended too early to be read.
    """
    if not 0 < low < high < math.inf:
        raise OptionError("A range test goes from a low learning rate to a higher one, both above zero.",
                          received=f"{low:g} to {high:g}", remedy="Choose, say, 1e-7 to 10.")
    if steps < 20:
        raise OptionError("A range test needs at least 20 steps.", received=str(steps),
                          remedy="Choose, say, 100.")
    rates = np.geomspace(low, high, steps)
    with _untouched(model), progress_bar(description, steps) as advance:
        model.optimizer = _fresh(model.optimizer, rates)
        model.optimizer.build(model.trainable_variables)
        losses = []
        for loss in _smoothed_losses(model, batches, steps):
            losses.append(loss)
            advance(1)
            if loss > _DIVERGED * min(losses) > 0:
                break
    curve = RateCurve(rates[: len(losses)], np.array(losses), steps)
    curve.readable()
    return curve


def suggest(curve: RateCurve) -> Suggestions:
    """Read a curve by four rules.

    Raises:
        TrainingError: The curve is too short.
    """
    rates, losses = curve.readable()
    slopes = np.diff(losses) / np.diff(np.log(rates))
    return Suggestions(minimum=float(rates[np.argmin(losses)]) / 10, steep=float(rates[np.argmin(slopes)]),
                       valley=float(rates[_valley(losses)]), slide=float(rates[_slide(losses)]))


def _valley(losses: np.ndarray) -> int:
    """Index in the middle of the longest falling subsequence, counted back from its end."""
    lengths = np.ones(len(losses), int)  # of the longest one that ends at each point
    for index in range(1, len(losses)):
        higher = losses[:index] > losses[index]
        lengths[index] += lengths[:index][higher].max(initial=0)
    end = int(np.argmax(lengths))
    third = int(lengths[end]) / 3
    return max(end - int(lengths[end]) + int(third) + int(third / 2), 0)


def _slide(losses: np.ndarray, *, width: int = 15, tolerance: float = 0.005) -> int:
    """Index at the left end of a window that slides back until the slopes at its ends agree."""
    slopes = np.gradient(losses)
    width = min(width, len(losses) - 1)
    differences = np.abs(slopes[width:] - slopes[:-width])  # by the index of the left end
    agree = np.flatnonzero(differences <= tolerance)
    return int(min(agree[-1] + 1, len(differences) - 1)) if len(agree) else 0


@contextmanager
def _untouched(model: keras.Model) -> Iterator[None]:
    """Put the optimizer and every variable back: weights, BatchNorm's means, random states, metrics."""
    optimizer = model.optimizer
    variables = [*model.variables, *model.metrics_variables]
    before = copies(variables)
    model.train_function = None  # it holds the optimizer that it was traced with
    try:
        yield
    finally:
        model.optimizer, model.train_function = optimizer, None
        model.reset_metrics()  # those that were first made during the test
        assign(variables, before)


def _fresh(optimizer: keras.Optimizer, rates: np.ndarray) -> keras.Optimizer:
    """The same kind of optimizer without its past, with the test's rates."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(_fresh(optimizer.inner_optimizer, rates))
    return type(optimizer).from_config({**optimizer.get_config(), "learning_rate": Tabulated(rates)})


def _smoothed_losses(model: keras.Model, batches: Batches, steps: int) -> Iterator[float]:
    """Losses of single batches, each before its step, until one is no number.

    Smoothed by a running mean that forgets the past slowly, corrected for its start at zero.
    """
    mean = 0.0
    for step in range(steps):
        model.reset_metrics()
        loss = float(model.train_on_batch(*batches[step % len(batches)], return_dict=True)["loss"])
        if not math.isfinite(loss):
            return
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        yield mean / (1 - _SMOOTHING ** (step + 1))
