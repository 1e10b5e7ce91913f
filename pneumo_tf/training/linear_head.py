"""A softmax layer on frozen features: the one part of the `fast` recipe that learns.

Its loss is convex, so a quasi-Newton method needs tens of passes instead of thousands of steps, and the
result doesn't depend on a learning rate or on chance. What a pass needs of the features are sums over them,
so they may be read part by part, or lie on many machines that give their sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from scipy.optimize import OptimizeResult, minimize
from scipy.special import log_softmax, softmax
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from threadpoolctl import threadpool_limits

from pneumo_tf import cluster
from pneumo_tf.evaluation.statistics import macro_auc

Epoch = dict[str, float | None]
_PART = 256  # vectors that are read at a time


@dataclass(frozen=True, slots=True)
class Features:
    """Vectors of films and their classes."""

    vectors: np.ndarray  # float32 (N, D)
    labels: np.ndarray  # int (N,), indices of the classes

    def parts(self) -> Iterator[Features]:
        """All of them at once."""
        yield self


class ManyFeatures(Protocol):
    """Features that needn't be in memory together.

    Attributes:
        labels: int (N,), of all vectors.
    """

    @property
    def labels(self) -> np.ndarray: ...

    def parts(self) -> Iterator[Features]:
        """A few at a time, in the order of `labels`."""

    def shares(self, count: int) -> Sequence[Callable[[], Vectors]]:
        """As many functions, picklable, that each give another machine its share of them."""


Vectors = Features | ManyFeatures
Told = TypeVar("Told")
Ask = Callable[[Callable[[Vectors], Told]], list[Told]]
"""What a function tells of the training features: of each machine's share, or of all in one."""


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A trained softmax layer, for features as they come."""

    kernel: np.ndarray  # float32 (D, K)
    bias: np.ndarray  # float32 (K,)

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """float32 (N, K); each row sums to 1."""
        return softmax(_product(vectors, self.kernel) + self.bias, axis=1)


@dataclass
class _Objective:
    """Weighted mean log loss of standardised features, plus half the penalty times the squared kernel.

    The features are never copied: standardising is folded into the kernel, in both directions.
    """

    ask: Ask
    weights: np.ndarray  # (K,), of a vector of each class; over all vectors they sum to 1
    penalty: float
    mean: np.ndarray
    deviation: np.ndarray
    last: tuple[np.ndarray, _Fit] | None = None  # what was computed last, and how well it fits

    @property
    def classes(self) -> int:
        return len(self.weights)

    def head(self, parameters: np.ndarray) -> LinearHead:
        kernel = parameters.reshape(-1, self.classes)
        unscaled = kernel[:-1] / self.deviation[:, None]
        return LinearHead(unscaled.astype("float32"), (kernel[-1] - self.mean @ unscaled).astype("float32"))

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        told = self.ask(partial(_pulls, head=self.head(parameters), weights=self.weights))
        loss, hits, pulls, total = (sum(share[index] for share in told) for index in range(4))
        self.last = parameters.copy(), _Fit(loss, hits)
        gradient = (pulls - np.outer(self.mean, total)) / self.deviation[:, None]
        kernel = parameters.reshape(-1, self.classes)[:-1]
        value = loss + self.penalty / 2 * np.sum(kernel**2)
        return float(value), np.vstack([gradient + self.penalty * kernel, total]).astype("float64").ravel()

    def fit_at(self, parameters: np.ndarray) -> _Fit:
        """How well the training features are fitted, which the step that led there has told already."""
        if self.last is None or not np.array_equal(self.last[0], parameters):
            self(parameters)
        assert self.last is not None
        return self.last[1]


def _few(vectors: Vectors) -> Iterator[Features]:
    """So few at a time that they stay in the processor's cache while sums over them are made."""
    for part in vectors.parts():
        for few in gen_batches(len(part.labels), _PART):
            yield Features(part.vectors[few], part.labels[few])


def _pulls(vectors: Vectors, *, head: LinearHead,
           weights: np.ndarray) -> tuple[float, int, np.ndarray, np.ndarray]:
    """Sums over features: weighted losses, hits, the losses' gradient by the kernel (D, K), and by the bias
    (K,).
    """
    loss, hits, pulls, total = 0.0, 0, np.zeros(head.kernel.shape), np.zeros(head.bias.shape)
    for part in _few(vectors):
        logits, own = _product(part.vectors, head.kernel) + head.bias, np.arange(len(part.labels))
        of_each = weights[part.labels]
        loss += float(of_each @ -log_softmax(logits, axis=1)[own, part.labels])
        hits += int((logits.argmax(axis=1) == part.labels).sum())
        residual = softmax(logits, axis=1)
        residual[own, part.labels] -= 1
        residual *= of_each[:, None]
        total += residual.sum(axis=0)
        pulls += _product(part.vectors.T, residual)
    return loss, hits, pulls, total


