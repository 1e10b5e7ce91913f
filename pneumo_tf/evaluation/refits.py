"""A run fitted anew: over other splits of its films, and by the number of patients that it learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.stats import t
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

from pneumo_tf.evaluation.figures import Judged
from pneumo_tf.evaluation.scores import EDGE, Scores

Floats = NDArray[np.float64]

_SIZES = 6  # at least, where the patients suffice
_FITTED = 4  # points at least for a law of three parameters
FOR_TWO = ("auc", "sensitivity", "specificity", "accuracy", "brier")
FOR_SEVERAL = ("macro_auc", "balanced_accuracy", "accuracy")


def split_figures(scores: Scores, threshold: float | None) -> dict[str, float | None]:
    """The figures of one split's test films, each from 0 to 1; None where a class has no films.

    Args:
        scores: Uncalibrated.
        threshold: On the positive's score; None for several classes.

    Raises:
        OptionError: Two classes and no threshold.
    """
    judged = Judged(scores, threshold)
    values = {name: judged.value(name) for name in (FOR_TWO if scores.is_binary else FOR_SEVERAL)}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def over_splits(values: Sequence[float], *, ratio: float) -> dict[str, Any]:
    """Mean, spread and interval of one figure over several splits of the same films, ready for JSON.

    Splits that share films aren't independent: the standard deviation divided by the root of their number
    is far too small. Nadeau and Bengio (2003, Machine Learning 52:239) take the variance of the mean as
    (1 / splits + test / rest) times that of the splits; the interval is Student's with it.

    Args:
        values: One per split, at least two, each from 0 to 1.
        ratio: Number of test patients for each patient of the rest.

    Returns:
        `value` (the mean), `sd`, `least`, `most`, `low` and `high` (95 %; None where all splits gave the
        same, which tells nothing of a width), `method` and `n` (splits).
    """
    each = np.asarray(values, dtype=float)
    splits, mean, sd = len(each), float(each.mean()), float(each.std(ddof=1))
    reach = t.ppf(0.975, splits - 1) * sd * np.sqrt(1 / splits + ratio)
    has_width = each.min() < each.max()
    return {"value": mean, "sd": sd, "least": float(each.min()), "most": float(each.max()),
            "low": float(max(mean - reach, 0)) if has_width else None,
            "high": float(min(mean + reach, 1)) if has_width else None,
            "method": "corrected resampled t (Nadeau and Bengio 2003)", "n": splits}


def sizes(patients: int, *, fewest: int = 10) -> list[int]:
    """Numbers of patients to learn from, rising: all of them, half, a quarter … down to the fewest.

    Where halving would leave less than six sizes, the steps are by the root of 2.
    """
    step = 2.0 if patients >= fewest * 2 ** (_SIZES - 1) else 2.0**0.5
    steps = int(np.log(max(patients, fewest) / fewest) / np.log(step) + 1e-9)
    return [round(patients / step**number) for number in range(steps, -1, -1)]


def nested_order(kinds: Sequence[str], generator: np.random.Generator) -> NDArray[np.intp]:
    """An order of patients whose every beginning holds the kinds in nearly their shares.

    Smaller samples lie within larger ones, and one patient of each kind comes first, so that no class is
    missing where there are at least as many patients as kinds.

    Args:
        kinds: Of each patient, e.g. its class.
        generator: Draws the order within each kind.
    """
    shuffled = generator.permutation(len(kinds))
    names = np.asarray(kinds)[shuffled]
    turn = np.empty(len(names))
    for kind in np.unique(names):
        places = np.flatnonzero(names == kind)
        turn[places] = np.arange(len(places)) / len(places)
    return shuffled[np.argsort(turn, kind="stable")]


def balanced_log_loss(scores: Scores) -> float:
    """Mean negative logarithm of the true class's score, every class counting alike, in nats."""
    values = np.clip(scores.values.astype(np.float64), EDGE, 1)
    return float(log_loss(scores.labels, values / values.sum(axis=1, keepdims=True),
                          labels=np.arange(len(scores.classes)),
                          sample_weight=compute_sample_weight("balanced", scores.labels)))


