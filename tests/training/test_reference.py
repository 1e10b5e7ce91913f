"""The recipe `reference` on synthetic films: the tutorial, repeatable."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest

from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.classifier import attach_head, build_backbone, tutorial_head
from pneumo_tf.training.reference import Reference
from pneumo_tf.training.task import Task, Trained

TaskOf = Callable[..., Task]


def trained(task: Task, recipe: Reference | None = None) -> Trained:
    keras.utils.set_random_seed(0)
    return (recipe or Reference(rate=1e-2)).train(task)


@pytest.fixture
def two_epochs(task_of: TaskOf) -> Task:
    return task_of(epochs=2)


def test_it_trains_all_layers_as_the_tutorial_did(two_epochs: Task) -> None:
    model = trained(two_epochs, Reference()).model
    optimizer = model.optimizer
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert (float(optimizer.learning_rate), optimizer.momentum, optimizer.nesterov) == (
        pytest.approx(1e-4), 0.8, True)
    assert model.loss == "binary_crossentropy"
    assert all(layer.trainable for layer in model.layers)
    norm = model.get_layer("shallow_bn")
    assert np.abs(np.asarray(norm.moving_mean)).max() > 1e-3


def test_films_are_divided_by_255_whatever_the_backbone_expects(
        two_epochs: Task, small_backbone: Backbone) -> None:
    result = trained(two_epochs)
    unscaled = attach_head(build_backbone(small_backbone, 32, scaling=(1.0, 0.0)), tutorial_head, 2)
    unscaled.set_weights(result.model.get_weights())
    films = two_epochs.pixels.batch(range(4))
    np.testing.assert_allclose(np.asarray(unscaled(films / np.float32(255))), result.scores[:4], atol=1e-4)


def test_every_film_is_scored_as_the_model_predicts(two_epochs: Task) -> None:
    result = trained(two_epochs)
    films = two_epochs.pixels.batch(range(len(two_epochs.cohort)))
    np.testing.assert_allclose(result.scores, result.model.predict(films, verbose=0), atol=1e-4)
    assert [(row["epoch"], row["phase"]) for row in result.history] == [(1, "all layers"), (2, "all layers")]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"} <= set(result.history[0])


def test_its_augmentation_is_the_same_for_one_thread_and_for_two(task_of: TaskOf) -> None:
    one, two, other = (trained(task_of(epochs=2, threads=threads, seed=seed)).scores
                       for threads, seed in ((1, 1), (2, 1), (1, 2)))
    np.testing.assert_allclose(one, two, atol=1e-5)
    assert np.abs(one - other).max() > 1e-4


@pytest.mark.parametrize("option", ["rotation", "shift", "flip"])
def test_each_part_of_its_augmentation_is_learnt_from(two_epochs: Task, option: str) -> None:
    still = {"rotation": 0.0, "shift": 0.0, "flip": False}
    moving = {"rotation": 30.0, "shift": 0.2, "flip": True}
    plain = trained(two_epochs, Reference(rate=1e-2, **still))  # type: ignore[arg-type]
    moved = trained(two_epochs, Reference(rate=1e-2, **{**still, option: moving[option]}))  # type: ignore[arg-type]
    assert np.abs(plain.scores - moved.scores).max() > 1e-4
