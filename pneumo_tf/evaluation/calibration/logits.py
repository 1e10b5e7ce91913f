"""Scores as logits, and as the columns that a calibrator maps one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from pneumo_tf.evaluation.scores import Scores

Floats = NDArray[np.float64]

# The exported model computes in float32: nearer to 0 or 1 its scores hold no information.
EDGE = 1e-7


def logits_of(scores: Scores) -> Floats:
    """(n, K) float: two classes by the positive's score alone, since other layers than a softmax exist."""
    if not scores.is_binary:
        return np.log(np.clip(scores.values.astype(np.float64), EDGE, 1))
    found = logit(np.clip(scores.positive_scores, EDGE, 1 - EDGE))
    return np.outer(found, np.eye(2)[scores.positive_index])


def log_losses(scores: Scores) -> Floats:
    """(n,) float: minus the logarithm of the probability that each film's own class was given."""
    logits = logits_of(scores)
    top = logits.max(axis=1, keepdims=True)
    total = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return total - logits[np.arange(len(logits)), scores.labels]


def columns_of(scores: Scores) -> tuple[Floats, NDArray[np.bool_]]:
    """What is calibrated: the positive's scores, or of several classes each against the rest.

    Returns:
        Scores (n, 1) or (n, K) in [0, 1], and whether each film is of that class, of the same shape.
    """
    indices = [scores.positive_index] if scores.is_binary else list(range(len(scores.classes)))
    values = np.asarray(scores.values[:, indices], dtype=np.float64)
    return values, scores.labels[:, None] == np.array(indices)


def from_columns(scores: Scores, columns: Floats) -> Scores:
    """The same films with probabilities from calibrated columns; of several classes they are scaled to sum
    to 1 (Zadrozny and Elkan 2002, KDD).
    """
    if not scores.is_binary:
        return replace(scores, values=columns / columns.sum(axis=1, keepdims=True))
    pair = np.column_stack([1 - columns[:, 0], columns[:, 0]])
    return replace(scores, values=pair if scores.positive_index == 1 else pair[:, ::-1])


def why_unfit(validation: Scores) -> str:
    """Why no calibrator can be fitted on these films; "" where one can.

    "one_class_only", "missing_class" (of several), or "tied_scores": all films have the same.
    """
    present = len(np.unique(validation.labels))
    if present < len(validation.classes):
        return "one_class_only" if present == 1 else "missing_class"
    values, _ = columns_of(validation)
    return "tied_scores" if (np.ptp(values, axis=0) == 0).any() else ""
