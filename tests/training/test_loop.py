"""The loop between epochs: judging, stopping, going on after a kill, and saying what went wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.metrics import log_loss, roc_auc_score

from pneumo_tf.errors import TrainingError
from pneumo_tf.training.loop import (
    Checkpoint,
    EarlyStopping,
    Loop,
    LoopPhase,
    TrainingState,
    copies,
    validate,
)
from pneumo_tf.training.optimizers import Rates, build_optimizer, rate_schedule


class Vectors(keras.utils.PyDataset):
    """Two clouds of points, in another order each epoch."""

    def __init__(self, count: int = 40, *, seed: int = 0, batch_size: int = 8) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.batch_size, self.epochs_begun = batch_size, list[int]()
        self.labels = np.eye(2, dtype="float32")[np.arange(count) % 2]
        self.points = (rng.normal(size=(count, 3)) + self.labels[:, :1]).astype("float32")
        self.weights = rng.uniform(0.5, 2, count).astype("float32")
        self.begin(0)

    def begin(self, epoch: int) -> None:
        self.epochs_begun.append(epoch)
        self.order = np.random.default_rng(epoch).permutation(len(self.points))

    def __len__(self) -> int:
        return -(-len(self.points) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.points[rows], self.labels[rows], self.weights[rows]


def network() -> keras.Model:
    """With everything that must survive a kill: weights, BatchNorm's statistics, dropout's random state."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((3,))
    x = layers.Dropout(0.3, name="dropout")(layers.BatchNormalization(name="norm")(layers.Dense(8)(inputs)))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


@dataclass
class Training:
    """A loop and its phases, with what a test may want to change."""

    rates: list[float] = field(default_factory=lambda: [1e-2])
    epochs: int = 4
    stopping: EarlyStopping | None = None
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    chosen: int = 0

    def __post_init__(self) -> None:
        self.model = network()
        self.loop = Loop(self.model, Vectors(), Vectors(30, seed=1, batch_size=7), self.checkpoint)

    def run(self) -> list[dict[str, object]]:
        return self.loop.run([self.phase(number, rate) for number, rate in enumerate(self.rates)])

    def phase(self, number: int, rate: float) -> LoopPhase:
        last = number == len(self.rates) - 1
        return LoopPhase(name=f"phase {number}", epochs=self.epochs, choose_rates=lambda: self.choose(rate),
                    compile=self.compile, stopping=self.stopping if last else None)

    def choose(self, rate: float) -> Rates:
        self.chosen += 1
        return Rates(rate, rate)

    def compile(self, rates: Rates, steps: int) -> None:
        optimizer = keras.optimizers.Adam(rate_schedule("one-cycle", rates.high, steps))
        self.model.compile(optimizer, loss="categorical_crossentropy", metrics=["accuracy"])


class Averaged(Training):
    """Ends with a moving average of its weights."""

    def compile(self, rates: Rates, steps: int) -> None:
        optimizer = build_optimizer("adam", rate_schedule("one-cycle", rates.high, steps), average=0.9)
        self.model.compile(optimizer, loss="categorical_crossentropy", metrics=["accuracy"])


class KilledError(Exception):
    """Stands for a process that ends in the middle of an epoch."""


def killed_after(epochs: int, training: Training) -> None:
    """Run until the batch after so many epochs, then end."""
    inner, batches = training.compile, training.loop.batches

    def compile_with_a_killer(rates: Rates, steps: int) -> None:
        inner(rates, steps)
        fit = training.model.fit

        def fit_and_die(*arguments: object, callbacks: list[object], **options: object) -> object:
            def strike(batch: int, logs: object) -> None:
                if batches.epochs_begun[-1] == epochs and batch == 2:
                    raise KilledError
            killer = keras.callbacks.LambdaCallback(on_train_batch_end=strike)
            return fit(*arguments, callbacks=[*callbacks, killer], **options)

        training.model.fit = fit_and_die

    training.compile = compile_with_a_killer  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        training.run()


