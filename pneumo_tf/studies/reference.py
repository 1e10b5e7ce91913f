"""What a training leaves for later films to be held against: distances, sides, and facts of its own films."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.data.patients import owner
from pneumo_tf.data.preparation.lungs import lungs_mask
from pneumo_tf.evaluation.intervals import proportion
from pneumo_tf.evaluation.novelty import METHOD, RATE, fit_novelty
from pneumo_tf.evaluation.shift import KEPT, Sample
from pneumo_tf.evaluation.sides import fit_sides, side_differences
from pneumo_tf.models.classifier import with_features
from pneumo_tf.reading.batch import film_facts
from pneumo_tf.runs.reference import Reference, shows_lungs, write_reference
from pneumo_tf.training.task import Task, Trained
from pneumo_tf.training.trunk import scores_and_features

_ASKED = 40  # films that are asked whether they show lungs
Floats = NDArray[np.floating]


def keep_reference(task: Task, trained: Trained, folder: Path) -> dict[str, Any]:
    """Write a run's `reference.npz`, where there are films enough; what run.json says of it.

    Raises:
        StorageError: The disk refuses.
    """
    reference, facts = fit_reference(task, trained)
    if reference is not None:
        write_reference(folder, reference)
    return facts


def fit_reference(task: Task, trained: Trained) -> tuple[Reference | None, dict[str, Any]]:
    """What is kept of a run's films, and what run.json says of it.

    Returns:
        None for the reference where there are too few films. The facts are `grey`: whether all films are;
        `lungs`: how many of some show lungs; `novelty` and `mirrored`: the threshold of each test and how
        often it is wrong, or null where there is no such test.
    """
    rows = task.reference_rows()
    films = [task.cohort.radiographs[row] for row in rows]
    splits, patients = np.array([film.split for film in films]), np.array([owner(film) for film in films])
    train, validation = splits == "train", splits == "validation"

    def shares(hits: NDArray[np.bool_]) -> dict[str, Any]:
        return {split: proportion(hits[splits == split], patients[splits == split], why="no_films")
                for split in ("validation", "test")}

    facts: dict[str, Any] = {"grey": task.pixels.store.shape[-1] == 1, "novelty": None, "mirrored": None}
    lungs = {"lungs": _lungs(task, rows[train])}
    if shows_lungs({"reference": lungs}):  # films of another organ have nothing to do with them
        facts |= lungs
    features = _features(task, trained, rows)
    novelty = fit_novelty(features[train], task.labels[rows[train]], features[validation])
    if novelty is None:
        return None, facts
    facts["novelty"] = {"method": METHOD, "rate": RATE, "threshold": novelty.threshold,
                        **shares(novelty.distances(features) > novelty.threshold)}
    differences = side_differences(task.pixels.film(row) for row in rows)
    sides = fit_sides(differences[train], differences[validation])
    if sides is not None:
        scores = sides.scores(differences)
        facts["mirrored"] = {"rate": RATE, "threshold": sides.threshold,
                             "wrong": shares(scores < sides.threshold),
                             "found": shares(-scores < sides.threshold)}
    some = np.random.default_rng(task.seed).permutation(np.flatnonzero(validation))[:KEPT]
    own = Sample(novelty.space.coordinates(features[some]) / novelty.space.spread,
                 np.array([film_facts(task.pixels.film(rows[place]), films[place].facts) for place in some]))
    return Reference(novelty, own, sides), facts


def _features(task: Task, trained: Trained, rows: NDArray[np.intp]) -> Floats:
    if trained.features is not None:
        return trained.features
    engine = task.frozen(with_features(trained.model))
    return scores_and_features(engine, task.pixels.at(rows), classes=len(task.classes),
                               rows=np.arange(len(rows)))[1]


def _lungs(task: Task, rows: NDArray[np.intp]) -> dict[str, int]:
    """How many of some films, evenly spread, show lungs."""
    some = rows[:: max(1, len(rows) // _ASKED)]
    grey = (task.pixels.film(row).mean(axis=2).astype(np.uint8) for row in some)
    return {"found": sum(lungs_mask(film) is not None for film in grey), "of": len(some)}
