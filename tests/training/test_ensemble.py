"""The recipe `ensemble`: several backbones, one graph, the mean of their scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest

from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.weights.pretrained import Weights
from pneumo_tf.training.ensemble import Ensemble
from pneumo_tf.training.fast import Fast
from pneumo_tf.training.task import Member, Task, Trained

TaskOf = Callable[..., Task]


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


def test_its_history_names_the_member_of_each_row(result: Trained) -> None:
    assert {row["phase"] for row in result.history} == {"small", "other"}
    assert [row["epoch"] for row in result.history] == list(range(1, len(result.history) + 1))
