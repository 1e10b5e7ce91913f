"""What the parts of explanations.py share: a run with its phantoms, the figures of a map, tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import results  # noqa: F401  (puts the project on the path)

from pneumo_tf.explain import fidelity
from pneumo_tf.explain.films import choose_films, read_lesion
from pneumo_tf.explain.lime import Explanation, LimeOptions, explain_by_lime
from pneumo_tf.explain.network import network_of_run
from pneumo_tf.explain.superpixels import segment
from pneumo_tf.runs.folder import read_run

BEST = {"design": "hadamard", "absent": "mean", "answers": "log_odds", "surrogate": "ridge"}
ASSIGNED = {"design": "bernoulli", "absent": "zero", "answers": "kept", "surrogate": "logistic"}
Figures = dict[str, float]


@dataclass(frozen=True)
class Subject:
    """A phantom as the network sees it, with its lesion."""

    name: str
    film: np.ndarray
    lesion: np.ndarray


def last_run(folder: Path) -> Path:
    return max((folder / "runs").glob("[!.]*"))


class Bench:
    """One run's network, and the phantoms with lesions among its test films."""

    def __init__(self, folder: Path, run: Path, films: int) -> None:
        found = read_run(run)
        self.network = network_of_run(found)
        self.scorer = self.network.quick
        self.explained = self.network.classes.index("PNEUMONIA")
        self.subjects: list[Subject] = []
        for chosen in choose_films([film.id for film in found.cohort if film.split == "test"], run=found):
            film = self.network.read(chosen.path)
            lesion = read_lesion(folder / "phantoms" / "masks", chosen, film.shape[:2])
            if lesion is not None and lesion.any() and len(self.subjects) < films:
                self.subjects.append(Subject(chosen.name, film, lesion))

    def lime(self, subject: Subject, labels: np.ndarray, **options: object) -> Explanation:
        chosen = LimeOptions(**options)  # type: ignore[arg-type]
        return explain_by_lime(subject.film, labels, self.scorer, explained=self.explained, options=chosen,
                               decide=self.network.decide)

    def judge(self, subject: Subject, values: np.ndarray) -> Figures:
        """Figures of one map on one film."""
        down = fidelity.deletion(subject.film, values, self.scorer, explained=self.explained)
        up = fidelity.insertion(subject.film, values, self.scorer, explained=self.explained)
        mass = fidelity.mass_inside(values, subject.lesion)
        return {"deletion": down.area, "del. log-odds": down.log_odds, "insertion": up.area,
                "points": fidelity.points_inside(values, subject.lesion),
                "chance": float(fidelity.near(subject.lesion).mean()),
                "mass": np.nan if mass is None else mass, "lesion": float(subject.lesion.mean())}

    def repeat(self, weigh: Callable[[Subject, np.ndarray, int], np.ndarray], *, seeds: int,
               segmentation: str = "slic") -> Figures:
        """Time, stability over seeds, and the figures of the first map of a way to weigh superpixels."""
        parts = []
        for subject in self.subjects:
            labels = segment(subject.film, segmentation)
            start = time.perf_counter()
            found = [weigh(subject, labels, seed) for seed in range(seeds)]
            seconds = (time.perf_counter() - start) / seeds
            steady = fidelity.stability(found)
            parts.append({"seconds": seconds, "spearman": steady.spearman, "top five": steady.overlap,
                          **self.judge(subject, found[0][labels])})
        print(".", end="", flush=True)
        return means(parts)


def show(title: str, rows: Iterable[tuple[str, Figures]]) -> None:
    """A table whose columns are the keys of the rows."""
    print(f"\n{title}\n{pd.DataFrame(dict(rows)).T.to_string(float_format='{:.3f}'.format, na_rep='–')}")


def means(parts: Sequence[Figures]) -> Figures:
    """The mean of each figure over the films that have it."""
    return pd.DataFrame(parts).astype(float).mean().to_dict()
