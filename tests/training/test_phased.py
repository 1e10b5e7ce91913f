"""Recipes that train in phases: what learns when, at which rates, and what remains of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
import pytest

from pneumo_tf.cohort import Cohort
from pneumo_tf.errors import OptionError
from pneumo_tf.models.backbones import Backbone
from pneumo_tf.models.classifier import attach_head, build_backbone, depth_groups, with_features
from pneumo_tf.models.folding import fold_batch_norm
from pneumo_tf.models.heads import tutorial_head
from pneumo_tf.models.weights.pretrained import Weights
from pneumo_tf.training.loop import Checkpoint
from pneumo_tf.training.machine import Device
from pneumo_tf.training.optimizers import Rates
from pneumo_tf.training.phased import Phase, Phased, in_float32, parse_phase
from pneumo_tf.training.recipes import FineTune, Full, LastLayer, Reference, ScratchDwsep, Sturdy
from pneumo_tf.training.task import Task, Trained

pytestmark = pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")
TaskOf = Callable[..., Task]
QUICK = Full(rates=Rates(1e-2, 1e-2), phases=(Phase("head", epochs=2), Phase("all")), patience=50)
PRETRAINED = Weights(Path("file"), "given", "0")


@pytest.fixture(autouse=True)
def any_file_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretrained weights are whatever the network starts with."""
    monkeypatch.setattr("pneumo_tf.training.phased.load_weights", lambda *_: None)


def trained(task: Task, recipe: Phased = QUICK) -> Trained:
    keras.utils.set_random_seed(0)
    return recipe.train(task)


@pytest.fixture(scope="module")
def one_more_epoch(task_of: TaskOf) -> Task:
    return task_of(epochs=1, weights=PRETRAINED)


@pytest.fixture(scope="module")
def result(one_more_epoch: Task) -> Trained:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pneumo_tf.training.phased.load_weights", lambda *_: None)
        return trained(one_more_epoch)


def test_the_head_comes_first_and_then_all_layers(result: Trained) -> None:
    assert [(row["epoch"], row["phase"]) for row in result.history] == [
        (1, "head"), (2, "head"), (3, "all layers")]


def test_every_film_is_scored_as_the_model_predicts(one_more_epoch: Task, result: Trained) -> None:
    films = one_more_epoch.pixels.batch(range(len(one_more_epoch.cohort)))
    np.testing.assert_allclose(result.scores, result.model.predict(films, verbose=0), atol=1e-4)
    np.testing.assert_allclose(result.scores.sum(axis=1), 1, atol=1e-5)


def test_the_features_of_the_reference_films_come_out_of_the_same_pass(one_more_epoch: Task,
                                                                       result: Trained) -> None:
    rows = one_more_epoch.reference_rows()
    assert [one_more_epoch.cohort.radiographs[row].split for row in rows] == \
        ["train"] * 12 + ["validation"] * 4 + ["test"] * 4
    both = with_features(result.model).predict(one_more_epoch.pixels.batch(rows), verbose=0)
    assert result.features is not None
    np.testing.assert_allclose(result.features, both[:, 2:], atol=1e-3, rtol=1e-3)
    assert result.score is not None
    np.testing.assert_allclose(result.score(one_more_epoch.pixels.batch(rows)), both[:, :2], atol=1e-4)


def test_the_same_seed_gives_the_same_scores_whatever_the_threads(task_of: TaskOf, result: Trained) -> None:
    again, other = (trained(task_of(epochs=1, weights=PRETRAINED, seed=seed, threads=3)).scores
                    for seed in (1, 2))
    np.testing.assert_allclose(result.scores, again, atol=1e-5)
    assert np.abs(result.scores - other).max() > 1e-4


def test_the_backbone_learns_in_the_second_phase_alone(
        task_of: TaskOf, small_backbone: Backbone, result: Trained) -> None:
    keras.utils.set_random_seed(0)
    head_only = replace(QUICK, phases=(Phase("head", epochs=2),))
    networks = [build_backbone(small_backbone, 32), trained(task_of(weights=PRETRAINED), head_only).model,
                result.model]
    start, frozen, free = (network.get_layer("shallow_conv").get_weights()[0] for network in networks)
    np.testing.assert_array_equal(frozen, start)
    assert np.abs(free - start).max() > 1e-4


