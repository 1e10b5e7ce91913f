"""Would more films help? The error by the number of patients learnt from, and where it leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

from pneumo_tf.evaluation.scores import EDGE, Scores

Floats = NDArray[np.float64]

METHOD = "inverse power law (Figueroa 2012), range over the draws"
_SIZES = 6  # at least, where the patients suffice
_FITTED = 4  # points at least for a law of three parameters


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
        found, unit = np.asarray(errors, dtype=float), float(patients[-1])
        x, rank = np.asarray(patients) / unit, np.arange(1, len(patients) + 1)
        least = max(float(found.min()), 1e-9)

        def law(x: Floats, limit: float, drop: float, decay: float) -> Floats:
            return limit + drop * x**-decay

        try:
            best, _ = curve_fit(law, x, found, p0=(least / 2, least / 2, 0.5),
                                sigma=np.sqrt(len(rank) / rank), x_scale=(least, least, 1.0),
                                bounds=((0, 0, 0.02), (np.inf, np.inf, 3)), max_nfev=5000)
        except RuntimeError:  # so SciPy says that it didn't converge
            return None
        limit, drop, decay = map(float, best)
        return cls(limit, drop, decay, unit)


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
        "grows", "flat", or "unclear". Where nothing can be said `value` is None and `why` is "few" (sizes)
        or "unlawful".
    """
    absent = {"value": None, "low": None, "high": None, "method": METHOD, "n": len(errors),
              "patients": 2 * patients[-1], "smallest": smallest, "verdict": "unclear"}
    half = [place for place, size in enumerate(patients) if size <= patients[-1] / 2 + 0.5]
    if len(half) < _FITTED:
        return {**absent, "why": "few"}
    mean = errors.mean(axis=0)
    rehearsal = PowerLaw.fit([patients[place] for place in half], mean[half])
    law, *own = (PowerLaw.fit(patients, row) for row in (mean, *errors))
    gains = [_gain(each, patients[-1]) for each in own if each]
    if rehearsal is None or law is None or len(gains) < len(own):
        return {**absent, "why": "unlawful"}
    gain, miss = _gain(law, patients[-1]), abs(float(rehearsal.at(patients[-1])) - float(mean[-1]))
    if miss > max(smallest, gain / 2):
        return {**absent, "why": "unlawful", "miss": miss}
    return {**absent, "value": gain, "low": min(gains), "high": max(gains), "miss": miss,
            "verdict": "grows" if gain >= smallest else "flat", "law": asdict(law)}


def _gain(law: PowerLaw, patients: int) -> float:
    """How much less the error would be with twice the patients."""
    return float(law.at(patients) - law.at(2 * patients))
