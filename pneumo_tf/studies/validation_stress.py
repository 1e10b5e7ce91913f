"""A trained model on perturbed validation films: which recipe holds up, and where its threshold should lie.

Figures on clean films of one's own choose the wrong recipe, so a training looks at stressed ones too. The
stress acts on the decoded pixels that the network is trained on, thus after any crop of the preparation: it
needs no originals. evaluate_model.py puts test films to the whole table of perturbations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.data.patients import owner
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.stressed import stress_figures
from pneumo_tf.progress import Advance, progress_bar
from pneumo_tf.studies.perturbations import APART, HOSPITALS, Perturbation, perturbations
from pneumo_tf.training.pixels import as_three_channels
from pneumo_tf.training.task import Task, Trained
from pneumo_tf.training.trunk import BATCH, ahead

_FILMS = (120, 60, 30)  # of each class: the most, and what a slow network gets
_SECONDS = 30.0
Scorer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ValidationStress:
    """Validation films, clean and after each perturbation.

    Attributes:
        clean: n films.
        perturbed: Scores (n, K) of the same films by the perturbation's name; empty where there was no time.
        films_per_second: As the network scored them.
    """

    clean: Scores
    perturbed: dict[str, NDArray[np.floating]] = field(default_factory=dict)
    films_per_second: float = 0.0

    @property
    def scores(self) -> list[Scores]:
        """The perturbed films, for the operating point."""
        return [replace(self.clean, values=values) for values in self.perturbed.values()]

    def to_json(self, threshold: float | None, *, seed: int) -> dict[str, Any]:
        """The figures at an operating point, or why there are none."""
        if not self.perturbed:
            return {"skipped": f"{self.films_per_second:.1f} films a second: too slow for {_SECONDS:.0f} s"}
        return {"acts_on": "pixels as trained",
                **stress_figures(self.clean, self.perturbed, threshold, apart=APART, together=HOSPITALS,
                                 seed=seed)}


def stress_validation(task: Task, trained: Trained, positive: str, *, patient: bool) -> ValidationStress:
    """Score perturbed validation films, at most 120 of each class, by whole patients.

    Args:
        positive: The class to be found.
        patient: Whether to take all the time that 120 films of each class need, because a threshold hangs on
            them and must not hang on the machine; else a slow network gets fewer, or none.
    """
    score = trained.score or task.frozen(trained.model)
    rows = chosen_rows(task, most=_FILMS[0])
    speed = float("inf") if patient else _films_per_second(task, score, rows)
    changes = perturbations(task.size, brief=True)
    most = next((films for films in _FILMS
                 if films * len(task.classes) * len(changes) <= _SECONDS * speed), 0)
    if most < _FILMS[0]:
        rows = chosen_rows(task, most=max(most, 1))
    clean = Scores.of_cohort(task.cohort, trained.scores, positive, rows=rows.tolist())
    if not most:
        return ValidationStress(clean, films_per_second=speed)
    with progress_bar("Stressed films", len(rows) * len(changes)) as advance:
        perturbed = {name: _scored(task, score, rows, change, advance) for name, change in changes.items()}
    return ValidationStress(clean, perturbed, speed)


def chosen_rows(task: Task, *, most: int) -> NDArray[np.intp]:
    """Rows of validation films in order: at most so many of each class, whole patients drawn at random.

    A patient who alone has more is taken whole where no other was.
    """
    rows = task.rows("validation")
    patients, labels = np.array([owner(film) for film in task.cohort])[rows], task.labels[rows]
    drawn = np.random.default_rng(task.seed).permutation(np.unique(patients))
    chosen: list[int] = []
    for label in range(len(task.classes)):
        kept: list[int] = []
        for patient in drawn:
            own = rows[(patients == patient) & (labels == label)].tolist()
            if not kept or len(kept) + len(own) <= most:
                kept += own
        chosen += kept
    return np.array(sorted(chosen), dtype=int)


def _films_per_second(task: Task, score: Scorer, rows: NDArray[np.intp]) -> float:
    """How fast films are scored: the second batch, since the first one compiles."""
    films = _padded(as_three_channels(np.stack([task.pixels.film(row) for row in rows[:BATCH]])))
    score(films)
    began = time.perf_counter()
    score(films)
    return BATCH / max(time.perf_counter() - began, 1e-6)


def _scored(task: Task, score: Scorer, rows: NDArray[np.intp], change: Perturbation,
            advance: Advance) -> NDArray[np.floating]:
    """Scores (n, K) of the films after one perturbation."""
    def draw(part: NDArray[np.intp]) -> np.ndarray:
        return as_three_channels(np.stack([change(task.pixels.film(row)) for row in part]))

    def scored(pool: ThreadPoolExecutor) -> Iterator[np.ndarray]:
        parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        for films in ahead(pool, draw, parts, depth=task.threads + 1):
            yield score(_padded(films))[: len(films)]
            advance(len(films))

    with ThreadPoolExecutor(task.threads) as pool:
        return np.clip(np.concatenate(list(scored(pool))), 0, 1)  # softmax may pass 1 by its last digit


def _padded(films: np.ndarray) -> np.ndarray:
    """Always one batch, the shape that the network is compiled for."""
    return np.pad(films, [(0, BATCH - len(films)), *[(0, 0)] * (films.ndim - 1)])
