"""The recipe `fast` on synthetic films."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from pneumo_tf.cohort import Cohort
from pneumo_tf.models.backbones import BACKBONES, Backbone
from pneumo_tf.models.classifier import with_features
from pneumo_tf.models.dinov2 import build_dinov2
from pneumo_tf.models.weights.pretrained import Weights
from pneumo_tf.training import fast, trunk
from pneumo_tf.training.fast import Ensemble, Fast
from pneumo_tf.training.linear_head import Features, fit_linear_head
from pneumo_tf.training.pixels import Pixels, decode_cohort
from pneumo_tf.training.store import Cache
from pneumo_tf.training.task import Member, Task, Trained

TaskOf = Callable[..., Task]


def trained(task: Task, recipe: Fast) -> Trained:
    keras.utils.set_random_seed(0)
    return recipe.train(task)


def own_scores(task: Task, rows: list[int], scores: np.ndarray) -> np.ndarray:
    """The score that each film got for the class it truly has."""
    return scores[np.arange(len(rows)), task.labels[rows]]


@pytest.fixture
def memorable_patients(blob_cohort: Cohort) -> Cohort:
    """Six patients of learning with two films each."""
    patients = [f"{film.label}-{number // 4}" for number, film in enumerate(blob_cohort)]
    return blob_cohort.with_column("patient", patients)


@pytest.fixture
def identical_films(memorable_patients: Cohort) -> Pixels:
    """Noise that says nothing of the class, the same in all films of a patient."""
    names = sorted(set(memorable_patients.patients))
    noise = np.random.default_rng(3).integers(0, 256, (len(names), 32, 32, 1), dtype=np.uint8)
    return Pixels(noise, np.array([names.index(patient) for patient in memorable_patients.patients]))


NARROW = replace(BACKBONES["dinov2_small"], build=partial(build_dinov2, width=64))


@pytest.mark.parametrize("backbone", [BACKBONES["efficientnet_lite0"], NARROW], ids=lambda row: row.name)
def test_what_is_trained_on_blobs_scores_every_film_as_its_model_predicts(
        backbone: Backbone, task_of: TaskOf) -> None:
    task = task_of(backbone=backbone, threads=2)
    result = trained(task, Fast(views=2))
    films = task.pixels.batch(range(len(task.cohort)))
    np.testing.assert_allclose(result.scores, result.model.predict(films, verbose=0), atol=1e-4)
    np.testing.assert_allclose(result.scores.sum(axis=1), 1, atol=1e-5)
    assert {layer.compute_dtype for layer in result.model.layers} == {"float32"}


def test_it_finds_the_blobs_in_films_it_never_saw(task_of: TaskOf) -> None:
    task = task_of()
    result, test = trained(task, Fast()), task.rows("test")
    assert roc_auc_score(task.labels[test], result.scores[test, 1]) == 1
    first, last = result.history[0], result.history[-1]
    assert {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"} <= set(first)
    assert last["loss"] < first["loss"] < np.log(2)


def test_films_may_vanish_once_they_are_decoded(task_of: TaskOf, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    task = task_of()
    for row, name in enumerate(task.cohort.ids):
        Image.fromarray(task.pixels.film(row)[..., 0]).save(folder / f"{name}.png")
    cohort = task.cohort.with_column("file", [f"{name}.png" for name in task.cohort.ids])
    cohort, pixels = decode_cohort(cohort, folder, size=task.size, cache=Cache(tmp_path / "cache"), workers=2)
    shutil.rmtree(folder)
    found = trained(replace(task, cohort=cohort, pixels=pixels), Fast()).scores
    np.testing.assert_allclose(found, trained(task, Fast()).scores, atol=1e-5)


def test_the_same_seed_gives_the_same_scores_and_another_one_others(task_of: TaskOf) -> None:
    once, again, other = (trained(task_of(seed=seed, threads=threads), Fast()).scores
                          for seed, threads in ((1, 1), (1, 3), (2, 1)))
    np.testing.assert_allclose(once, again, atol=1e-6)
    assert np.abs(once - other).max() > 1e-4


def test_it_measures_its_stages(task_of: TaskOf) -> None:
    task = task_of()
    trained(task, Fast(views=0))
    assert [stage.stage for stage in task.stages.stages] == [
        "network", "features of films", "features of views", "head"]


def test_views_in_bfloat16_leave_the_model_exact(task_of: TaskOf) -> None:
    task = task_of()
    exact = trained(task, Fast()).scores
    coarse = trained(task_of(device=replace(task.device, bfloat16=True)), Fast())
    np.testing.assert_allclose(coarse.scores, exact, atol=0.02)
    films = task.pixels.batch(range(len(task.cohort)))
    np.testing.assert_allclose(coarse.scores, coarse.model.predict(films, verbose=0), atol=1e-4)


def test_held_out_scores_come_from_heads_that_never_saw_the_patient(
        task_of: TaskOf, memorable_patients: Cohort, identical_films: Pixels,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """The two films of a patient are alike, so each head has learnt from both of them or from neither."""
    learnt: list[Features] = []

    def witness(train: Features, validation: Features, **options: Any) -> Any:
        learnt.append(train)
        return fit_linear_head(train, validation, **options)

    monkeypatch.setattr(fast, "fit_linear_head", witness)
    task = task_of(cohort=memorable_patients, pixels=identical_films)
    result = trained(task, Fast(views=0, penalty=1e-4))
    rows = task.rows("train").tolist()
    assert sorted(result.held_out) == rows
    held_out = np.array([result.held_out[row] for row in rows])
    assert own_scores(task, rows, result.scores[rows]).min() > 0.9
    assert own_scores(task, rows, held_out).min() < 0.5
    films = [np.unique(features.vectors, axis=0, return_counts=True)[1] for features in learnt]
    assert [len(patients) for patients in films] == [6, 4, 4, 4]
    assert all((patients == 2).all() for patients in films)


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of pictures that the backbone was given."""
    counts: list[int] = []

    def counting(network: keras.Model, films: np.ndarray, batch: int) -> np.ndarray:
        counts.append(len(films))
        return original(network, films, batch)

    original = trunk._predict
    monkeypatch.setattr(trunk, "_predict", counting)
    return counts


