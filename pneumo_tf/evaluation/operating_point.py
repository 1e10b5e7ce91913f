"""The threshold, fixed on the validation split and never on the test split."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import LabelError, OptionError
from pneumo_tf.evaluation.scores import Scores

Floats = NDArray[np.float64]

DEFAULT = "sensitivity>=0.95"
_RULE = re.compile(r"(?P<kind>youden|sensitivity|specificity|cost)"
                   r"(?:>?=(?P<bound>[^@]+)(?:@(?P<share>.+))?)?")


@dataclass(frozen=True)
class Rule:
    """How a threshold is chosen.

    Attributes:
        kind: "youden", "sensitivity", "specificity" or "cost".
        bound: The sensitivity or specificity to reach, in (0, 1]; or how many false alarms are as bad as one
            missed film, above 0. None for youden.
        prevalence: Share of positives where the cost is counted, in (0, 1); None for that of the validation
            films. Of "cost" alone.
    """

    kind: str = "youden"
    bound: float | None = None
    prevalence: float | None = None

    def __str__(self) -> str:
        """As `parse_rule` reads it, e.g. "sensitivity>=0.95", "cost=10@0.02"."""
        if self.bound is None:
            return self.kind
        share = "" if self.prevalence is None else f"@{self.prevalence:g}"
        return f"{self.kind}{'=' if self.kind == 'cost' else '>='}{self.bound:g}{share}"


def parse_rule(text: str) -> Rule:
    """Read "youden", "sensitivity=0.95", "specificity=0.9", "cost=10" or "cost=10@0.02".

    The last says: a missed film is as bad as 10 false alarms where 2 % of the films are positive.

    Raises:
        OptionError: Anything else, or a number that has no meaning there.
    """
    read = _RULE.fullmatch(text.strip())
    kind, *numbers = read.groups() if read else ("", None, None)
    try:
        rule = Rule(kind, *(None if number is None else float(number) for number in numbers))
    except ValueError:
        rule = Rule("")
    if not _has_meaning(rule):
        raise OptionError("The operating point is fixed by youden, by a sensitivity or specificity above 0 "
                          "and not above 1, or by a cost above 0, if need be at a share of positives between "
                          "0 and 1.", received=repr(text),
                          remedy="Give youden, sensitivity=0.95, specificity=0.9, cost=10 or cost=10@0.02.")
    return rule


def _has_meaning(rule: Rule) -> bool:
    if rule.kind == "youden" or rule.bound is None:
        return rule == Rule()
    if rule.kind == "cost":
        return 0 < rule.bound < float("inf") and (rule.prevalence is None or 0 < rule.prevalence < 1)
    return 0 < rule.bound <= 1 and rule.prevalence is None


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on the positive's score, how it was chosen, and what it gave on validation.

    Attributes:
        threshold: A film is called positive where its score reaches this; None for several classes.
        rule: As `parse_rule` reads it, or "argmax" for several classes.
        sensitivity: On validation, in [0, 1]; None for several classes.
        specificity: On validation, in [0, 1]; None for several classes.
        films: Number of validation films.
    """

    threshold: float | None
    rule: str
    sensitivity: float | None
    specificity: float | None
    films: int


def choose(validation: Scores, *, rule: str = "youden") -> OperatingPoint:
    """Fix the threshold on the validation films.

    "youden" maximises sensitivity + specificity − 1 (Youden 1950, Cancer 3:32); "sensitivity=X" takes the
    highest specificity that still finds X of the positives, "specificity=X" the highest sensitivity that
    still leaves X of the others alone; "cost=X" the least expected cost, where a missed film costs X false
    alarms. Of equally good thresholds, the one nearest 0.5. Several classes have no threshold: the highest
    score wins.

    Args:
        validation: Uncalibrated scores of films that training hasn't seen.
        rule: As `parse_rule` reads it.

    Raises:
        OptionError: An unknown rule, or a bound without meaning.
        LabelError: Validation films of one class only, or a specificity that no threshold reaches.
    """
    wanted = parse_rule(rule)
    if not validation.is_binary:
        return OperatingPoint(None, "argmax", None, None, len(validation.ids))
    thresholds = _candidates(validation.positive_scores)
    sensitivity, specificity = _rates(validation, thresholds)
    share = float(np.mean(validation.labels == validation.positive_index))
    # Rounded, because sums of ratios that are equal on paper differ in the last digit. At 0.5 the classes
    # weigh the same, so it lies farthest from both when films from elsewhere score a little otherwise.
    worth = np.round(_worth(wanted, sensitivity, specificity, share=share), 9)
    best = np.lexsort((np.abs(thresholds - 0.5), -worth))[0]
    return OperatingPoint(float(thresholds[best]), str(wanted), float(sensitivity[best]),
                          float(specificity[best]), len(validation.ids))


def _worth(rule: Rule, sensitivity: Floats, specificity: Floats, *, share: float) -> Floats:
    """What each threshold is worth, higher being better."""
    if rule.bound is None:
        return sensitivity + specificity
    if rule.kind == "cost":
        positives = share if rule.prevalence is None else rule.prevalence
        return -(positives * rule.bound * (1 - sensitivity) + (1 - positives) * (1 - specificity))
    bounded, free = (sensitivity, specificity) if rule.kind == "sensitivity" else (specificity, sensitivity)
    reached = bounded >= rule.bound - 1e-9
    if not reached.any():
        raise LabelError("The validation films must allow the operating point that is asked for.",
                         received=f"{rule}, where at most {bounded.max():.3f} can be reached",
                         remedy="Ask for less, or name another rule.")
    return np.where(reached, free, -1)


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
