"""How often the 95 % intervals of the report hold the truth: 93 to 97 of 100 is what they promise.

    python benchmarks/coverage.py
    python benchmarks/coverage.py --studies 500 --resamples 300

Studies are simulated whose truth is known: patients with 1 to 10 films (a truncated geometric law, two on
average), all films of a patient of one class, scores normal with a random effect of the patient that makes up
half of their variance. Of each study the intervals are computed by the code that writes metrics.json. Rows
marked * take films as independent where they aren't, to show what that does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pneumo_tf.evaluation.intervals import bootstrap, delong, proportion, wilson
from pneumo_tf.evaluation.statistics import Statistic, auc_of, confusion_of, mean_of_films, recalls

MOST_FILMS = 10
Ends = tuple[float, float]


@dataclass(frozen=True)
class Design:
    """Studies of one kind.

    Attributes:
        patients: In each study.
        area: The true area under the ROC curve.
        resemblance: The share of the scores' variance that a patient's films have in common.
        clustered: 1 to 10 films a patient; else one.
        positives: Share of patients of the positive class.
    """

    patients: int
    area: float
    resemblance: float = 0.5
    clustered: bool = True
    positives: float = 0.6

    @property
    def distance(self) -> float:
        """Between the means of the classes, in standard deviations."""
        return float(np.sqrt(2) * norm.ppf(self.area))

    @property
    def recall(self) -> float:
        """The true sensitivity and specificity at the threshold halfway between the classes."""
        return float(norm.cdf(self.distance / 2))


class Study(NamedTuple):
    """One study's films: whether positive, scores around 0, and patients; (n,) each."""

    is_positive: NDArray[np.bool_]
    scores: NDArray[np.float64]
    groups: NDArray[np.str_]


def simulate(design: Design, generator: np.random.Generator) -> Study:
    """Draw the films of one study."""
    sick = generator.random(design.patients) < design.positives
    films = np.minimum(generator.geometric(0.5, design.patients), MOST_FILMS) if design.clustered else \
        np.ones(design.patients, dtype=int)
    member = np.repeat(np.arange(design.patients), films)
    shared = generator.normal(size=design.patients)[member] * np.sqrt(design.resemblance)
    own = generator.normal(size=len(member)) * np.sqrt(1 - design.resemblance)
    return Study(sick[member], design.distance * (sick[member] - 0.5) + shared + own, member.astype(str))


def intervals(study: Study, design: Design, *, seed: int,
              resamples: int) -> Iterator[tuple[str, float, Ends]]:
    """The name, the truth and the ends of every interval of a study; those without ends are left out."""
    yield from _shares(study, design)
    for name, groups in (("DeLong of films*", None), ("DeLong by patient", study.groups)):
        ends = delong(study.is_positive, study.scores, groups)
        if ends:
            yield name, design.area, ends
    truths = {"area": design.area, "balanced accuracy": design.recall,
              "net benefit at 0.5": _benefit(design)}
    by_film = np.arange(len(study.groups)).astype(str)
    for name, groups in (("bootstrap of films*", by_film), ("bootstrap by patient", study.groups)):
        found = bootstrap(_statistics(study), groups, seed=seed, resamples=resamples)
        for figure, interval in found.items():
            if interval.low is not None and interval.high is not None:
                yield f"{name}: {figure}", truths[figure], (interval.low, interval.high)


def _shares(study: Study, design: Design) -> Iterator[tuple[str, float, Ends]]:
    hits, groups = study.scores[study.is_positive] > 0, study.groups[study.is_positive]
    yield "Wilson of films*", design.recall, wilson(int(hits.sum()), len(hits))
    figure = proportion(hits, groups, why="no_positive_films")
    yield "Wilson by patient", design.recall, (figure["low"], figure["high"])


def _statistics(study: Study) -> dict[str, Statistic]:
    called = study.scores > 0
    count = confusion_of(study.is_positive.astype(int), called.astype(int), 2)
    return {"area": auc_of(study.is_positive, study.scores),
            "balanced accuracy": lambda weights: recalls(count(weights)).mean(axis=1),
            "net benefit at 0.5": mean_of_films(called * np.where(study.is_positive, 1.0, -1.0))}


def _benefit(design: Design) -> float:
    """Films found less false alarms, per film; patients of both classes have as many films."""
    return design.positives * design.recall - (1 - design.positives) * (1 - design.recall)


def coverage(design: Design, *, studies: int, resamples: int, seed: int = 42) -> dict[str, float]:
    """The share of studies whose interval holds the truth, by name of the interval."""
    generator = np.random.default_rng(seed)
    held: dict[str, list[bool]] = {}
    for _ in range(studies):
        study = simulate(design, generator)
        draws = int(generator.integers(2**31))
        for name, truth, (low, high) in intervals(study, design, seed=draws, resamples=resamples):
            held.setdefault(name, []).append(low <= truth <= high)
    return {name: float(np.mean(values)) for name, values in held.items()}


DESIGNS = {"one film each, area 0.90": Design(200, 0.90, clustered=False),
           "area 0.90": Design(200, 0.90), "area 0.97": Design(200, 0.97),
           "area 0.97, 1,000 patients": Design(1000, 0.97)}


def main() -> None:
    """Simulate and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--seed", type=int, default=42)
    typed = parser.parse_args()
    found = {title: coverage(design, studies=typed.studies, resamples=typed.resamples, seed=typed.seed)
             for title, design in DESIGNS.items()}
    chance = 1.96 * np.sqrt(0.95 * 0.05 / typed.studies)
    print(f"{typed.studies} studies of each kind, {typed.resamples} resamples; chance moves a cell by "
          f"±{100 * chance:.1f}.\n")
    print(f"| interval | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    for name in next(iter(found.values())):
        print(f"| {name} | {' | '.join(f'{100 * cells[name]:.1f}' for cells in found.values())} |")


if __name__ == "__main__":
    main()