@pytest.mark.parametrize(("recipe", "weights", "learns"), [
    (QUICK, PRETRAINED, False),
    (QUICK, Weights(None, "random", ""), True),
    (replace(QUICK, train_norm=True), PRETRAINED, True),
])
def test_batch_norm_keeps_pretrained_statistics_and_learns_its_own(
        task_of: TaskOf, recipe: Phased, weights: Weights, learns: bool) -> None:
    norm = trained(task_of(epochs=1, weights=weights), recipe).model.get_layer("deep_bn")
    assert bool(np.asarray(norm.moving_mean).any()) is learns
    assert bool((np.asarray(norm.gamma) != 1).any()) is learns


def test_constant_layers_never_learn(task_of: TaskOf, small_backbone: Backbone) -> None:
    kept = replace(small_backbone, constant=("shallow_conv",))
    keras.utils.set_random_seed(0)
    start = build_backbone(kept, 32)
    model = trained(task_of(epochs=2, backbone=kept, weights=PRETRAINED)).model
    moved = {name: np.abs(model.get_layer(name).kernel - start.get_layer(name).kernel).max()
             for name in ("shallow_conv", "deep_conv")}
    assert moved["shallow_conv"] == 0
    assert moved["deep_conv"] > 1e-4


def test_it_stops_early_and_keeps_the_best_epoch(task_of: TaskOf) -> None:
    """Validation's labels are swapped, so the more is learnt the worse it gets."""
    swapped = {"NORMAL": "PNEUMONIA", "PNEUMONIA": "NORMAL"}
    films = task_of().cohort.radiographs
    cohort = Cohort(tuple(replace(film, label=swapped[film.label]) if film.split == "validation" else film
                          for film in films))
    task = task_of(epochs=20, weights=PRETRAINED, cohort=cohort)
    result = trained(task, replace(QUICK, patience=2))
    losses = [row["val_loss"] for row in result.history[2:]]
    assert len(losses) == int(np.argmin(losses)) + 1 + 2 < 20
    validation, weights = task.rows("validation"), task.class_weights()
    own = result.scores[validation, task.labels[validation]]
    loss = np.mean([-np.log(max(score, 1e-7)) * weights[label]
                    for score, label in zip(own, task.labels[validation], strict=True)])
    assert loss == pytest.approx(min(losses), rel=1e-3, abs=1e-4)


def test_trained_in_bfloat16_it_leaves_a_float32_model_and_the_policy_as_it_was(
        task_of: TaskOf, plain_processor: Device, result: Trained) -> None:
    device = replace(plain_processor, bfloat16=True)
    quick = trained(task_of(epochs=1, weights=PRETRAINED, device=device))
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


def test_early_layers_learn_at_the_low_rate_and_late_ones_at_the_high_one(
        task_of: TaskOf, small_backbone: Backbone) -> None:
    """Adam's first step moves every weight by its rate, whatever the gradient."""
    recipe = Phased(rates=Rates(1e-4, 1e-2), phases=(Phase("all", factor=0.5),), augment="none",
                    head="linear")
    task = task_of(epochs=1, batch_size=100, weights=PRETRAINED)
    keras.utils.set_random_seed(0)
    before = recipe.prepare(task).model
    keras.utils.set_random_seed(0)
    after = recipe.train(task).model
    groups = depth_groups(before, build_backbone(small_backbone, 32))
    moved = {group: [] for group in range(3)}
    for layer in before.layers:
        for old, new in zip(layer.trainable_variables, after.get_layer(layer.name).weights, strict=False):
            moved[groups[old.path]].append(np.abs(np.asarray(new) - np.asarray(old)).max())
    for group, rate in enumerate((5e-5, 5e-4, 5e-3)):
        assert max(moved[group]) == pytest.approx(rate, rel=1e-2)