def test_every_epoch_has_a_row_with_the_figures_of_the_table() -> None:
    history = Training(rates=[1e-2, 1e-3], epochs=2).run()
    assert [(row["epoch"], row["phase"]) for row in history] == [
        (1, "phase 0"), (2, "phase 0"), (3, "phase 1"), (4, "phase 1")]
    assert list(history[0]) == ["epoch", "phase", "loss", "accuracy", "val_loss", "val_accuracy",
                                "error_rate", "val_auc", "rate", "seconds"]


def test_validation_agrees_with_scikit_learn() -> None:
    model, vectors = network(), Vectors(30, seed=1, batch_size=7)
    model.compile(loss="categorical_crossentropy")
    figures = validate(model, vectors)
    scores = model.predict(vectors.points, verbose=0).astype("float64")
    truth = vectors.labels.argmax(axis=1)
    scores /= scores.sum(axis=1, keepdims=True)
    loss = log_loss(truth, scores, sample_weight=vectors.weights) * vectors.weights.mean()
    assert figures["val_loss"] == pytest.approx(loss, rel=1e-5)
    assert figures["val_auc"] == pytest.approx(roc_auc_score(truth, scores[:, 1]))
    assert figures["val_accuracy"] == pytest.approx((scores.argmax(axis=1) == truth).mean())
    assert figures["error_rate"] == pytest.approx(1 - figures["val_accuracy"])


def test_rows_are_printed_while_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    history = Training(rates=[1e-2, 1e-3], epochs=1).run()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0::3] == ["phase 0", "phase 1"]
    assert " ".join(lines[1].split()) == "epoch train loss valid loss error rate accuracy AUC time"
    assert lines[2].split()[:3] == ["1", f"{history[0]['loss']:.4f}", f"{history[0]['val_loss']:.4f}"]


@pytest.mark.parametrize("epochs", [1, 3, 4, 6])
def test_a_killed_training_goes_on_to_the_same_end(tmp_path: Path, epochs: int) -> None:
    """KilledError inside the first phase, at the border between both, and inside the second."""
    straight = Training(rates=[1e-2, 3e-3], epochs=4)
    whole = straight.run()
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
    killed_after(epochs, Training(rates=[1e-2, 3e-3], epochs=4, checkpoint=checkpoint))
    resumed = Training(rates=[1e-2, 3e-3], epochs=4, checkpoint=checkpoint)
    history = resumed.run()
    for row, expected in zip(history, whole, strict=True):
        assert {**row, "seconds": 0} == {**expected, "seconds": 0}
    for value, expected_value in zip(copies(resumed.model.variables), copies(straight.model.variables),
                                     strict=True):
        np.testing.assert_array_equal(value, expected_value)
    assert resumed.chosen == (1 if epochs < 4 else 0) + (epochs == 4), "rates once chosen are kept"


