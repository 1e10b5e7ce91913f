"""The recipe `reference` on synthetic films: the tutorial, repeatable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest

from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.classifier import attach_head, build_backbone, tutorial_head
from pneumo_tf.training.reference import Reference
from pneumo_tf.training.task import Task, Trained

pytestmark = pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")
TaskOf = Callable[..., Task]


def trained(task: Task, recipe: Reference | None = None) -> Trained:
    keras.utils.set_random_seed(0)
    return (recipe or Reference(rate=1e-2)).train(task)


@pytest.fixture(scope="module")
def two_epochs(task_of: TaskOf) -> Task:
    return task_of(epochs=2)


@pytest.fixture(scope="module")
def result(two_epochs: Task) -> Trained:
    return trained(two_epochs)


def test_it_trains_all_layers_with_the_tutorials_optimizer(task_of: TaskOf) -> None:
    model = trained(task_of(epochs=1), Reference()).model
    optimizer = model.optimizer
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert float(optimizer.learning_rate) == pytest.approx(1e-4)
    assert (optimizer.momentum, optimizer.nesterov, model.loss) == (0.8, True, "binary_crossentropy")
    assert all(layer.trainable for layer in model.layers)
    assert np.asarray(model.get_layer("shallow_bn").moving_mean).any()


def test_films_are_divided_by_255_whatever_the_backbone_expects(
        two_epochs: Task, result: Trained, small_backbone: Backbone) -> None:
    unscaled = attach_head(build_backbone(small_backbone, 32, scaling=(1.0, 0.0)), tutorial_head, 2)
    unscaled.set_weights(result.model.get_weights())
    films = two_epochs.pixels.batch(range(4))
    np.testing.assert_allclose(np.asarray(unscaled(films / np.float32(255))), result.scores[:4], atol=1e-4)


def test_every_film_is_scored_as_the_model_predicts(two_epochs: Task, result: Trained) -> None:
    films = two_epochs.pixels.batch(range(len(two_epochs.cohort)))
    np.testing.assert_allclose(result.scores, result.model.predict(films, verbose=0), atol=1e-4)
    assert [(row["epoch"], row["phase"]) for row in result.history] == [(1, "all layers"), (2, "all layers")]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"} <= set(result.history[0])


def test_its_augmentation_is_the_same_for_one_thread_and_for_two(task_of: TaskOf, result: Trained) -> None:
    two = trained(task_of(epochs=2, threads=2)).scores
    np.testing.assert_allclose(result.scores, two, atol=1e-5)


def test_its_augmentation_hangs_on_the_seed(task_of: TaskOf) -> None:
    """With all films in one batch their order has no say."""
    one, other = (trained(task_of(epochs=1, seed=seed, batch_size=12), Reference(rate=1.0)).scores
                  for seed in (1, 2))
    assert np.abs(one - other).max() > 1e-4


def test_each_part_of_its_augmentation_is_learnt_from(two_epochs: Task) -> None:
    still = Reference(rate=0.1, rotation=0, shift=0, flip=False)
    parts = [replace(still, rotation=30), replace(still, shift=0.2), replace(still, flip=True)]
    plain, *moved = (trained(two_epochs, recipe).scores for recipe in (still, *parts))
    assert all(np.abs(plain - scores).max() > 1e-4 for scores in moved)
