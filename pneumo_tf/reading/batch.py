"""Films that come in together: whether they differ from the run's own, said before any label is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.evaluation.shift import FACTS, FRAMING, BatchDifference, Reservoir, compare
from pneumo_tf.evaluation.shortcuts import fact_numbers, pixel_facts
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import ROBUSTNESS, RunFolder
from pneumo_tf.runs.reference import Reference, is_cropped, read_reference

Film = NDArray[np.uint8]
Measured = tuple[NDArray[np.floating], NDArray[np.float32]]


@dataclass(frozen=True)
class Batch:
    """Collects films as they are answered; memory doesn't grow with their number."""

    run: RunFolder
    reference: Reference
    incoming: Reservoir = field(default_factory=Reservoir)

    def add(self, film: Film, features: NDArray[np.floating], facts: Mapping[str, str]) -> None:
        """Put in one film that the network saw, as `measure` takes it."""
        self.incoming.add(*self.measure(film, features, facts))

    def measure(self, film: Film, features: NDArray[np.floating], facts: Mapping[str, str]) -> Measured:
        """What a film is compared by: its coordinates among the run's films, and its facts.

        Args:
            film: uint8 (H, W, 3), as the network met it.
            features: (D,), as `with_features` of the run's network gives them.
            facts: Of its original, by a manifest's names; empty where only the prepared film is known.
        """
        space = self.reference.novelty.space
        return space.coordinates(features[None])[0] / space.spread, film_facts(film, facts)

    def difference(self) -> BatchDifference | None:
        """How the films differ from those that the run was judged on; None of fewer than 10."""
        stress = self.run.record(ROBUSTNESS).get("stress") or self.run.metrics.get("stress")
        return compare(self.reference.own, self.incoming, stress=stress,
                       removed=FRAMING if is_cropped(self.run.facts) else ())


def batch_of(run: RunFolder) -> Batch | None:
    """What collects films for a run; None where nothing is known of its own.

    Raises:
        RunError: What it keeps of them is damaged.
    """
    reference = read_reference(run)
    return None if reference is None else Batch(run, reference)


def film_facts(film: Film, facts: Mapping[str, str]) -> NDArray[np.float32]:
    """What a film is compared by, float32 (len(FACTS),), NaN where it isn't known.

    Args:
        film: uint8 (H, W, C), as the network meets it.
        facts: Of its original, by a manifest's names.
    """
    known = {**fact_numbers(facts), **{name: values[0] for name, values in pixel_facts([film]).items()}}
    return np.array([known[name] for name in FACTS], np.float32)


def sentences(difference: BatchDifference, words: Language) -> list[str]:
    """What a comparison says, in order: whether the films differ, in what, and what that has meant."""
    interval = words.between(words.decimals(difference.low), words.decimals(difference.high))
    said = [words.say(f"batch.{'differs' if difference.differs else 'alike'}", interval=interval,
                      n=words.count(difference.compared, "film"), area=words.decimals(difference.auc))]
    for fact in difference.facts:
        said.append(words.say("batch.fact.more" if fact.effect > 0 else "batch.fact.less",
                              fact=words.say(f"batch.{fact.name}"), own=words.short(fact.own, 3),
                              incoming=words.short(fact.incoming, 3),
                              effect=words.number(abs(fact.effect), 2)))
    if difference.cost is not None:
        cost = difference.cost
        after = words.percent(cost.after, 0)
        if cost.low is not None and cost.high is not None:
            after += f" ({words.between(words.percent(cost.low, 0), words.percent(cost.high, 0))})"
        said.append(words.say("batch.cost", change=words.named("robust", cost.perturbation),
                              before=words.percent(cost.before, 0), after=after))
    return said
