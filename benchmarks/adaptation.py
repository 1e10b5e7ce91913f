"""What labelled films of a place are worth, and whether the intervals of what they gain hold.

    python benchmarks/adaptation.py --studies 40 --resamples 200

Scores are drawn, so that the truth is known: logits of two classes three standard deviations apart, one film
a patient, and a run whose threshold is best where nothing has moved. Balanced accuracy on 20,000 other films.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from results import command
from scipy.special import expit

from pneumo_tf.evaluation.adaptation import Point, fit_point, gains
from pneumo_tf.evaluation.calibration.calibrators import Uncalibrated
from pneumo_tf.evaluation.figures import Judged
from pneumo_tf.evaluation.operating_point import Rule, choose
from pneumo_tf.evaluation.scores import Scores

OWN, BALANCED = Point(0.5, Uncalibrated()), Rule()
# How far all logits are higher, and the share of the healthy whose logits are five higher.
PLACES = {"nothing moved": (0.0, 0.0), "all scores higher": (1.5, 0.0),
          "a third of the healthy higher": (0.0, 0.33)}
_FILMS = 20_000


def draw(films: int, place: tuple[float, float], rng: np.random.Generator) -> Scores:
    shift, odd = place
    labels = (rng.random(films) < 0.5).astype(int)
    logits = 3 * (labels - 0.5) + shift + rng.normal(0, 1, films)
    logits += 5 * ((labels == 0) & (rng.random(films) < odd))
    positive = expit(logits)
    return Scores(("healthy", "ill"), "ill", [str(number) for number in range(films)], labels,
                  np.column_stack([1 - positive, positive]), np.full(films, ""))


def study(films: int, place: tuple[float, float], seed: int, resamples: int) -> tuple[float, ...]:
    """True gains by the best threshold among the films and by `fit_point`, and what the films say of it."""
    rng = np.random.default_rng(seed)
    known, others = draw(films, place, rng), draw(_FILMS, place, rng)
    point, best = fit_point(known, OWN, BALANCED), choose(known, rule="youden").threshold
    own, by_best, fitted = (Judged(others, threshold).value("balanced_accuracy")
                            for threshold in (OWN.threshold, best, point.threshold))
    found = gains(known, OWN, point, BALANCED, resamples=resamples)["balanced_accuracy"]["difference"]
    low, high = (found["value"] if found[end] is None else found[end] for end in ("low", "high"))
    return by_best - own, fitted - own, low, high


def rows(studies: int, resamples: int) -> Iterator[str]:
    for name, place in PLACES.items():
        for films in (60, 120, 240):
            results = [study(films, place, seed, resamples) for seed in range(studies)]
            by_best, truth, low, high = np.array(results).T
            holds = (low - 1e-9 <= truth) & (truth <= high + 1e-9)
            claimed = low > 0
            yield (f"| {name} | {films} | {100 * by_best.mean():+.1f} | {100 * truth.mean():+.1f} | "
                   f"{100 * holds.mean():.0f} | {100 * claimed.mean():.0f} | "
                   f"{100 * (claimed & (truth <= 0)).mean():.0f} |")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--studies", type=int, default=40)
    options.add_argument("--resamples", type=int, default=200)
    typed = options.parse_args()
    print(f"$ {command()}\n\n| place | labelled films | gain by their best threshold, points | gain by "
          "`adapt_pict.py` | interval holds it, % | a gain is claimed, % | and there is none, % |\n"
          "|---|---:|---:|---:|---:|---:|---:|")
    for row in rows(typed.studies, typed.resamples):
        print(row, flush=True)


if __name__ == "__main__":
    main()
