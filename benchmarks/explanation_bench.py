"""What the benchmarks of explanations share: a run with its phantoms, the figures of a map, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pneumo_tf.explain.lime import Explanation

BEST = {"design": "hadamard", "absent": "mean", "answers": "log_odds", "surrogate": "ridge"}
ASSIGNED = {"design": "bernoulli", "absent": "zero", "answers": "kept", "surrogate": "logistic"}


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
        from pneumo_tf.explain.films import choose_films, read_lesion
        from pneumo_tf.explain.network import network_of_run
        from pneumo_tf.runs.folder import read_run
        from pneumo_tf.training.machine import describe_device

        found = read_run(run)
        self.network = network_of_run(found)
        self.bfloat16 = describe_device().bfloat16
        self.scorer = self.network.quick
        self.explained = self.network.classes.index("PNEUMONIA")
        self.subjects: list[Subject] = []
        for chosen in choose_films([film.id for film in found.cohort if film.split == "test"], run=found):
            film = self.network.read(chosen.path)
            lesion = read_lesion(folder / "phantoms" / "masks", chosen, film.shape[:2])
            if lesion is not None and lesion.any() and len(self.subjects) < films:
                self.subjects.append(Subject(chosen.name, film, lesion))

    def lime(self, subject: Subject, segmentation: str = "slic", *, labels: np.ndarray | None = None,
             **options: object) -> Explanation:
        from pneumo_tf.explain.lime import LimeOptions, explain_by_lime
        from pneumo_tf.explain.superpixels import segment

        cut = segment(subject.film, segmentation) if labels is None else labels
        chosen = LimeOptions(**options)  # type: ignore[arg-type]
        return explain_by_lime(subject.film, cut, self.scorer, explained=self.explained, options=chosen,
                               decide=self.network.decide)

    def judge(self, subject: Subject, values: np.ndarray) -> dict[str, float]:
        """Figures of one map on one film."""
        from pneumo_tf.explain import fidelity

        down = fidelity.deletion(subject.film, values, self.scorer, explained=self.explained)
        up = fidelity.insertion(subject.film, values, self.scorer, explained=self.explained)
        mass = fidelity.mass_inside(values, subject.lesion)
        return {"deletion": down.area, "del. log-odds": down.log_odds, "insertion": up.area,
                "points": fidelity.points_inside(values, subject.lesion),
                "chance": float(fidelity.near(subject.lesion).mean()),
                "mass": np.nan if mass is None else mass, "lesion": float(subject.lesion.mean())}


def show(title: str, rows: Iterable[tuple[str, dict[str, float]]]) -> None:
    """A table whose columns are the keys of the first row."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for _, row in rows for key in row))
    print(f"\n{title}\n{'':<26}" + "".join(f"{name:>14}" for name in columns))
    for name, row in rows:
        values = (f"{row[key]:.3f}" if key in row else "–" for key in columns)
        print(f"{name:<26}" + "".join(f"{value:>14}" for value in values))


def means(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over the films that have it."""
    known = {key: [part[key] for part in parts if not np.isnan(part[key])] for key in parts[0]}
    return {key: float(np.mean(values)) if values else np.nan for key, values in known.items()}
