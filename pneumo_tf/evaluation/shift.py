"""Whether films that come in are like those that a run was judged on, before any label of them is known.

A classifier is asked to tell the ones from the others by their features (Lopez-Paz and Oquab, Revisiting
Classifier Two-Sample Tests, ICLR 2017), and facts of both are compared one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.evaluation.intervals import delong, newcombe_auc
from pneumo_tf.evaluation.statistics import auc_of

FEWEST = 10  # films that are compared
KEPT = 500  # films of each side, at most
FRAMING = ("aspect", "near_black", "lungs_width", "lungs_height")  # of the original, as are its megapixels
FACTS = ("megapixels", *FRAMING, "brightness", "contrast", "sharpness")
_FOLDS, _REPEATS = 5, 4
# The films that are told apart have taught the classifier, each in other folds: the area of like films swings
# by 1.3 times as much as between films that had no part in it (benchmarks/refusal.py).
_WORTH = 0.6  # of a film for the interval
_KNOWN = 0.5  # share of the films of either side that must have a fact
_SURE = 0.05  # probability that any fact is said to differ where none does
# What a fact that is higher (+) or lower (-) than the run's own is like in the perturbation table.
_LIKE: Mapping[tuple[str, int], tuple[str, ...]] = {
    ("megapixels", -1): ("half_size", "third_size", "blur"),
    ("aspect", 1): ("wider",), ("aspect", -1): ("taller", "crop_sides"),
    ("brightness", 1): ("brighter", "gamma_0.6"), ("brightness", -1): ("darker", "gamma_1.6"),
    ("contrast", 1): ("more_contrast", "clahe"), ("contrast", -1): ("less_contrast",),
    ("near_black", 1): ("zoom_0.8", "zoom_0.9", "border"),
    ("near_black", -1): ("zoom_1.2", "zoom_1.4", "crop"),
    ("sharpness", 1): ("sharpen", "noise"), ("sharpness", -1): ("blur", "half_size", "third_size"),
    ("lungs_width", 1): ("zoom_1.2", "zoom_1.4", "crop_sides"),
    ("lungs_width", -1): ("zoom_0.8", "zoom_0.9"),
    ("lungs_height", 1): ("zoom_1.2", "zoom_1.4", "crop"), ("lungs_height", -1): ("zoom_0.8", "zoom_0.9")}

Floats = NDArray[np.floating]
_Row = tuple[Floats, Floats]


@dataclass(frozen=True)
class Sample:
    """Some films of either side.

    Attributes:
        coordinates: float (n, r), of their features, each divided by its spread over the training films.
        facts: float32 (n, len(FACTS)), NaN where a fact isn't known: of one precision on both sides, or equal
            films would seem to differ in all.
    """

    coordinates: Floats
    facts: Floats


class Reservoir:
    """A random sample of all films that are put in, whatever their number (Vitter 1985, ACM TOMS 11:37)."""

    def __init__(self, *, seed: int = 0, most: int = KEPT) -> None:
        self.films = 0
        self._rng, self._most = np.random.default_rng(seed), most
        self._kept: list[Any] = []

    def add(self, coordinates: Floats, facts: Floats) -> None:
        """Put one film in: its coordinates (r,) and its facts (len(FACTS),)."""
        self._put((coordinates, facts))

    def hold(self, film: Any) -> None:
        """Put one film in that is measured later, if it is in the sample then."""
        self._put(film)

    def _put(self, film: Any) -> None:
        self.films += 1
        if len(self._kept) < self._most:
            self._kept.append(film)
        elif (place := int(self._rng.integers(self.films))) < self._most:
            self._kept[place] = film

    def measure_held(self, measure: Callable[[list[Any]], Iterable[_Row | None]]) -> None:
        """Measure the films that are held, of which those that can't be (None) leave the sample."""
        held = [film for film in self._kept if not isinstance(film, tuple)]
        rows = iter(measure(held) if held else ())
        kept = [film if isinstance(film, tuple) else next(rows) for film in self._kept]
        self._kept = [row for row in kept if row is not None]
        self.films -= len(kept) - len(self._kept)

    def sample(self) -> Sample:
        """The films that are kept, all of them measured."""
        coordinates, facts = zip(*self._kept, strict=True)
        return Sample(np.array(coordinates, np.float32), np.array(facts, np.float32))


@dataclass(frozen=True)
class Fact:
    """A fact of which the incoming films differ from the run's own.

    Attributes:
        name: Of FACTS.
        own, incoming: Medians.
        effect: How much more often an incoming film has more of it than less, -1 to 1 (Cliff's delta), with
            its 95 % interval.
        like: Perturbations that change it so.
    """

    name: str
    own: float
    incoming: float
    effect: float
    low: float
    high: float
    like: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What a perturbation that is like the difference has done to the run's specificity.

    Attributes:
        perturbation: Its name.
        before, after: Specificity on films as they are and perturbed, in 0-1.
        low, high: The 95 % interval of `after`; None where it isn't known.
    """

    perturbation: str
    before: float
    after: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class BatchDifference:
    """How incoming films differ from those that the run was judged on.

    Attributes:
        films: How many came in; a random sample of at most 500 is compared.
        compared, own: Films on either side.
        auc: How well the two can be told apart: 0.5 not at all, 1 always. With its 95 % interval.
        facts: Those that differ, the strongest first.
        cost: The like perturbation that has lowered specificity most; None where none is known.
    """

    films: int
    compared: int
    own: int
    auc: float
    low: float
    high: float
    facts: tuple[Fact, ...] = field(default=())
    cost: Cost | None = None

    @property
    def differs(self) -> bool:
        """Whether the difference is more than chance."""
        return self.low > 0.5

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON holds it."""
        return {**asdict(self), "differs": self.differs}


