"""A softmax layer on frozen features: the one part of the `fast` recipe that learns.

Its loss is convex, so a quasi-Newton method needs tens of passes instead of thousands of steps, and the
result doesn't depend on a learning rate or on chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import OptimizeResult, minimize
from scipy.special import log_softmax, softmax
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from threadpoolctl import threadpool_limits

from pneumo_tf.evaluation.statistics import macro_auc

Epoch = dict[str, float | None]
_PART = 256  # vectors that are read at a time


@dataclass(frozen=True, slots=True)
class Features:
    """Vectors of films and their classes."""

    vectors: np.ndarray  # float32 (N, D)
    labels: np.ndarray  # int (N,), indices of the classes


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A trained softmax layer, for features as they come."""

    kernel: np.ndarray  # float32 (D, K)
    bias: np.ndarray  # float32 (K,)

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """float32 (N, K); each row sums to 1."""
        return softmax(_product(vectors, self.kernel) + self.bias, axis=1)


@dataclass(frozen=True)
class _Objective:
    """Weighted mean log loss of standardised features, plus half the penalty times the squared kernel.

    The features are never copied: standardising is folded into the kernel, in both directions.
    """

    train: Features
    weights: np.ndarray  # (N,), sum 1
    classes: int
    penalty: float
    mean: np.ndarray
    deviation: np.ndarray

    def head(self, parameters: np.ndarray) -> LinearHead:
        kernel = parameters.reshape(-1, self.classes)
        unscaled = kernel[:-1] / self.deviation[:, None]
        return LinearHead(unscaled.astype("float32"), (kernel[-1] - self.mean @ unscaled).astype("float32"))

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        head = self.head(parameters)
        logits = _product(self.train.vectors, head.kernel) + head.bias
        losses = -log_softmax(logits, axis=1)[np.arange(len(logits)), self.train.labels]
        residual = softmax(logits, axis=1)
        residual[np.arange(len(logits)), self.train.labels] -= 1
        residual *= self.weights[:, None]
        total = residual.sum(axis=0)
        pulls = _product(self.train.vectors.T, residual) - np.outer(self.mean, total)
        gradient = pulls / self.deviation[:, None]
        kernel = parameters.reshape(-1, self.classes)[:-1]
        value = self.weights @ losses + self.penalty / 2 * np.sum(kernel**2)
        return float(value), np.vstack([gradient + self.penalty * kernel, total]).astype("float64").ravel()


@dataclass(kw_only=True)
class _Monitor:
    """Validates the head after every iteration, keeps the best and stops early."""

    objective: _Objective
    validation: Features
    class_weights: Mapping[int, float]
    patience: int
    best: LinearHead
    best_epoch: int = 0
    least: float = np.inf
    history: list[Epoch] = field(default_factory=list)

    def after_iteration(self, intermediate_result: OptimizeResult) -> None:
        # SciPy passes the result so far because the argument has this name.
        head = self.objective.head(intermediate_result.x)
        loss, accuracy, _ = self._figures(head, self.objective.train)
        val_loss, val_accuracy, val_auc = self._figures(head, self.validation, with_auc=True)
        epoch = len(self.history) + 1
        self.history.append({
            "epoch": epoch, "loss": loss, "accuracy": accuracy, "val_loss": val_loss,
            "val_accuracy": val_accuracy, "error_rate": 1 - val_accuracy, "val_auc": val_auc})
        if val_loss < self.least:
            self.best, self.best_epoch, self.least = head, epoch, val_loss
        if epoch - self.best_epoch >= self.patience:
            raise StopIteration

    def _figures(self, head: LinearHead, features: Features, *,
                 with_auc: bool = False) -> tuple[float, float, float | None]:
        """Class-weighted log loss, plain accuracy, and the AUC where it is wanted."""
        scores = head.scores(features.vectors)
        own = scores[np.arange(len(scores)), features.labels]
        loss = -np.log(np.maximum(own, 1e-12)) @ _weighted(features.labels, self.class_weights)
        accuracy = float((scores.argmax(axis=1) == features.labels).mean())
        return float(loss), accuracy, macro_auc(features.labels, scores) if with_auc else None


def fit_linear_head(train: Features, validation: Features, *, class_weights: Mapping[int, float],
                    penalty: float, epochs: int, patience: int = 8) -> tuple[LinearHead, list[Epoch]]:
    """Train a softmax layer with L-BFGS, stopping early, and keep the best of validation.

    Args:
        train: Features of the training films and of their views.
        validation: Features of other patients' films; they choose the epoch and nothing else.
        penalty: L2 penalty relative to the mean loss; it doesn't depend on the number of films.
        epochs: Most iterations; each passes once over the features (a line search may add one).
        patience: Iterations without a better validation loss until training stops.

    Returns:
        The head, and one row per epoch: class-weighted log loss (without the penalty) and plain accuracy.
    """
    scaler = StandardScaler()
    for part in gen_batches(len(train.vectors), _PART):  # all in float64 would take twice their own room
        scaler.partial_fit(train.vectors[part].astype("float64"))
    deviation = np.sqrt(scaler.var_)
    objective = _Objective(train, _weighted(train.labels, class_weights), len(class_weights), penalty,
                           scaler.mean_,
                           np.where(deviation > 1e-6, deviation, 1.0))  # a constant feature stays as it is
    start = np.zeros((train.vectors.shape[1] + 1) * len(class_weights))
    monitor = _Monitor(objective=objective, validation=validation, class_weights=class_weights,
                       patience=patience, best=objective.head(start))
    # The products wait for memory, not for the processor; threads that wait together were measured to take
    # four times as long on a busy machine.
    with threadpool_limits(1, user_api="blas"):
        minimize(objective, start, jac=True, method="L-BFGS-B", callback=monitor.after_iteration,
                 options={"maxiter": epochs, "maxcor": 20})
    return monitor.best, monitor.history


def _weighted(labels: np.ndarray, class_weights: Mapping[int, float]) -> np.ndarray:
    """One weight per film; they sum to 1."""
    weights = np.array([class_weights[int(label)] for label in labels])
    return weights / weights.sum()


def _product(large: np.ndarray, thin: np.ndarray) -> np.ndarray:
    """large @ thin, a column at a time, which BLAS was measured to do in less time than two at once."""
    return np.stack([large @ column for column in np.ascontiguousarray(thin.T)], axis=1)
