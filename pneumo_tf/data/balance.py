"""Equal classes by patient, and the weights that make unequal ones count alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.patients import owner

STAGE = "chosen per class"


def take_per_class(cohort: Cohort, count: int, *, seed: int) -> Cohort:
    """`count` films of every class, or all of a class that has fewer.

    Whole patients are taken in a seeded order, so that no film's chances hang on the order of the rows;
    the last patient is cut. A film whose patient is unknown stands for itself. The films keep their order.

    Raises:
        ValueError: `count` below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1. Received: {count}")
    chosen = {film for label in cohort.classes for film in _of_class(cohort, label, seed)[:count]}
    return cohort.keep(lambda film: film.id in chosen, stage=STAGE, reason=f"beyond --per-class {count}")


def _of_class(cohort: Cohort, label: str, seed: int) -> list[str]:
    """Ids of one class, patient after patient in a seeded order."""
    patients: dict[str, list[str]] = {}
    for film in cohort:
        if film.label == label:
            patients.setdefault(owner(film), []).append(film.id)
    owners = sorted(patients)
    order = np.random.default_rng(seed).permutation(len(owners))
    return [film for index in order for film in sorted(patients[owners[index]])]


def class_weights(labels: Sequence[str]) -> dict[str, float]:
    """Weight of each class, n / (K · n_k): every class counts alike, and the mean over films is 1.

    Args:
        labels: Class name of each film, n of them in K classes.
    """
    classes = sorted(set(labels))
    weights = compute_class_weight("balanced", classes=np.array(classes), y=np.array(labels))
    return dict(zip(classes, map(float, weights), strict=True))
