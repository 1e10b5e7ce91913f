"""The recipe `top`: the blocks above the cut, on activations that are computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.classifier import build_backbone
from pneumo_tf.training.batches import ActivationBatches
from pneumo_tf.training.loop import Checkpoint
from pneumo_tf.training.machine import Device
from pneumo_tf.training.optimizers import Rates
from pneumo_tf.training.phased import Phase, Top
from pneumo_tf.training.pixels import Pixels
from pneumo_tf.training.store import Cache
from pneumo_tf.training.task import Task, Trained
from pneumo_tf.training.trunk import Activations

TaskOf = Callable[..., Task]
QUICK = Top(views=2, rates=Rates(1e-2, 1e-2), phases=(Phase("head", epochs=1), Phase("all")))


def trained(task: Task, recipe: Top = QUICK) -> Trained:
    keras.utils.set_random_seed(0)
    return recipe.train(task)


@pytest.fixture(scope="module")
def result(task_of: TaskOf) -> Trained:
    return trained(task_of(epochs=2))


def test_the_exported_graph_gives_the_scores_of_every_film(task_of: TaskOf, result: Trained) -> None:
    films = task_of().pixels.batch(range(20))
    np.testing.assert_allclose(result.scores, result.model.predict(films, verbose=0), atol=1e-5)
    assert [row["phase"] for row in result.history] == ["head", "all layers", "all layers"]


def test_what_lies_below_the_cut_stays_and_what_lies_above_learns(
        small_backbone: Backbone, result: Trained) -> None:
    keras.utils.set_random_seed(0)
    start = build_backbone(small_backbone, 32)
    for name in ("shallow_conv", "shallow_bn"):
        for old, new in zip(start.get_layer(name).get_weights(), result.model.get_layer(name).get_weights(),
                            strict=True):
            np.testing.assert_array_equal(old, new)
    moved = start.get_layer("deep_conv").kernel - result.model.get_layer("deep_conv").kernel
    assert np.abs(moved).max() > 1e-4


def test_with_a_cache_it_is_the_same_and_the_second_time_nothing_is_computed(
        task_of: TaskOf, blob_pixels: Pixels, result: Trained, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(epochs=2, pixels=replace(blob_pixels, key="blobs"), cache=Cache(tmp_path))
    np.testing.assert_allclose(trained(task).scores, result.scores, atol=1e-5)
    monkeypatch.setattr("pneumo_tf.training.trunk._predict", None)
    np.testing.assert_allclose(trained(task).scores, result.scores, atol=1e-5)


def test_resumed_it_ends_bit_for_bit_as_uninterrupted(
        task_of: TaskOf, result: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(epochs=2, checkpoint=Checkpoint(tmp_path / "checkpoint.npz"))

    def show(_: object, row: dict[str, object]) -> None:
        if row["epoch"] == 2:
            raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr("pneumo_tf.training.loop.EpochTable.show", show)
        with pytest.raises(InterruptedError):
            trained(task)
    np.testing.assert_array_equal(trained(task).scores, result.scores)


def test_in_bfloat16_it_leaves_a_float32_graph_with_scores_near_those_of_float32(
        task_of: TaskOf, plain_processor: Device, result: Trained) -> None:
    quick = trained(task_of(epochs=2, device=replace(plain_processor, bfloat16=True)))
    assert {layer.compute_dtype for layer in quick.model.layers} == {"float32"}
    np.testing.assert_allclose(quick.scores, result.scores, atol=0.1)
    films = task_of().pixels.batch(range(20))
    np.testing.assert_allclose(quick.scores, quick.model.predict(films, verbose=0), atol=1e-5)


def test_an_epoch_sees_each_film_once_as_itself_or_as_one_of_its_views(task_of: TaskOf) -> None:
    task = task_of(batch_size=5)
    rows = np.arange(20)
    films = Activations(rows[:, None].astype("float32"), rows)
    views = Activations((rows[:, None, None] + np.array([100, 200])[:, None]).astype("float32"), rows)
    batches = ActivationBatches(task, "train", films=films, views=views)
    drawn = []
    for epoch in range(60):
        batches.begin(epoch)
        seen = np.concatenate([batches[index][0][:, 0] for index in range(len(batches))])
        assert sorted(seen % 100) == task.rows("train").tolist()
        drawn.append(seen // 100)
    shares = np.bincount(np.concatenate(drawn).astype(int)) / np.size(drawn)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.06)


def test_validation_sees_the_films_themselves_in_order(task_of: TaskOf) -> None:
    rows = np.arange(20)
    batches = ActivationBatches(task_of(), "validation", films=Activations(rows[:, None], rows))
    assert batches[0][0][:, 0].tolist() == task_of().rows("validation").tolist()
