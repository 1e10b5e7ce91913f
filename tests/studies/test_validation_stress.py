"""Validation films under stress: which are taken, what they are scored by, and what a slow network gets."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.evaluation.operating_point import choose
from pneumo_tf.models.backbones import BACKBONES
from pneumo_tf.models.weights.pretrained import Weights
from pneumo_tf.studies import validation_stress
from pneumo_tf.studies.perturbations import HOSPITALS, perturbations
from pneumo_tf.studies.validation_stress import chosen_rows, stress_validation
from pneumo_tf.training.pixels import Pixels
from pneumo_tf.training.task import Member, Task, Trained

SIDE = 16
MakeTask = Callable[..., Task]


def grey(films: np.ndarray) -> np.ndarray:
    """Scores (n, 2): the positive's is the mean grey level."""
    level = films.mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - level, level], axis=1).astype("float32")


@pytest.fixture
def task_of() -> MakeTask:
    """Films of 4 of each patient; positives are brighter, and every second patient validates."""
    def make(patients: int) -> Task:
        rows = [Radiograph(f"{patient}-{film}", ("NORMAL", "PNEUMONIA")[patient % 2], patient=f"p{patient}",
                           split=("validation", "train")[patient // 2 % 2])
                for patient in range(patients) for film in range(4)]
        noise = np.random.default_rng(0).normal(0, 15, (len(rows), SIDE, SIDE, 1))
        shade = np.array([90 + 70 * (row.label == "PNEUMONIA") for row in rows])[:, None, None, None]
        pixels = Pixels((shade + noise).clip(0, 255).astype(np.uint8), np.arange(len(rows)))
        member = Member(BACKBONES["efficientnet_lite0"], Weights(None, "random", ""))
        return Task(cohort=Cohort(tuple(rows)), pixels=pixels, members=(member,), size=SIDE, epochs=1,
                    batch_size=8, seed=3, threads=1)

    return make


def trained(task: Task, **given: object) -> Trained:
    scores = grey(task.pixels.batch(range(len(task.cohort))))
    return Trained(model=keras.Model(), scores=scores, history=[], **given)  # type: ignore[arg-type]


def test_whole_patients_are_taken_up_to_so_many_films_of_each_class(task_of: MakeTask) -> None:
    task = task_of(80)
    rows = chosen_rows(task, most=10)
    films = [task.cohort.radiographs[row] for row in rows]
    assert Counter(film.label for film in films) == {"NORMAL": 8, "PNEUMONIA": 8}
    assert set(Counter(film.patient for film in films).values()) == {4}
    assert {film.split for film in films} == {"validation"}
    assert list(chosen_rows(task, most=1000)) == list(task.rows("validation"))
    assert len(chosen_rows(task, most=1)) == 8  # one patient of each class is the least


def test_every_film_is_scored_after_every_perturbation_on_the_pixels_as_trained(task_of: MakeTask) -> None:
    task = task_of(24)
    shapes = []

    def score(films: np.ndarray) -> np.ndarray:
        shapes.append(films.shape)
        return grey(films)

    stress = stress_validation(task, trained(task, score=score), "PNEUMONIA", patient=True)
    assert set(stress.perturbed) == set(perturbations(SIDE, brief=True))
    assert set(shapes) == {(32, SIDE, SIDE, 3)}  # compiled once
    rows = task.rows("validation")
    for name, change in perturbations(SIDE, brief=True).items():
        changed = np.stack([change(task.pixels.film(row)) for row in rows])
        assert stress.perturbed[name] == pytest.approx(grey(np.repeat(changed, 3, axis=-1)), abs=1e-6)
    found = json.loads(json.dumps(stress.to_json(0.5, seed=1)))
    assert found["acts_on"] == "pixels as trained"
    assert found["films"] == len(rows)
    values = {row["name"]: row["balanced_accuracy"]["value"] for row in found["perturbations"]}
    assert found["mean"]["balanced_accuracy"]["value"] == pytest.approx(np.mean(list(values.values())))
    assert found["together"]["balanced_accuracy"]["value"] == pytest.approx(
        np.mean([values[name] for name in HOSPITALS]))
    point = choose(stress.clean, rule="stressed", stressed=stress.scores)
    assert point.stressed_films == len(rows) * len(values)


def test_a_recipe_that_compiled_nothing_is_scored_by_its_model(task_of: MakeTask) -> None:
    task = task_of(8)
    films = keras.Input((SIDE, SIDE, 3))
    head = layers.Dense(2, name="scores")
    model = keras.Model(films, head(layers.GlobalAveragePooling2D(name="level")(films)))
    share = np.full((3, 1), 1 / 3 / 255)
    head.set_weights([np.concatenate([-share, share], axis=1), np.array([1.0, 0.0])])
    given = replace(trained(task), model=model)
    ours = stress_validation(task, given, "PNEUMONIA", patient=True).perturbed
    theirs = stress_validation(task, trained(task, score=grey), "PNEUMONIA", patient=True).perturbed
    for name, values in theirs.items():
        assert ours[name] == pytest.approx(values, abs=1e-5)


@pytest.mark.parametrize(("seconds", "films"), [(0.0, 120), (3.0, 0)])
def test_a_slow_network_gets_fewer_films_or_none_and_says_why(
        task_of: MakeTask, monkeypatch: pytest.MonkeyPatch, seconds: float, films: int) -> None:
    task = task_of(160)

    def score(batch: np.ndarray) -> np.ndarray:
        clock[0] += seconds
        return grey(batch)

    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    stress = stress_validation(task, trained(task, score=score), "PNEUMONIA", patient=False)
    assert bool(stress.perturbed) is bool(films)
    if not films:
        assert "10.7 films a second" in stress.to_json(0.5, seed=1)["skipped"]
        # A threshold hangs on them: then they are all taken, however long it takes.
        patient = stress_validation(task, trained(task, score=score), "PNEUMONIA", patient=True)
        assert len(patient.clean.ids) == 2 * 120


def test_a_network_in_between_gets_some(task_of: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(160)
    changes = len(perturbations(SIDE, brief=True))
    speed = 2 * 60 * changes / validation_stress._SECONDS * 1.1
    monkeypatch.setattr(validation_stress, "_films_per_second", lambda *_: speed)
    stress = stress_validation(task, trained(task, score=grey), "PNEUMONIA", patient=False)
    assert Counter(stress.clean.labels.tolist()) == {0: 60, 1: 60}
