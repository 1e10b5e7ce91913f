"""The recipe `full` on synthetic films."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest

from pneumo_tf.training.full import Full, in_float32
from pneumo_tf.training.task import Task, Trained

TaskOf = Callable[..., Task]
QUICK = Full(head_epochs=2, head_rate=1e-2, rate=1e-2, patience=50)


def trained(task: Task, recipe: Full = QUICK) -> Trained:
    keras.utils.set_random_seed(0)
    return recipe.train(task)


@pytest.fixture
def three_epochs(task_of: TaskOf) -> Task:
    return task_of(epochs=3)


def test_the_head_comes_first_and_then_all_layers(three_epochs: Task) -> None:
    history = trained(three_epochs).history
    assert [(row["epoch"], row["phase"]) for row in history] == [(1, "head"), (2, "head"), (3, "all layers")]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"} <= set(history[0])
    assert all(row["seconds"] > 0 for row in history)


def test_every_film_is_scored_as_the_model_predicts(three_epochs: Task) -> None:
    result = trained(three_epochs)
    films = three_epochs.pixels.batch(range(len(three_epochs.cohort)))
    np.testing.assert_allclose(result.scores, result.model.predict(films, verbose=0), atol=1e-4)
    np.testing.assert_allclose(result.scores.sum(axis=1), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_scores_whatever_the_threads(task_of: TaskOf) -> None:
    once, again, other = (trained(task_of(epochs=3, seed=seed, threads=threads)).scores
                          for seed, threads in ((1, 1), (1, 3), (2, 1)))
    np.testing.assert_allclose(once, again, atol=1e-5)
    assert np.abs(once - other).max() > 1e-4


def test_with_as_few_epochs_as_the_head_takes_the_backbone_stays_as_it_was(task_of: TaskOf) -> None:
    untouched, touched = (trained(task_of(epochs=epochs)).model for epochs in (2, 3))
    keras.utils.set_random_seed(0)
    start = trained(task_of(epochs=1)).model
    kernel = [model.get_layer("shallow_conv").get_weights()[0] for model in (start, untouched, touched)]
    np.testing.assert_array_equal(kernel[0], kernel[1])
    assert np.abs(kernel[0] - kernel[2]).max() > 1e-4


def test_batch_norm_keeps_its_statistics_through_both_phases(three_epochs: Task) -> None:
    norm = trained(three_epochs).model.get_layer("deep_bn")
    np.testing.assert_array_equal(norm.moving_mean, 0)
    np.testing.assert_array_equal(norm.moving_variance, 1)


def test_it_stops_early_and_keeps_the_best_epoch(task_of: TaskOf) -> None:
    """At this rate the first step of the second phase ruins the network and the others mend nothing."""
    task = task_of(epochs=12)
    result = trained(task, Full(head_epochs=1, rate=30.0, patience=2))
    losses = [row["val_loss"] for row in result.history[1:]]
    assert len(losses) == int(np.argmin(losses)) + 1 + 2 < 11
    validation, weights = task.rows("validation"), task.class_weights()
    own = result.scores[validation, task.labels[validation]]
    loss = np.mean([-np.log(max(score, 1e-7)) * weights[label]
                    for score, label in zip(own, task.labels[validation], strict=True)])
    assert loss == pytest.approx(min(losses), rel=1e-3, abs=1e-4)


def test_trained_in_bfloat16_it_leaves_a_float32_model_and_the_policy_as_it_was(task_of: TaskOf) -> None:
    task = task_of(epochs=3)
    result = trained(task_of(epochs=3, device=replace(task.device, bfloat16=True)))
    assert {layer.compute_dtype for layer in result.model.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    np.testing.assert_allclose(result.scores, trained(task).scores, atol=0.1)


def test_a_network_in_float32_has_the_weights_of_the_one_in_bfloat16() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, dtype="mixed_bfloat16", name="b")(inputs)
    x = keras.layers.BatchNormalization(dtype="mixed_bfloat16", name="a", trainable=False)(x)
    coarse = keras.Model(inputs, keras.layers.Dense(2, name="c")(x))
    exact = in_float32(coarse)
    films = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    assert {layer.compute_dtype for layer in exact.layers} == {"float32"}
    for layer in coarse.layers:
        for ours, theirs in zip(exact.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(np.asarray(exact(films)), np.asarray(coarse(films)), atol=0.05)