def test_a_second_run_finds_its_features_and_scores_every_film_the_same(
        task_of: TaskOf, blob_pixels: Pixels, tmp_path: Path, predicted: list[int]) -> None:
    options = {"cache": Cache(tmp_path), "pixels": replace(blob_pixels, key="blobs")}
    fresh = trained(task_of(), Fast())
    first = trained(task_of(**options), Fast())
    predicted.clear()
    again, stronger = (trained(task_of(**options), Fast(penalty=penalty)) for penalty in (0.14, 5))
    assert predicted == []
    np.testing.assert_array_equal(first.scores, fresh.scores)
    np.testing.assert_array_equal(again.scores, fresh.scores)
    assert np.abs(stronger.scores - fresh.scores).max() > 1e-3


def test_features_that_memory_has_no_room_for_give_the_same_model(
        task_of: TaskOf, blob_pixels: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = trained(task_of(), Fast())
    monkeypatch.setattr(fast, "_IN_MEMORY", 0)
    monkeypatch.setattr(fast, "_PART", 5)
    read = trained(task_of(cache=Cache(tmp_path), pixels=replace(blob_pixels, key="blobs")), Fast())
    np.testing.assert_allclose(read.scores, held.scores, atol=1e-6)


def test_another_split_needs_only_the_views_of_films_that_were_not_learnt_from(
        task_of: TaskOf, blob_cohort: Cohort, blob_pixels: Pixels, tmp_path: Path,
        predicted: list[int]) -> None:
    options = {"cache": Cache(tmp_path), "pixels": replace(blob_pixels, key="blobs")}
    trained(task_of(**options), Fast(views=2))
    turned = blob_cohort.with_column("split", [film.split for film in reversed(blob_cohort.radiographs)])
    predicted.clear()
    trained(task_of(cohort=turned, **options), Fast(views=2))
    learnt = [{film.id for film in cohort.subset("train")} for cohort in (blob_cohort, turned)]
    assert sum(predicted) == 2 * len(learnt[1] - learnt[0]) > 0


def test_a_backbone_of_several_is_extracted_and_fitted_by_itself(
        task_of: TaskOf, small_backbone: Backbone) -> None:
    """What an ensemble does with each of its members gives what `train` gives for it alone."""
    other = replace(small_backbone, taps=("deep",))
    task, recipe = task_of(), Fast()
    keras.utils.set_random_seed(0)
    member = recipe.fit(task, recipe.extract(task, other, Weights(None, "random", "")))
    np.testing.assert_array_equal(member.scores, trained(task_of(backbone=other), recipe).scores)


@pytest.fixture(scope="module")
def task(task_of: TaskOf, small_backbone: Backbone) -> Task:
    random = Weights(None, "random", "")
    other = replace(small_backbone, name="other", taps=("deep",), views=1)
    return task_of(members=(Member(small_backbone, random), Member(other, random)))


@pytest.fixture(scope="module")
def result(task: Task) -> Trained:
    keras.utils.set_random_seed(0)
    return Ensemble().train(task)


def test_its_scores_are_the_mean_of_those_of_fast_on_each_backbone(task: Task, result: Trained) -> None:
    keras.utils.set_random_seed(0)
    parts = [Fast(views=member.backbone.views).train(replace(task, members=(member,)))
             for member in task.members]
    np.testing.assert_allclose(result.scores, np.mean([part.scores for part in parts], axis=0), atol=1e-6)
    assert result.held_out.keys() == parts[0].held_out.keys() != set()
    for row, scores in result.held_out.items():
        np.testing.assert_allclose(scores, (parts[0].held_out[row] + parts[1].held_out[row]) / 2)


def test_it_is_one_flat_graph_that_gives_these_scores_after_a_round_trip(task: Task, result: Trained) -> None:
    again = keras.models.model_from_json(result.model.to_json())
    again.set_weights(result.model.get_weights())
    assert not any(isinstance(layer, keras.Model) for layer in again.layers)
    films = task.pixels.batch(range(20))
    np.testing.assert_allclose(again.predict(films, verbose=0), result.scores, atol=1e-5)


def test_its_features_are_those_of_its_members_side_by_side_where_all_have_several_depths(
        task: Task, result: Trained, small_backbone: Backbone) -> None:
    assert result.features is None  # one member pools a single depth
    other = Member(replace(small_backbone, name="other", views=1), Weights(None, "random", ""))
    both = replace(task, members=(task.members[0], other))
    trained = Ensemble().train(both)
    rows = both.reference_rows()
    assert trained.features is not None
    found = with_features(trained.model).predict(both.pixels.batch(rows), verbose=0)[:, 2:]
    np.testing.assert_allclose(trained.features, found, atol=1e-4)
    assert found.shape[1] == 2 * (8 + 16)


def test_its_history_names_the_member_of_each_row(result: Trained) -> None:
    assert {row["phase"] for row in result.history} == {"small", "other"}
    assert [row["epoch"] for row in result.history] == list(range(1, len(result.history) + 1))