class _Moments(NamedTuple):
    """Of each feature over some vectors: their number, the mean, and the squared distances from it."""

    number: int
    mean: np.ndarray
    squares: np.ndarray

    def __add__(self, other: _Moments) -> _Moments:  # type: ignore[override]
        """Those of both (Chan, Golub and LeVeque 1983, Am Stat 37:242)."""
        number, apart = self.number + other.number, other.mean - self.mean
        return _Moments(number, self.mean + apart * other.number / number,
                        self.squares + other.squares + apart**2 * self.number * other.number / number)


def _moments(vectors: Vectors) -> _Moments:
    scaler = StandardScaler()
    for part in _few(vectors):  # all in float64 would take twice their own room
        scaler.partial_fit(part.vectors.astype("float64"))
    return _Moments(int(scaler.n_samples_seen_), scaler.mean_, scaler.var_ * scaler.n_samples_seen_)


class _Fit(NamedTuple):
    """Sums over features: losses by weight, and hits."""

    loss: float
    hits: int


@contextmanager
def _asked(train: Vectors) -> Iterator[Ask]:
    """Ask the machines of a cluster for what there is too much of for memory, and else this one."""
    if cluster.is_joined() and not isinstance(train, Features):
        with cluster.holding(train.shares(cluster.cores())) as ask:
            yield ask
    else:
        yield lambda function: [function(train)]


@dataclass(kw_only=True)
class _Monitor:
    """Validates the head after every iteration, keeps the best and stops early."""

    objective: _Objective
    films: int
    validation: Features
    validation_weights: np.ndarray
    patience: int
    best: LinearHead
    best_epoch: int = 0
    least: float = np.inf
    history: list[Epoch] = field(default_factory=list)

    def after_iteration(self, intermediate_result: OptimizeResult) -> None:
        # SciPy passes the result so far because the argument has this name.
        head = self.objective.head(intermediate_result.x)
        loss, hits = self.objective.fit_at(intermediate_result.x)
        scores, labels = head.scores(self.validation.vectors), self.validation.labels
        own = np.maximum(scores[np.arange(len(scores)), labels], 1e-12)
        val_loss = -float(np.log(own) @ self.validation_weights[labels])
        val_accuracy = float((scores.argmax(axis=1) == labels).mean())
        epoch = len(self.history) + 1
        self.history.append({
            "epoch": epoch, "loss": loss, "accuracy": hits / self.films, "val_loss": val_loss,
            "val_accuracy": val_accuracy, "error_rate": 1 - val_accuracy,
            "val_auc": macro_auc(labels, scores)})
        if val_loss < self.least:
            self.best, self.best_epoch, self.least = head, epoch, val_loss
        if epoch - self.best_epoch >= self.patience:
            raise StopIteration


def fit_linear_head(train: Vectors, validation: Features, *, class_weights: Mapping[int, float],
                    penalty: float, epochs: int, patience: int = 8) -> tuple[LinearHead, list[Epoch]]:
    """Train a softmax layer with L-BFGS, stopping early, and keep the best of validation.

    Args:
        train: Features of the training films and of their views; on a cluster those that aren't in memory
            are spread over its machines.
        validation: Features of other patients' films; they choose the epoch and nothing else.
        penalty: L2 penalty relative to the mean loss; it doesn't depend on the number of films.
        epochs: Most iterations; each passes once over the features (a line search may add one).
        patience: Iterations without a better validation loss until training stops.

    Returns:
        The head, and one row per epoch: class-weighted log loss (without the penalty) and plain accuracy.
    """
    # The products wait for memory, not for the processor; threads that wait together were measured to take
    # four times as long on a busy machine.
    with _asked(train) as ask, threadpool_limits(1, user_api="blas"):
        first, *others = ask(_moments)
        moments = sum(others, start=first)
        deviation = np.sqrt(moments.squares / moments.number)
        objective = _Objective(ask, _weights(train.labels, class_weights), penalty, moments.mean,
                               np.where(deviation > 1e-6, deviation, 1.0))  # a constant feature stays
        start = np.zeros((len(moments.mean) + 1) * len(class_weights))
        monitor = _Monitor(objective=objective, films=len(train.labels), validation=validation,
                           validation_weights=_weights(validation.labels, class_weights), patience=patience,
                           best=objective.head(start))
        minimize(objective, start, jac=True, method="L-BFGS-B", callback=monitor.after_iteration,
                 options={"maxiter": epochs, "maxcor": 20})
    return monitor.best, monitor.history


def _weights(labels: np.ndarray, class_weights: Mapping[int, float]) -> np.ndarray:
    """The weight (K,) of a vector of each class; over all vectors they sum to 1."""
    weights = np.array([class_weights[label] for label in range(len(class_weights))])
    return weights / weights[labels].sum()


def _product(large: np.ndarray, thin: np.ndarray) -> np.ndarray:
    """large @ thin, a column at a time, which BLAS was measured to do in less time than two at once."""
    return np.stack([large @ column for column in np.ascontiguousarray(thin.T)], axis=1)
