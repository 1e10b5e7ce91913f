"""Order, labels, weights and variants of the batches that Keras trains on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import keras
import numpy as np
import pytest

from pneumo_tf.training.batches import FilmBatches, Variant, variant_of
from pneumo_tf.training.loop import Loop, LoopPhase
from pneumo_tf.training.optimizers import Rates
from pneumo_tf.training.pixels import Pixels, as_three_channels
from pneumo_tf.training.task import Task
from pneumo_tf.training.views import FILMS, apply_view, sample_view, view_rng

TaskOf = Callable[..., Task]


@pytest.fixture
def numbered_films(blob_pixels: Pixels) -> Pixels:
    """Each film is of one level, its row."""
    levels = blob_pixels.positions.astype(np.uint8)[:, None, None, None]
    return Pixels(np.tile(levels, (1, 8, 8, 1)), blob_pixels.positions)


def unchanged(film: np.ndarray, row: int, epoch: int) -> np.ndarray:
    return film


def rows_of(batches: FilmBatches) -> list[int]:
    films = np.concatenate([batches[index][0] for index in range(len(batches))])
    assert films.shape[1:] == (8, 8, 3)
    return [int(film[0, 0, 0]) for film in films]


def test_validation_keeps_its_order_in_every_epoch(task_of: TaskOf, numbered_films: Pixels) -> None:
    task = task_of(pixels=numbered_films, batch_size=3)
    batches = FilmBatches(task, "validation")
    assert [len(batches[index][0]) for index in range(len(batches))] == [3, 1]
    for epoch in range(2):
        batches.begin(epoch)
        assert rows_of(batches) == task.rows("validation").tolist()


def test_training_films_come_once_an_epoch_in_an_order_that_changes(
        task_of: TaskOf, numbered_films: Pixels) -> None:
    task = task_of(pixels=numbered_films)
    batches, again, other = (FilmBatches(t, "train", variant=unchanged)
                             for t in (task, task, task_of(pixels=numbered_films, seed=2)))
    orders = []
    for epoch in range(3):
        for each in (batches, again, other):
            each.begin(epoch)
        orders.append(rows_of(batches))
        assert rows_of(again) == orders[-1] != rows_of(other)
    assert all(sorted(order) == task.rows("train").tolist() for order in orders)
    assert len(set(map(tuple, orders))) == 3


def test_each_film_brings_its_label_and_the_weight_of_its_class(
        task_of: TaskOf, numbered_films: Pixels) -> None:
    task = task_of(pixels=numbered_films)
    batches = FilmBatches(task, "train", variant=unchanged, class_weights={0: 0.5, 1: 3.0})
    for index in range(len(batches)):
        films, labels, weights = batches[index]
        for film, label, weight in zip(films, labels, weights, strict=True):
            name = task.cohort.radiographs[int(film[0, 0, 0])].label
            assert (label.tolist(), weight) == {"NORMAL": ([1, 0], 0.5), "PNEUMONIA": ([0, 1], 3.0)}[name]


def test_without_class_weights_every_film_counts_once(task_of: TaskOf, numbered_films: Pixels) -> None:
    assert FilmBatches(task_of(pixels=numbered_films), "validation")[0][2].tolist() == [1, 1, 1, 1]


def test_a_variant_is_drawn_from_seed_row_and_epoch(task_of: TaskOf, blob_pixels: Pixels) -> None:
    batches = FilmBatches(task_of(batch_size=4), "train", variant=variant_of("films", 9))
    batches.begin(1)
    rows = FilmBatches(task_of(batch_size=4), "train", variant=lambda film, row, epoch: film * 0 + row)
    rows.begin(1)
    order = rows[1][0][:, 0, 0, 0]
    expected = [apply_view(blob_pixels.film(row), sample_view(FILMS, view_rng(9, int(row), 1)))
                for row in order]
    np.testing.assert_array_equal(batches[1][0], as_three_channels(np.stack(expected)))


class _Witness:
    """A variant that notes which film it was asked for in which epoch."""

    def __init__(self, variant: Variant) -> None:
        self.variant, self.seen = variant, Counter[tuple[int, int]]()

    def __call__(self, film: np.ndarray, row: int, epoch: int) -> np.ndarray:
        self.seen[epoch, row] += 1
        return self.variant(film, row, epoch)


def fit(task: Task) -> tuple[list[float], _Witness]:
    """Losses of three epochs, from the same start."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((task.size, task.size, 3)), keras.layers.Rescaling(1 / 255),
                              keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")])
    witness = _Witness(variant_of("films", task.seed))
    loop = Loop(model, FilmBatches(task, "train", variant=witness), FilmBatches(task, "validation"))

    def ready(rates: Rates, steps: int) -> None:
        model.compile(keras.optimizers.SGD(rates.high), loss="categorical_crossentropy", metrics=["accuracy"])

    step = LoopPhase(name="all", epochs=3, choose_rates=lambda: Rates(0.01, 0.01), compile=ready)
    return [row["loss"] for row in loop.run([step])], witness


def test_the_number_of_threads_changes_nothing_that_is_learnt(task_of: TaskOf) -> None:
    task = task_of(threads=4)
    losses, witness = fit(task)
    np.testing.assert_allclose(losses, fit(task_of(threads=1))[0], rtol=1e-5)
    rows = task.rows("train").tolist()
    assert {epoch for epoch, _ in witness.seen} == {0, 1, 2}
    assert all(witness.seen[epoch, row] == 1 for epoch in (1, 2) for row in rows)
    assert all(witness.seen[0, row] >= 1 for row in rows)  # Keras draws some before, to see their shape


def test_smoothing_gives_a_share_of_each_label_to_all_classes(task_of: TaskOf) -> None:
    task = task_of()
    _, labels, _ = FilmBatches(task, "train", variant=unchanged)[0]
    _, smoothed, _ = FilmBatches(task, "train", variant=unchanged, smoothing=0.1)[0]
    np.testing.assert_allclose(smoothed, np.where(labels == 1, 0.95, 0.05))


def test_mixup_mixes_films_labels_and_weights_by_one_share(task_of: TaskOf, numbered_films: Pixels) -> None:
    task, weights = task_of(pixels=numbered_films, batch_size=12), {0: 1.0, 1: 3.0}
    plain = FilmBatches(task, "train", variant=unchanged, class_weights=weights)[0]
    mixed = FilmBatches(task, "train", variant=unchanged, class_weights=weights, mixup=0.3)[0]
    own, films = plain[0][:, 0, 0, 0].astype(float), mixed[0][:, 0, 0, 0]
    # The first film's partner and the share follow from its level and weight, and must give its label.
    rng = np.random.default_rng((task.seed, 0, 0))
    share = rng.beta(0.3, 0.3)
    share, other = max(share, 1 - share), rng.permutation(12)
    np.testing.assert_allclose(films, share * own + (1 - share) * own[other], rtol=1e-5)
    np.testing.assert_allclose(mixed[2], share * plain[2] + (1 - share) * plain[2][other], rtol=1e-5)
    weighted = plain[1] * plain[2][:, None]
    np.testing.assert_allclose(mixed[1] * mixed[2][:, None], share * weighted + (1 - share) * weighted[other],
                               rtol=1e-5)
    np.testing.assert_allclose(mixed[1].sum(axis=1), 1, rtol=1e-6)
    assert mixed[1].dtype == mixed[0].dtype == np.float32
