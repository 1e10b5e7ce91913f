"""The recipe `full` on synthetic films."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest

from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.classifier import build_backbone
from pneumo_tf.training.device import Device
from pneumo_tf.training.full import Full, in_float32
from pneumo_tf.training.task import Task, Trained

TaskOf = Callable[..., Task]
QUICK = Full(head_epochs=2, head_rate=1e-2, rate=1e-2, patience=50)


def trained(task: Task, recipe: Full = QUICK) -> Trained:
    keras.utils.set_random_seed(0)
    return recipe.train(task)


@pytest.fixture(scope="module")
def three_epochs(task_of: TaskOf) -> Task:
    return task_of(epochs=3)


@pytest.fixture(scope="module")
def result(three_epochs: Task) -> Trained:
    return trained(three_epochs)


def test_the_head_comes_first_and_then_all_layers(result: Trained) -> None:
    history = result.history
    assert [(row["epoch"], row["phase"]) for row in history] == [(1, "head"), (2, "head"), (3, "all layers")]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"} <= set(history[0])
    assert all(row["seconds"] > 0 for row in history)


def test_every_film_is_scored_as_the_model_predicts(three_epochs: Task, result: Trained) -> None:
    films = three_epochs.pixels.batch(range(len(three_epochs.cohort)))
    np.testing.assert_allclose(result.scores, result.model.predict(films, verbose=0), atol=1e-4)
    np.testing.assert_allclose(result.scores.sum(axis=1), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_scores_whatever_the_threads(task_of: TaskOf, result: Trained) -> None:
    again, other = (trained(task_of(epochs=3, seed=seed, threads=3)).scores for seed in (1, 2))
    np.testing.assert_allclose(result.scores, again, atol=1e-5)
    assert np.abs(result.scores - other).max() > 1e-4


def test_the_backbone_learns_in_the_second_phase_alone(
        task_of: TaskOf, small_backbone: Backbone, result: Trained) -> None:
    keras.utils.set_random_seed(0)
    networks = [build_backbone(small_backbone, 32), trained(task_of(epochs=2)).model, result.model]
    start, head_only, both = (network.get_layer("shallow_conv").get_weights()[0] for network in networks)
    np.testing.assert_array_equal(head_only, start)
    assert np.abs(both - start).max() > 1e-4


def test_batch_norm_keeps_its_statistics_through_both_phases(result: Trained) -> None:
    norm = result.model.get_layer("deep_bn")
    np.testing.assert_array_equal(norm.moving_mean, 0)
    np.testing.assert_array_equal(norm.moving_variance, 1)


def test_it_stops_early_and_keeps_the_best_epoch(task_of: TaskOf) -> None:
    """At so high a rate the second phase soon overshoots."""
    task = task_of(epochs=12)
    result = trained(task, Full(head_epochs=1, rate=0.1, patience=2))
    losses = [row["val_loss"] for row in result.history[1:]]
    assert len(losses) == int(np.argmin(losses)) + 1 + 2 < 11
    validation, weights = task.rows("validation"), task.class_weights()
    own = result.scores[validation, task.labels[validation]]
    loss = np.mean([-np.log(max(score, 1e-7)) * weights[label]
                    for score, label in zip(own, task.labels[validation], strict=True)])
    assert loss == pytest.approx(min(losses), rel=1e-3, abs=1e-4)


def test_trained_in_bfloat16_it_leaves_a_float32_model_and_the_policy_as_it_was(
        task_of: TaskOf, plain_processor: Device, result: Trained) -> None:
    quick = trained(task_of(epochs=3, device=replace(plain_processor, bfloat16=True)))
    assert {layer.compute_dtype for layer in quick.model.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    np.testing.assert_allclose(quick.scores, result.scores, atol=0.1)
    assert np.abs(quick.scores - result.scores).max() > 1e-6


def test_a_network_in_float32_has_the_weights_of_the_one_in_bfloat16() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, dtype="mixed_bfloat16", name="b")(inputs)
    x = keras.layers.BatchNormalization(dtype="mixed_bfloat16", name="a", trainable=False)(x)
    coarse = keras.Model(inputs, keras.layers.Dense(2, name="c")(x))
    exact = in_float32(coarse)
    films = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    assert {layer.compute_dtype for layer in exact.layers} == {"float32"}
    for layer in coarse.layers:
        if layer.weights:
            pairs = zip(exact.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True)
            assert all(np.array_equal(*pair) for pair in pairs)
    np.testing.assert_allclose(np.asarray(exact(films)), np.asarray(coarse(films)), atol=0.05)
