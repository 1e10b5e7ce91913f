import json

import keras
import numpy as np
import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.training.loop import EarlyStopping

NAN = float("nan")


def stops_at(stopping, values):
    """The epoch, from 1, at which a plain loop would leave off; None where it goes to the end."""
    return next((epoch for epoch, value in enumerate(values, start=1) if stopping.should_stop(value)), None)


def test_it_stops_after_five_epochs_in_a_row_without_improvement_by_default():
    assert stops_at(EarlyStopping(), [1.0, 0.9, 0.95, 0.93, 0.91, 0.9, 0.92, 0.1]) == 7


def test_an_improvement_starts_the_count_again():
    assert stops_at(EarlyStopping(patience=2), [3, 4, 2, 3, 1, 2, 2]) == 7


def test_a_falling_loss_never_stops():
    assert stops_at(EarlyStopping(patience=1), np.geomspace(1, 1e-6, 50)) is None


def test_with_mode_max_more_is_better():
    assert stops_at(EarlyStopping("max", patience=2), [0.5, 0.6, 0.55, 0.58, 0.9]) == 4


@pytest.mark.parametrize(("mode", "relative", "value", "better"), [
    ("min", False, 9.4, True), ("min", False, 9.5, False), ("min", False, 10.6, False),
    ("max", False, 10.6, True), ("max", False, 10.5, False),
    ("min", True, 4.9, True), ("min", True, 5.0, False),
    ("max", True, 15.1, True), ("max", True, 15.0, False),
])
def test_better_means_by_more_than_the_tolerance_from_a_best_of_ten(mode, relative, value, better):
    stopping = EarlyStopping(mode, relative=relative, tolerance=0.5)
    stopping.should_stop(10.0)
    assert stopping.improved(value) is better


def test_a_relative_tolerance_is_of_the_bests_size_also_below_zero():
    stopping = EarlyStopping(relative=True, tolerance=0.1)
    stopping.should_stop(-10.0)
    assert not stopping.improved(-10.9)
    assert stopping.improved(-11.1)


def test_creeping_within_the_tolerance_does_not_move_the_best():
    stopping = EarlyStopping(patience=3, tolerance=0.1)
    assert stops_at(stopping, [1.0, 0.95, 0.91, 0.905]) == 4
    assert stopping.best == 1.0


def test_asking_changes_nothing():
    stopping = EarlyStopping(patience=1)
    stopping.should_stop(1.0)
    before = stopping.state()
    assert stopping.improved(0.5)
    assert not stopping.improved(2.0)
    assert stopping.state() == before


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("value", [NAN, float("inf"), float("-inf")])
def test_what_is_no_number_is_no_improvement(mode, value):
    assert not EarlyStopping(mode).improved(value)
    assert stops_at(EarlyStopping(mode, patience=2), [1.0, value, value]) == 3


def test_the_first_number_counts_as_improvement_even_after_nan():
    stopping = EarlyStopping(patience=2)
    assert not stopping.should_stop(NAN)
    assert not stopping.should_stop(100.0)
    assert stopping.state() == {"best": 100.0, "waited": 0}


def test_a_resumed_loop_stops_where_an_uninterrupted_one_would():
    values = [5, 4, 4.5, 3, 3.1, 3.2, 3.3, 3.4]
    whole = stops_at(EarlyStopping(patience=3), values)
    for cut in range(1, whole):
        first, second = EarlyStopping(patience=3), EarlyStopping(patience=3)
        assert stops_at(first, values[:cut]) is None
        second.restore(json.loads(json.dumps(first.state())))
        assert cut + stops_at(second, values[cut:]) == whole


@pytest.mark.parametrize(("options", "received"), [
    ({"mode": "auto"}, "mode 'auto'"), ({"patience": 0}, "patience 0"), ({"patience": 2.5}, "patience 2.5"),
    ({"tolerance": -0.1}, "tolerance -0.1"), ({"tolerance": NAN}, "tolerance nan"),
])
def test_options_without_a_meaning_are_refused(options, received):
    with pytest.raises(OptionError) as refused:
        EarlyStopping(**options)
    assert received in str(refused.value)


class Scripted(keras.callbacks.Callback):
    """Gives the epochs a scripted figure, and a weight that says which epoch it is of."""

    def __init__(self, values):
        super().__init__()
        self.values, self.ran = values, 0

    def on_epoch_end(self, epoch, logs):
        logs["val_loss"] = self.values[epoch]
        self.model.set_weights([np.full((1, 1), epoch + 1, "float32")])
        self.ran = epoch + 1


def fitted(values, callback):
    """Epochs that `fit` ran, and the epoch whose weights the model ends with."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse", run_eagerly=True)
    script = Scripted(values)
    film = np.zeros((1, 1), "float32")
    model.fit(film, film, epochs=len(values), verbose=0, callbacks=[script, callback])
    return script.ran, int(model.get_weights()[0].item())


SEQUENCES = [
    [3.0, 2.0, 2.5, 2.4, 1.9, 1.8, 1.85, 1.95, 2.0, 2.1],
    [1.0, 1.1, 1.2, 1.3, 0.1],
    [1.0, 0.96, 0.92, 0.88, 0.84, 0.80, 0.5],
    [5.0, 4.0, 3.0, 2.0, 1.0],
]


@pytest.mark.parametrize("values", SEQUENCES)
@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_it_stops_where_keras_does_after_the_same_best_epoch(values, tolerance):
    theirs = keras.callbacks.EarlyStopping(patience=3, min_delta=tolerance, restore_best_weights=True)
    ours, ran, best = EarlyStopping(patience=3, tolerance=tolerance), 0, 0
    for ran, value in enumerate(values, start=1):
        best = ran if ours.improved(value) else best
        if ours.should_stop(value):
            break
    assert fitted(values, theirs) == (ran, best)
