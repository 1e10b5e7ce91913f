"""The threshold, fixed on the validation split and never on the test split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import LabelError, OptionError
from pneumo_tf.evaluation.scores import Scores

Floats = NDArray[np.float64]
Rule = Literal["youden", "sensitivity"]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on the positive's score, how it was chosen, and what it gave on validation.

    Attributes:
        threshold: A film is called positive where its score reaches this; None for several classes.
        rule: "youden", "sensitivity>=0.95" (with its bound), or "argmax" for several classes.
        sensitivity: On validation, in [0, 1]; None for several classes.
        specificity: On validation, in [0, 1]; None for several classes.
        films: Number of validation films.
    """

    threshold: float | None
    rule: str
    sensitivity: float | None
    specificity: float | None
    films: int


def choose(validation: Scores, *, rule: Rule = "youden", at_least: float = 0.95) -> OperatingPoint:
    """Fix the threshold on the validation films.

    "youden" maximises sensitivity + specificity − 1 (Youden 1950, Cancer 3:32); "sensitivity" takes the
    highest specificity that still finds `at_least` of the positives. Of equally good thresholds, the one
    nearest 0.5. Several classes have no threshold: the highest score wins.

    Raises:
        OptionError: An unknown rule, or `at_least` outside (0, 1].
        LabelError: Validation films of one class only.
    """
    if rule not in ("youden", "sensitivity"):
        raise OptionError("The operating point is chosen by youden or by sensitivity.", received=repr(rule),
                          remedy="Name one of the two.")
    if not 0 < at_least <= 1:
        raise OptionError("The sensitivity to reach must lie above 0 and not above 1.",
                          received=str(at_least), remedy="Give a share such as 0.95.")
    if not validation.is_binary:
        return OperatingPoint(None, "argmax", None, None, len(validation.ids))
    thresholds = _candidates(validation.positive_scores)
    sensitivity, specificity = _rates(validation, thresholds)
    if rule == "youden":
        name: str = rule
        worth = sensitivity + specificity
    else:
        reached = sensitivity >= at_least - 1e-9
        name = f"sensitivity>={at_least:g}"
        worth = np.where(reached, specificity, -1)
    best = _best(thresholds, worth)
    return OperatingPoint(float(thresholds[best]), name, float(sensitivity[best]), float(specificity[best]),
                          len(validation.ids))


def _candidates(scores: Floats) -> Floats:
    """0, which calls every film positive, and the midpoints between neighbouring distinct scores.

    A threshold that equals a film's score flips that film as soon as another engine computes the score
    with another last digit; halfway between two films it is as far from both as can be. The outermost
    neighbours are 0 and 1.
    """
    distinct = np.unique(np.concatenate([[0.0], scores, [1.0]]))
    low, high = distinct[:-1], distinct[1:]
    middle = low + (high - low) / 2
    # Neighbours one bit apart have nothing between them: the higher one still parts them.
    return np.concatenate([[0.0], np.where(middle > low, middle, high)])


def _rates(scores: Scores, thresholds: Floats) -> tuple[Floats, Floats]:
    """Sensitivity and specificity at each threshold."""
    is_positive = scores.labels == scores.positive_index
    if is_positive.all() or not is_positive.any():
        raise LabelError("An operating point needs validation films of both classes.",
                         received=f"{is_positive.sum()} of {len(is_positive)} films are {scores.positive}",
                         remedy="Use more films, or a larger share for validation.")
    positives = np.sort(scores.positive_scores[is_positive])
    negatives = np.sort(scores.positive_scores[~is_positive])
    missed = np.searchsorted(positives, thresholds, side="left")
    rejected = np.searchsorted(negatives, thresholds, side="left")
    return 1 - missed / len(positives), rejected / len(negatives)


def _best(thresholds: Floats, worth: Floats) -> int:
    """Index of the threshold with the highest worth, of equal ones the nearest to 0.5.

    0.5 is where the classes weigh the same, so it lies farthest from both when films from elsewhere score a
    little higher or lower than these.
    """
    # Rounded, because sums of ratios that are equal on paper differ in the last digit.
    return int(np.lexsort((np.abs(thresholds - 0.5), -np.round(worth, 9)))[0])