@pytest.mark.parametrize("epochs", [1, 3])
def test_an_averaged_training_ends_with_the_average_it_was_judged_by(tmp_path: Path, epochs: int) -> None:
    straight = Averaged()
    history = straight.run()
    ended = copies(straight.model.trainable_variables)
    assert validate(straight.model, straight.loop.validation)["val_loss"] == pytest.approx(
        float(str(history[-1]["val_loss"])), rel=1e-5)
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
    killed_after(epochs, Averaged(checkpoint=checkpoint))
    for _ in range(2):  # resumed, and once more when nothing is left to train
        resumed = Averaged(checkpoint=checkpoint)
        resumed.run()
        for value, expected in zip(copies(resumed.model.trainable_variables), ended, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_a_finished_training_taken_up_again_trains_nothing(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
    first = Training(checkpoint=checkpoint)
    first.run()
    again = Training(checkpoint=checkpoint)
    again.run()
    assert again.loop.batches.epochs_begun == [0], "only as they were made"
    for value, expected in zip(copies(again.model.variables), copies(first.model.variables), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("kill", [False, True])
def test_it_stops_early_with_the_best_epochs_weights(tmp_path: Path, kill: bool) -> None:
    """At so high a rate validation soon gets worse; the best epoch is remembered across a kill."""
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")

    def training() -> Training:
        return Training(rates=[2.0], epochs=40, stopping=EarlyStopping(patience=3), checkpoint=checkpoint)

    if kill:
        straight = Training(rates=[2.0], epochs=40, stopping=EarlyStopping(patience=3)).run()
        killed_after(len(straight) - 1, training())
    ended = training()
    losses = [row["val_loss"] for row in ended.run()]
    assert len(losses) == int(np.argmin(losses)) + 1 + 3 < 40
    assert validate(ended.model, ended.loop.validation)["val_loss"] == pytest.approx(min(losses), rel=1e-6)


def test_a_loss_that_is_no_number_ends_the_training_with_the_last_good_weights(
        capsys: pytest.CaptureFixture[str]) -> None:
    training = Training(epochs=5)
    vectors = training.loop.batches
    whole = vectors.begin

    def spoil(epoch: int) -> None:
        whole(epoch)
        if epoch == 2:
            vectors.points = vectors.points * np.nan

    vectors.begin = spoil
    history = training.run()
    assert len(history) == 2
    assert all(np.isfinite(value).all() for value in copies(training.model.variables))
    assert training.loop.diverged_in == 3
    assert "no longer a number in epoch 3: training stopped there" in capsys.readouterr().err


def test_a_loss_that_never_was_a_number_is_an_error_with_a_remedy() -> None:
    training = Training()
    training.loop.batches.points[:] = np.nan
    with pytest.raises(TrainingError, match=r"A loss must stay a number.*lower --lr"):
        training.run()


@pytest.mark.parametrize("failure", [MemoryError, RuntimeError])
def test_too_little_memory_is_answered_with_a_smaller_batch(
        failure: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()

    def fit(*_: object, **__: object) -> None:
        raise failure("RESOURCE_EXHAUSTED: out of memory while trying to allocate")

    monkeypatch.setattr(training.model, "fit", fit)
    with pytest.raises(TrainingError, match=r"--batch-size 8\. Try --batch-size 4"):
        training.run()


def test_tensorflows_own_word_for_too_little_memory_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = pytest.importorskip("tensorflow").errors
    training = Training()

    def fit(*_: object, **__: object) -> None:
        raise errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(training.model, "fit", fit)
    with pytest.raises(TrainingError, match="must fit into memory"):
        training.run()


def test_another_failure_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()

    def fit(*_: object, **__: object) -> None:
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(training.model, "fit", fit)
    with pytest.raises(RuntimeError, match="a defect of ours"):
        training.run()


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
    Training(checkpoint=checkpoint, epochs=1).run()
    assert checkpoint.path is not None
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-200])
    with pytest.raises(TrainingError, match=r"checkpoint must be whole.*without --resume"):
        Training(checkpoint=checkpoint).run()


@pytest.mark.parametrize("changed", [
    {"bistory": []}, {"epochs": "2"}, {"step": None}, {"history": {}}, {"over": 1}, {"rates": 7}])
def test_a_checkpoint_with_other_facts_than_were_written_is_refused(changed: dict[str, object],
                                                                    tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
    checkpoint.write(TrainingState(epochs=1, rates=Rates(1e-3, 1e-3)))
    assert checkpoint.path is not None
    assert checkpoint.read() is not None
    with np.load(checkpoint.path) as arrays:
        facts = json.loads(str(arrays["facts"])) | changed
        np.savez(checkpoint.path, **dict(arrays) | {"facts": np.array(json.dumps(facts))})
    with pytest.raises(TrainingError, match="checkpoint must be whole"):
        checkpoint.read()


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
    Training(checkpoint=checkpoint, epochs=1).run()
    other = Training(checkpoint=checkpoint)
    other.model = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="softmax")])
    other.loop.model = other.model
    with pytest.raises(TrainingError, match="must be of the model that goes on"):
        other.run()