def compare(own: Sample, incoming: Reservoir, *, stress: Mapping[str, Any] | None = None,
            removed: Collection[str] = (), seed: int = 0) -> BatchDifference | None:
    """Compare the films that came in with the run's own validation films.

    Args:
        own: Of the run.
        incoming: What came in.
        stress: The run's perturbation table, `stress` of metrics.json.
        removed: Facts that the preparation takes from the films, so that they cost nothing.

    Returns:
        None where fewer than 10 films came in.
    """
    if incoming.films < FEWEST or len(own.coordinates) < FEWEST:
        return None
    sample = incoming.sample()
    area = told_apart(own.coordinates, sample.coordinates, seed=seed)
    counts = len(own.coordinates), len(sample.coordinates)
    low, high = newcombe_auc(area, *(max(2, round(_WORTH * count)) for count in counts))
    facts = differing_facts(own, sample)
    cost = cost_of([fact for fact in facts if fact.name not in removed], stress or {}) if low > 0.5 else None
    return BatchDifference(incoming.films, counts[1], counts[0], area, low, high, facts, cost)


def told_apart(own: Floats, incoming: Floats, *, seed: int = 0) -> float:
    """The area under the ROC curve of a classifier that tells two samples apart, cross-fitted.

    The direction from the mean of the one to that of the other, in coordinates that are scaled by the
    training films alone, is learnt in four fifths and judged in the last. A film that is in both samples is
    in the same fifth of both; else what taught the classifier would be asked again.

    Args:
        own, incoming: (n, r) and (m, r).

    Returns:
        The mean over folds and four divisions; 0.5 is expected of like films, and may be fallen short of.
    """
    both = np.concatenate([own, incoming])
    side = np.arange(len(both)) >= len(own)
    # Equal but for the last digits, which differ between engines.
    _, film = np.unique(np.round(both, 3), axis=0, return_inverse=True)
    shared = np.intersect1d(film[side], film[~side])
    rng = np.random.default_rng(seed)
    areas = []
    for _ in range(_REPEATS):
        fold = np.empty(film.max() + 1, int)
        for group in (shared, np.setdiff1d(film[side], shared), np.setdiff1d(film[~side], shared)):
            fold[rng.permutation(group)] = np.arange(len(group)) % _FOLDS
        of = fold[film]
        for number in range(_FOLDS):
            test = of == number
            if side[test].all() or not side[test].any():
                continue
            direction = both[~test & side].mean(axis=0) - both[~test & ~side].mean(axis=0)
            scores = both[test].astype(np.float64) @ direction.astype(np.float64)
            areas.append(auc_of(side[test], scores)(np.ones((1, len(scores))))[0])
    return float(np.mean(areas))


def differing_facts(own: Sample, incoming: Sample) -> tuple[Fact, ...]:
    """The facts that differ by more than chance: Mann and Whitney's test under Holm's bound."""
    from scipy.stats import mannwhitneyu  # a run of single answers needn't wait for it

    known = {name: [side.facts[np.isfinite(side.facts[:, column]), column] for side in (own, incoming)]
             for column, name in enumerate(FACTS)}
    chance = {name: float(mannwhitneyu(*pair).pvalue) for name, pair in known.items()
              if all(len(values) >= max(2, _KNOWN * len(side.facts))
                     for values, side in zip(pair, (own, incoming), strict=True))}
    differing = []
    for rank, name in enumerate(sorted(chance, key=lambda name: chance[name])):
        if not chance[name] < _SURE / (len(chance) - rank):
            break
        differing.append(_fact(name, *known[name]))
    return tuple(sorted(differing, key=lambda fact: -abs(fact.effect)))


def _fact(name: str, own: Floats, incoming: Floats) -> Fact:
    values = np.concatenate([own, incoming]).astype(np.float64)
    side = np.arange(len(values)) >= len(own)
    area = float(auc_of(side, values)(np.ones((1, len(values))))[0])
    low, high = delong(side, values) or newcombe_auc(area, len(incoming), len(own))
    return Fact(name, float(np.median(own)), float(np.median(incoming)), 2 * area - 1, 2 * low - 1,
                2 * high - 1, _LIKE.get((name, 1 if area > 0.5 else -1), ()))


def cost_of(facts: Sequence[Fact], stress: Mapping[str, Any]) -> Cost | None:
    """What the difference has meant for specificity in the run's perturbation table.

    Of the perturbations that change the differing facts likewise, and where the table has none of them of the
    hospitals that never were, the one that has cost most.
    """
    clean = (stress.get("clean") or {}).get("specificity") or {}
    rows = {row["name"]: row["specificity"] for row in stress.get("perturbations") or []
            if (row.get("specificity") or {}).get("value") is not None}
    like = {name for fact in facts for name in fact.like if name in rows} \
        or {name for name in rows if name.startswith("hospital")}
    if clean.get("value") is None or not like:
        return None
    worst = min(like, key=lambda name: (rows[name]["value"], name))
    figure = rows[worst]
    return Cost(worst, clean["value"], figure["value"], figure.get("low"), figure.get("high"))