def test_auto_takes_the_valley_of_a_range_test_which_leaves_no_trace(
        task_of: TaskOf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    task = task_of(epochs=1, weights=PRETRAINED)
    found = trained(task, replace(QUICK, rates=None, schedule="constant"))
    rates = [row["rate"] for row in found.history]
    said = [line for line in capsys.readouterr().out.splitlines() if "valley" in line]
    assert [line.partition(":")[0] for line in said] == ["head", "all layers"]
    by_hand = replace(QUICK, rates=None, schedule="constant",
                      phases=(Phase("head", 2, rates=Rates(rates[0], rates[0])),
                              Phase("all", rates=Rates(rates[2], rates[2]))))
    np.testing.assert_allclose(trained(task, by_hand).scores, found.scores, atol=1e-6)


def test_a_resumed_training_ends_as_an_uninterrupted_one(task_of: TaskOf, tmp_path: Path) -> None:
    """With dropout, views and a schedule: everything that chance and time have a say in."""
    task = task_of(epochs=3, weights=PRETRAINED)
    straight = trained(task)
    killed = replace(task, checkpoint=Checkpoint(tmp_path / "checkpoint.npz"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pneumo_tf.training.loop.EpochTable.show", _kill_in_epoch(4))
        with pytest.raises(InterruptedError):
            trained(killed)
    resumed = trained(killed)
    np.testing.assert_array_equal(resumed.scores, straight.scores)
    assert [{**row, "seconds": 0} for row in resumed.history] == [
        {**row, "seconds": 0} for row in straight.history]


def _kill_in_epoch(number: int) -> Callable[..., None]:
    def show(_: object, row: dict[str, object]) -> None:
        if row["epoch"] == number:
            raise InterruptedError

    return show


@dataclass
class Seen:
    """What a fit was called with."""

    model: keras.Model | None = None
    optimizers: list[keras.Optimizer] = field(default_factory=list)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """The optimizers that each phase begins with."""
    seen, fit = Seen(), keras.Model.fit

    def watched(model: keras.Model, *arguments: object, **options: object) -> object:
        seen.model = model
        seen.optimizers.append(model.optimizer)
        return fit(model, *arguments, **options)

    monkeypatch.setattr(keras.Model, "fit", watched)
    return seen


def peak(optimizer: keras.Optimizer) -> float:
    return float(max(optimizer._learning_rate.rates))


def test_reference_trains_all_layers_with_the_tutorials_optimizer(task_of: TaskOf, fits: Seen) -> None:
    model = trained(task_of(epochs=1, weights=PRETRAINED), Reference()).model
    optimizer, = fits.optimizers
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert peak(optimizer) == pytest.approx(1e-4)
    assert (optimizer.momentum, optimizer.nesterov) == (0.8, True)
    assert fits.model is not None
    assert fits.model.loss == "binary_crossentropy"
    assert all(layer.trainable for layer in fits.model.layers)
    assert np.asarray(model.get_layer("shallow_bn").moving_mean).any()


def test_reference_divides_films_by_255_whatever_the_backbone_expects(
        task_of: TaskOf, small_backbone: Backbone) -> None:
    task = task_of(epochs=1)
    result = trained(task, Reference())
    unscaled = attach_head(build_backbone(small_backbone, 32, scaling=(1.0, 0.0)), tutorial_head, 2)
    unscaled.set_weights(result.model.get_weights())
    films = task.pixels.batch(range(4))
    np.testing.assert_allclose(np.asarray(unscaled(films / np.float32(255))), result.scores[:4], atol=1e-4)


def test_last_layer_changes_one_layer_by_adadelta(task_of: TaskOf, fits: Seen) -> None:
    trained(task_of(epochs=1, weights=PRETRAINED), LastLayer())
    optimizer, = fits.optimizers
    assert isinstance(optimizer, keras.optimizers.Adadelta)
    assert peak(optimizer) == pytest.approx(0.01)
    assert fits.model is not None
    assert [variable.path for variable in fits.model.trainable_variables] == ["scores/kernel", "scores/bias"]


def test_fine_tune_is_one_epoch_of_the_head_and_then_one_cycle_of_all_at_half_the_rate(
        task_of: TaskOf, fits: Seen) -> None:
    result = trained(task_of(epochs=4, weights=PRETRAINED), FineTune())
    assert [row["phase"] for row in result.history] == ["head", *["all layers"] * 4]
    head, everything = fits.optimizers
    assert peak(everything) == pytest.approx(peak(head) / 2, rel=0.1)
    rates = everything._learning_rate.rates
    assert 0 < int(np.argmax(rates)) < len(rates) / 2, "up, then down"
    assert rates[-1] < rates[0] < rates.max()
    assert min(everything._factors) == pytest.approx(0.01)


def test_scratch_dwsep_decays_weights_as_pytorch_does(task_of: TaskOf, fits: Seen) -> None:
    trained(task_of(epochs=1, weights=PRETRAINED), ScratchDwsep(head="linear"))
    optimizer, = fits.optimizers
    assert isinstance(optimizer, keras.optimizers.Adam)
    assert peak(optimizer) == pytest.approx(1e-4)
    assert (optimizer._decay, optimizer._decoupled) == (1e-5, False)


@pytest.mark.parametrize(("text", "phase"), [
    ("head:3", Phase("head", 3)),
    ("head:3:5e-3", Phase("head", 3, rates=Rates(5e-3, 5e-3))),
    ("all:8:1e-5:1e-3", Phase("all", 8, rates=Rates(1e-5, 1e-3))),
    ("all:1:auto", Phase("all", 1, auto=True)),
])
def test_a_phase_is_written_as_layers_epochs_and_rates(text: str, phase: Phase) -> None:
    assert parse_phase(text) == phase


@pytest.mark.parametrize("text", ["", "head", "head:", "head:0", "head:-1", "head:x", "body:3", "head:1.5"])
def test_a_phase_without_a_meaning_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"--phase takes which layers.*--phase head:3:5e-3"):
        parse_phase(text)


@pytest.mark.parametrize("text", ["all:3:1e-3:1e-5", "all:3:fast", "all:3:0"])
def test_a_phases_rates_are_checked_like_any(text: str) -> None:
    with pytest.raises(OptionError, match="rate"):
        parse_phase(text)


@pytest.mark.parametrize(("values", "said"), [
    ({"optimizer": "lion"}, "optimizer"), ({"schedule": "steps"}, "schedule"), ({"augment": "wild"}, "wild"),
    ({"head": "hydra"}, "head"), ({"momentum": 0.9}, "momentum"), ({"weight_decay": -1.0}, "weight decay"),
])
def test_a_value_without_a_meaning_is_found_before_any_work(values: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        replace(QUICK, **values)


def test_sturdy_learns_on_a_folded_network_and_is_what_its_model_predicts(
        task_of: TaskOf, small_backbone: Backbone) -> None:
    task = task_of(epochs=2, weights=PRETRAINED)
    result = trained(task, Sturdy())
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in result.model.layers)
    start = fold_batch_norm(build_backbone(small_backbone, task.size))
    films = task.pixels.batch(range(len(task.cohort)))
    np.testing.assert_allclose(result.scores, result.model.predict(films, verbose=0), atol=1e-5)
    assert [row["phase"] for row in result.history] == ["all layers"] * 2
    assert {layer.name for layer in start.layers} < {layer.name for layer in result.model.layers}


def test_sturdys_head_learns_ten_times_as_fast_as_the_rest(task_of: TaskOf) -> None:
    ready = Sturdy().prepare(task_of(epochs=1, weights=PRETRAINED))
    ready.phases[0].compile(Rates(1e-3, 1e-3), 3)
    factors = dict(ready.loop.model.optimizer.get_config()["factors"])
    head = {variable.path for variable in ready.loop.model.layers[-1].weights}
    assert {path: factor for path, factor in factors.items() if factor != 1} == dict.fromkeys(head, 10.0)
