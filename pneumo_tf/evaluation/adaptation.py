"""A run fitted to a place by labelled films from there: a threshold, a calibrator, and what they gain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.model_selection import StratifiedGroupKFold

from pneumo_tf.errors import LabelError
from pneumo_tf.evaluation.calibration.calibrators import Calibrator, Platt
from pneumo_tf.evaluation.figures import Judged
from pneumo_tf.evaluation.intervals import Estimate, resampled
from pneumo_tf.evaluation.operating_point import Rule, choose
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.statistics import less

# Fewer films than these, or patients of a class, fix neither a threshold nor a line.
FEWEST_FILMS, FEWEST_PATIENTS = 50, 10
_FOLDS, _INNER_FOLDS = 10, 5
_SHARES = ("sensitivity", "specificity", "ppv", "npv")
FIGURES_TOLD = (*_SHARES, "balanced_accuracy", "brier", "log_loss")


@dataclass(frozen=True)
class Point:
    """What scores of two classes are held against: a threshold on the positive's score, and a calibrator."""

    threshold: float
    calibrator: Calibrator


@dataclass(frozen=True)
class _Seen:
    """What was said of films: whether each is called positive, (n,) bool, and its probabilities."""

    called: NDArray[np.bool_]
    probabilities: Scores

    def judged(self, name: str) -> Judged:
        """What the figure of this name is computed from."""
        if name in ("brier", "log_loss"):
            return Judged(self.probabilities)
        positive = self.probabilities.positive_index
        calls = np.where(self.called, positive, 1 - positive)
        return Judged(replace(self.probabilities, values=np.eye(2)[calls]), 0.5)

    def value(self, name: str) -> float:
        """A figure of all films."""
        return self.judged(name).value(name)

    def worth(self, rule: Rule) -> float:
        """What the calls are worth by a rule that weighs errors."""
        sensitivity, specificity = (np.array(self.value(name)) for name in ("sensitivity", "specificity"))
        share = float(np.mean(self.probabilities.labels == self.probabilities.positive_index))
        return float(rule.worth(sensitivity, specificity, share=share))


def check_enough(labels: Sequence[str], groups: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse films that are too few to fix anything by, before one of them is scored.

    Args:
        labels: Of each film.
        groups: The patient of each film.
        classes: Of the run.

    Raises:
        LabelError: Not two classes, fewer than 50 films, or fewer than 10 patients of a class.
    """
    if len(classes) != 2:
        raise LabelError("A run is fitted to a place by a threshold, so it needs two classes.",
                         received=", ".join(classes), remedy="Take a run of two classes.")
    if len(labels) < FEWEST_FILMS:
        raise LabelError(f"Fitting a run to a place takes at least {FEWEST_FILMS} labelled films.",
                         received=str(len(labels)),
                         remedy=f"Label at least {FEWEST_FILMS - len(labels)} more.")
    patients = {name: len({group for label, group in zip(labels, groups, strict=True) if label == name})
                for name in classes}
    rare = min(classes, key=lambda name: patients[name])
    if patients[rare] < FEWEST_PATIENTS:
        raise LabelError(f"Fitting a run to a place takes films of at least {FEWEST_PATIENTS} patients of "
                         "each class.", received=f"{patients[rare]} of {rare}",
                         remedy=f"Label films of at least {FEWEST_PATIENTS - patients[rare]} more.")


def fit_point(films: Scores, own: Point, rule: Rule, *, seed: int = 42) -> Point:
    """The threshold and the calibrator that the films give reason for; where they give none, the run's own.

    A line is fitted to the logits (Platt). A rule that weighs errors takes its threshold from there, where
    the odds of that line pass what the rule asks for: two numbers that all films have a say in move less from
    sample to sample than the best threshold among the films, which copies their chance. A rule that asks for
    a share takes its threshold from the films themselves. By cross-validation over patients calibrator and
    weighed threshold are held against the run's own, and one that isn't better isn't taken.

    Args:
        films: Uncalibrated scores of two classes, as of `check_enough`.
        own: The run's.
        rule: How the threshold is fixed.
        seed: Of the folds.

    Raises:
        LabelError: The films don't allow what the rule asks for.
    """
    line, before = _by_line(films, own, rule), _held_against(own, films)
    seen = _cross_fitted(films, lambda known: _by_line(known, own, rule), folds=_INNER_FOLDS, seed=seed)
    is_truer = seen.value("log_loss") < before.value("log_loss")
    calibrator = line.calibrator if is_truer else own.calibrator
    if rule.bounds_a_share:
        threshold = choose(films, rule=str(rule)).threshold
        assert threshold is not None
        return Point(threshold, calibrator)
    return Point(line.threshold if seen.worth(rule) > before.worth(rule) else own.threshold, calibrator)


def gains(films: Scores, own: Point, point: Point, rule: Rule, *, seed: int = 42,
          resamples: int = 1000) -> dict[str, dict[str, Estimate]]:
    """What a point of `fit_point` gains on patients that it wasn't fitted on, ready for JSON.

    Each tenth of the patients is judged by what the others gave, and beside it by the run's own point. What
    is the run's own in `point` gains nothing. Where little is gained the interval is too narrow, since it
    knows nothing of how the point itself varies; it was seen to claim no gain that there wasn't
    (benchmarks/adaptation.py).

    Returns:
        By name the figures `before`, `after` and `difference`: of the calls sensitivity, specificity,
        predictive values and balanced accuracy; of the probabilities brier and log_loss. Differences are over
        the same resamples of patients.
    """
    before = _held_against(own, films)
    after = _cross_fitted(films, lambda known: fit_point(known, own, rule, seed=seed), folds=_FOLDS,
                          seed=seed)
    sides = {"before": before, "after": _Seen(
        before.called if point.threshold == own.threshold else after.called,
        before.probabilities if point.calibrator == own.calibrator else after.probabilities)}
    content = {}
    for name in FIGURES_TOLD:
        judged = {side: seen.judged(name) for side, seen in sides.items()}
        statistics = {side: of.statistic(name) for side, of in judged.items()}
        statistics["difference"] = less(statistics["after"], statistics["before"])
        content[name] = resampled(statistics, films.groups, seed=seed, resamples=resamples)
        if name in _SHARES:
            content[name] |= {side: of.share(name) for side, of in judged.items()}
    return content


def _by_line(films: Scores, own: Point, rule: Rule) -> Point:
    """By Platt's line; the run's own point where no line rises with the scores."""
    line = Platt.fit(films)
    if line.why:
        return own
    if rule.bounds_a_share:
        return replace(own, calibrator=line)
    share = float(np.mean(films.labels == films.positive_index))
    intercept, slope = line.lines[0]
    # On the line the odds at a score are those of the share times the likelihood ratio of the score.
    wanted = logit(share) + np.log(rule.likelihood_ratio(share))
    return Point(float(expit((wanted - intercept) / slope)), line)


def _held_against(point: Point, films: Scores) -> _Seen:
    return _Seen(films.positive_scores >= point.threshold, point.calibrator.apply(films))


def _cross_fitted(films: Scores, fit: Callable[[Scores], Point], *, folds: int, seed: int) -> _Seen:
    """Each part of the patients by the point that was fitted on the others."""
    called, values = np.zeros(len(films.ids), bool), np.zeros((len(films.ids), 2))
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for known, rest in parts.split(films.values, films.labels, films.groups):
        seen = _held_against(fit(films.take(known)), films.take(rest))
        called[rest], values[rest] = seen.called, seen.probabilities.values
    return _Seen(called, replace(films, values=values))