@dataclass(frozen=True)
class PowerLaw:
    """error = limit + drop · (patients / unit)^(−decay).

    Attributes:
        limit: What no number of patients would get below.
        drop: How far above it the error is at `unit` patients.
        decay: How fast it comes nearer; at 1, twice the patients halve the distance.
        unit: Patients.
    """

    limit: float
    drop: float
    decay: float
    unit: float

    def at(self, patients: float | NDArray[np.floating]) -> Floats:
        """The error with so many patients."""
        return np.asarray(self.limit + self.drop * (np.asarray(patients) / self.unit) ** -self.decay)

    @classmethod
    def fit(cls, patients: Sequence[int], errors: Sequence[float] | Floats) -> PowerLaw | None:
        """The law nearest to errors by rising numbers of patients; None where the search finds none.

        Least squares in which the larger sizes weigh more, as in Figueroa et al. 2012, BMC Med Inform
        Decis Mak 12:8: it is there that the law is carried on.
        """
        y, unit = np.asarray(errors, dtype=float), float(patients[-1])
        x, rank = np.asarray(patients) / unit, np.arange(1, len(patients) + 1)
        least = max(float(y.min()), 1e-9)

        def law(x: Floats, limit: float, drop: float, decay: float) -> Floats:
            return limit + drop * x**-decay

        try:
            best, _ = curve_fit(law, x, y, p0=(least / 2, least / 2, 0.5),
                                sigma=np.sqrt(len(rank) / rank), x_scale=(least, least, 1.0),
                                bounds=((0, 0, 0.02), (np.inf, np.inf, 3)), max_nfev=5000)
        except RuntimeError:  # so SciPy says that it didn't converge
            return None
        limit, drop, decay = map(float, best)
        return cls(limit, drop, decay, unit)

    def gain(self) -> float:
        """How much less the error would be with twice the patients."""
        return float(self.at(self.unit) - self.at(2 * self.unit))


def outlook(patients: Sequence[int], errors: Floats, *, smallest: float) -> dict[str, Any]:
    """How much less the error would be with twice the patients, and whether that can be said; ready for JSON.

    Before the law is carried on from all patients to twice as many it is put to the test: fitted on the
    sizes up to half, it must tell the error with all of them.

    Args:
        patients: Rising sizes.
        errors: (draws, sizes) float, each row one nested draw of patients.
        smallest: Change of the error that is worth a word.

    Returns:
        `value` (the gain expected from doubling), `low` and `high` (its range over the draws), `method`,
        `n` (draws), `patients` (doubled), `law`, `miss` (error of the rehearsal), `smallest`, and `verdict`:
        "grows" where every draw gains so much, "flat" where none does, or "unclear" with a reason as `why`:
        "apart" (the draws differ), or, without a `value`, "few" (sizes) or "unlawful".
    """
    absent = {"value": None, "low": None, "high": None,
              "method": "inverse power law (Figueroa 2012), range over the draws", "n": len(errors),
              "patients": 2 * patients[-1], "smallest": smallest, "verdict": "unclear"}
    half = [place for place, size in enumerate(patients) if size <= patients[-1] / 2 + 0.5]
    if len(half) < _FITTED:
        return {**absent, "why": "few"}
    mean = errors.mean(axis=0)
    rehearsal = PowerLaw.fit([patients[place] for place in half], mean[half])
    law, *own = (PowerLaw.fit(patients, row) for row in (mean, *errors))
    gains = [each.gain() for each in own if each]
    if rehearsal is None or law is None or len(gains) < len(own):
        return {**absent, "why": "unlawful"}
    gain, miss = law.gain(), abs(float(rehearsal.at(patients[-1])) - float(mean[-1]))
    if miss > max(smallest, gain / 2):
        return {**absent, "why": "unlawful", "miss": miss}
    said = {**absent, "value": gain, "low": min(gains), "high": max(gains), "miss": miss}
    if min(gains) < smallest <= max(gains):
        return {**said, "why": "apart"}
    return {**said, "verdict": "grows" if min(gains) >= smallest else "flat", "law": asdict(law)}
