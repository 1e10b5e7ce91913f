"""The threshold, fixed on the validation split and never on the test split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import LabelError, OptionError
from pneumo_tf.evaluation.scores import Scores

Floats = NDArray[np.float64]

DEFAULT = "sensitivity>=0.95"
# The rule whose threshold travels. Fixed on clean validation films, a sensitivity of 0.95 became 0.985 with a
# specificity of 0.82 on independent films, where 0.5 would have given 0.97 and 0.89: a bound on one side puts
# the threshold where few films lie, and films from elsewhere move across it all at once. The balanced point
# of films that were perturbed in many ways moves least; where they can't tell thresholds apart, 0.5 is the
# one that favours no class.
STRESSED = "stressed"
_RULE = re.compile(r"(?P<kind>youden|sensitivity|specificity|cost|stressed)"
                   r"(?:>?=(?P<bound>[^@]+)(?:@(?P<share>.+))?)?")


@dataclass(frozen=True)
class Rule:
    """How a threshold is chosen.

    Attributes:
        kind: "youden", "stressed", "sensitivity", "specificity" or "cost".
        bound: The sensitivity or specificity to reach, in (0, 1], of "stressed" the sensitivity; or how many
            false alarms are as bad as one missed film, above 0. None for youden, may be None for stressed.
        prevalence: Share of positives where the cost is counted, in (0, 1); None for that of the validation
            films. Of "cost" alone.
    """

    kind: str = "youden"
    bound: float | None = None
    prevalence: float | None = None

    @property
    def bounds_a_share(self) -> bool:
        """Whether it asks for a sensitivity or specificity; else it weighs one kind of error by the other."""
        return self.kind != "cost" and self.bound is not None

    def worth(self, sensitivity: Floats, specificity: Floats, *, share: float) -> Floats:
        """What thresholds with these rates are worth, higher being better.

        Args:
            sensitivity: (t,)
            specificity: (t,)
            share: Of positives among the films.

        Raises:
            LabelError: None reaches what is asked for.
        """
        if self.bound is None:
            return sensitivity + specificity
        if self.kind == "cost":
            positives = self._positives(share)
            return -(positives * self.bound * (1 - sensitivity) + (1 - positives) * (1 - specificity))
        bounded, free = (specificity, sensitivity) if self.kind == "specificity" \
            else (sensitivity, specificity)
        reached = bounded >= self.bound - 1e-9
        if not reached.any():
            raise LabelError("The validation films must allow the operating point that is asked for.",
                             received=f"{self}, where at most {bounded.max():.3f} can be reached",
                             remedy="Ask for less, or name another rule.")
        return np.where(reached, free, -1)

    def likelihood_ratio(self, share: float) -> float:
        """How many times as likely among positives as among others a score is from which calling it pays.

        Only of a rule that weighs errors. `share` is that of positives among the films.
        """
        positives = self._positives(share)
        return (1 - positives) / (positives * self.bound) if self.bound else 1.0

    def _positives(self, share: float) -> float:
        return share if self.prevalence is None else self.prevalence

    def __str__(self) -> str:
        """As `parse_rule` reads it, e.g. "sensitivity>=0.95", "cost=10@0.02"."""
        if self.bound is None:
            return self.kind
        share = "" if self.prevalence is None else f"@{self.prevalence:g}"
        return f"{self.kind}{'=' if self.kind == 'cost' else '>='}{self.bound:g}{share}"


def parse_rule(text: str) -> Rule:
    """Read "youden", "stressed", "stressed=0.95", "sensitivity=0.95", "specificity=0.9", "cost=10" or
    "cost=10@0.02".

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
        return rule in (Rule(), Rule(STRESSED))
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
        stressed_films: Number of perturbed copies of such films that had a say.
    """

    threshold: float | None
    rule: str
    sensitivity: float | None
    specificity: float | None
    films: int
    stressed_films: int = 0


def choose(validation: Scores, *, rule: str = "youden",
           stressed: Sequence[Scores] = ()) -> OperatingPoint:
    """Fix the threshold on the validation films.

    "youden" maximises sensitivity + specificity − 1 (Youden 1950, Cancer 3:32); "sensitivity=X" takes the
    highest specificity that still finds X of the positives, "specificity=X" the highest sensitivity that
    still leaves X of the others alone; "cost=X" the least expected cost, where a missed film costs X false
    alarms. "stressed" is youden, and "stressed=X" sensitivity=X, over these films and the stressed ones
    together; without a bound, thresholds within one standard error of the best count as equally good there,
    since the films can't tell them apart (Breiman et al. 1984, Classification and regression trees). Of
    equally good thresholds, the one nearest 0.5. Several classes have no threshold: the highest score wins.

    Args:
        validation: Uncalibrated scores of films that training hasn't seen.
        rule: As `parse_rule` reads it.
        stressed: Scores of some of those films, once for each perturbation. "stressed" alone asks for them.

    Raises:
        OptionError: An unknown rule, or a bound without meaning.
        LabelError: Validation films of one class only, or a specificity that no threshold reaches.
    """
    wanted = parse_rule(rule)
    if not validation.is_binary:
        return OperatingPoint(None, "argmax", None, None, len(validation.ids))
    heard = stressed if wanted.kind == STRESSED else ()
    sources = (validation, *heard)
    thresholds = _candidates(np.concatenate([films.positive_scores for films in sources]))
    pooled = _rates(sources, thresholds)
    share = float(np.mean(validation.labels == validation.positive_index))
    worth = wanted.worth(*pooled, share=share)
    within = _standard_error(validation, pooled, worth) if heard and wanted.bound is None else 0.0
    best = _best(thresholds, worth, within=within)
    sensitivity, specificity = _rates((validation,), thresholds[[best]])
    return OperatingPoint(float(thresholds[best]), str(wanted), float(sensitivity[0]), float(specificity[0]),
                          len(validation.ids), sum(len(films.ids) for films in heard))


def _standard_error(validation: Scores, rates: tuple[Floats, Floats], worth: Floats) -> float:
    """Of the best worth: a film counts once, however often it was perturbed."""
    positives = int(np.sum(validation.labels == validation.positive_index))
    best = int(worth.argmax())
    return float(np.sqrt(sum(rate[best] * (1 - rate[best]) / films for rate, films in
                             zip(rates, (positives, len(validation.ids) - positives), strict=True))))


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


def _rates(sources: Sequence[Scores], thresholds: Floats) -> tuple[Floats, Floats]:
    """Sensitivity and specificity at each threshold, over all films together."""
    is_positive = np.concatenate([films.labels == films.positive_index for films in sources])
    if is_positive.all() or not is_positive.any():
        raise LabelError("An operating point needs validation films of both classes.",
                         received=f"{is_positive.sum()} of {len(is_positive)} films are "
                                  f"{sources[0].positive}",
                         remedy="Use more films, or a larger share for validation.")
    values = np.concatenate([films.positive_scores for films in sources])
    positives, negatives = np.sort(values[is_positive]), np.sort(values[~is_positive])
    missed = np.searchsorted(positives, thresholds, side="left")
    rejected = np.searchsorted(negatives, thresholds, side="left")
    return 1 - missed / len(positives), rejected / len(negatives)


def _best(thresholds: Floats, worth: Floats, *, within: float) -> int:
    """Index of the threshold nearest to 0.5 among those whose worth is the highest, or nearly so.

    0.5 is where the classes weigh the same, so it lies farthest from both when films from elsewhere score a
    little higher or lower than these.

    Args:
        within: How far below the highest still counts.
    """
    # Rounded, because sums of ratios that are equal on paper differ in the last digit.
    equal = np.round(worth, 9) >= np.round(worth.max() - within, 9)
    return int(np.argmin(np.where(equal, np.abs(thresholds - 0.5), np.inf)))
