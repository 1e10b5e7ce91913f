import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.errors import OptionError, TrainingError
from pneumo_tf.training.optimizers import build_optimizer, rate_schedule
from pneumo_tf.training.rate_finder import RateCurve, find_rates, suggest


class Points(keras.utils.PyDataset):
    """Batches of a straight line with noise; counts what it is asked for."""

    def __init__(self, batches=4, *, bad=None):
        super().__init__()
        rng = np.random.default_rng(3)
        self.x = rng.normal(size=(batches, 8, 3)).astype("float32")
        noise = rng.normal(size=(batches, 8, 1)) / 10
        self.y = (self.x @ np.array([[1.0], [-2.0], [0.5]]) + noise).astype("float32")
        self.bad, self.asked, self.epochs = bad, [], 0

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        self.asked.append(index)
        scale = np.nan if len(self.asked) == self.bad else 1
        return self.x[index] * scale, self.y[index], np.ones(8, "float32")

    def on_epoch_end(self):
        self.epochs += 1


def linear(optimizer):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, kernel_initializer="zeros")])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def with_everything(rate=1e-3):
    """A network with BatchNorm, dropout's random state and an optimizer with moments."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((3,))
    hidden = layers.BatchNormalization()(layers.Dense(4, name="shallow")(inputs))
    model = keras.Model(inputs, layers.Dense(1, name="deep")(layers.Dropout(0.3, seed=2)(hidden)))
    optimizer = build_optimizer("adam", rate, factors={"shallow/kernel": 0.1}, weight_decay=1e-4)
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def everything_of(model):
    return [np.array(variable) for variable in
            (*model.variables, *model.optimizer.variables, *model.metrics_variables)]


def test_rates_grow_by_the_same_factor_and_losses_are_smoothed_batch_by_batch():
    """Plain SGD on a line, by hand: each batch's own loss before its step, then the running mean."""
    points, weight, bias, mean, expected = Points(), np.zeros((3, 1)), 0.0, 0.0, []
    rates = np.geomspace(1e-4, 1e-2, 40)
    for step, rate in enumerate(rates):
        x, y = points.x[step % 4].astype("float64"), points.y[step % 4].astype("float64")
        error = x @ weight + bias - y
        mean = 0.98 * mean + 0.02 * np.mean(error**2)
        expected.append(mean / (1 - 0.98 ** (step + 1)))
        weight = weight - rate * 2 * x.T @ error / len(x)
        bias = bias - rate * 2 * error.mean()
    curve = find_rates(linear("sgd"), points, low=1e-4, high=1e-2, steps=40)
    np.testing.assert_allclose(curve.rates, rates)
    np.testing.assert_allclose(curve.losses, expected, rtol=1e-4)


def test_it_wraps_around_and_never_tells_the_batches_that_an_epoch_ended():
    points = Points(3)
    find_rates(linear("sgd"), points, low=1e-6, high=1e-4, steps=25)
    assert points.asked == [step % 3 for step in range(25)]
    assert points.epochs == 0


def test_it_stops_when_the_loss_is_four_times_its_best():
    curve = find_rates(linear("sgd"), Points(), low=1e-3, high=100.0, steps=60)
    assert 25 < len(curve.rates) < 60
    assert curve.losses[-1] > 4 * curve.losses.min()
    assert (curve.losses[:-1] <= 4 * np.minimum.accumulate(curve.losses)[:-1]).all()


@pytest.mark.parametrize("rate", [1e-3, rate_schedule("one-cycle", 1e-3, 20)], ids=["number", "schedule"])
def test_every_variable_is_the_same_afterwards_bit_for_bit(rate):
    model, points = with_everything(rate), Points()
    model.fit(points, epochs=2, verbose=0, shuffle=False)
    optimizer, before = model.optimizer, everything_of(model)
    curve = find_rates(model, points, low=1e-5, high=50.0, steps=40)
    assert len(set(curve.losses)) > 20  # it did train
    assert model.optimizer is optimizer
    for old, new in zip(before, everything_of(model), strict=True):
        np.testing.assert_array_equal(new, old)


def test_training_afterwards_goes_on_as_if_there_had_been_no_test():
    tried, untried = with_everything(), with_everything()
    for model in (tried, untried):
        model.fit(Points(), epochs=1, verbose=0, shuffle=False)
    find_rates(tried, Points(), low=1e-5, high=1.0, steps=30)
    for model in (tried, untried):
        model.fit(Points(), epochs=2, verbose=0, shuffle=False)
    for theirs, ours in zip(everything_of(untried), everything_of(tried), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_test_before_any_training_leaves_the_optimizer_unbuilt_and_the_model_fit_to_be_saved(tmp_path):
    model = with_everything()
    find_rates(model, Points(), low=1e-5, high=1.0, steps=30)
    assert not model.optimizer.built
    model.fit(Points(), epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()


def test_what_goes_wrong_in_the_middle_leaves_no_trace_either():
    class Broken(Points):
        def __getitem__(self, index):
            if len(self.asked) == 12:
                raise OSError("film gone")
            return super().__getitem__(index)

    model = with_everything()
    before = [np.array(variable) for variable in model.variables]
    with pytest.raises(OSError, match="film gone"):
        find_rates(model, Broken(), steps=30)
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(np.array(new), old)


def test_it_ends_before_a_loss_that_is_no_number():
    curve = find_rates(linear("sgd"), Points(bad=31), low=1e-6, high=1e-3, steps=40)
    assert len(curve.rates) == len(curve.losses) == 30
    assert np.isfinite(curve.losses).all()


def test_a_curve_too_short_to_be_read_is_an_error():
    with pytest.raises(TrainingError) as refused:
        find_rates(linear("sgd"), Points(bad=10), low=1e-6, high=1e-3, steps=40)
    assert "must get through 19 steps to be read. Received: a loss that shot up, or was no number, " \
           "after 9 of 40." in str(refused.value)


@pytest.mark.parametrize("options", [{"low": 1.0, "high": 0.1}, {"low": 0.0}, {"high": float("inf")},
                                     {"steps": 19}])
def test_a_range_without_a_meaning_is_refused(options):
    with pytest.raises(OptionError):
        find_rates(linear("sgd"), Points(), **options)


def test_the_models_with_scaled_losses_of_half_precision_can_be_tested_too():
    model = linear(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=8.0))
    plain = find_rates(linear("sgd"), Points(), low=1e-4, high=1e-2, steps=25)
    scaled = find_rates(model, Points(), low=1e-4, high=1e-2, steps=25)
    np.testing.assert_allclose(scaled.losses, plain.losses, rtol=1e-4)


def curve_of(losses, *, low=1e-7, high=10.0):
    """A whole curve whose readable part, points 10 to 94 of 100, is what the function gives there."""
    rates = np.geomspace(low, high, 100)
    return RateCurve(rates, np.array([losses(point) for point in range(100)], "float64"), 100)


def point_of(rate):
    """The point of a curve from 1e-7 to 10 at which a rate was tried."""
    return float(np.interp(np.log(rate), np.log(np.geomspace(1e-7, 10, 100)), np.arange(100)))


def test_minimum_is_a_tenth_of_the_rate_with_the_least_loss():
    curve = curve_of(lambda point: (point - 60) ** 2)
    assert suggest(curve).minimum == pytest.approx(curve.rates[60] / 10)


def test_steep_is_where_the_loss_falls_fastest():
    curve = curve_of(lambda point: -np.tanh((point - 50.5) / 8))
    assert point_of(suggest(curve).steep) == pytest.approx(50)


def test_valley_is_half_way_down_the_longest_fall():
    """Level to point 40, falling to 70 (31 points, the last of the level among them), then rising."""
    curve = curve_of(lambda point: 5.0 if point <= 40 else abs(point - 70) / 10)
    assert 50 <= point_of(suggest(curve).valley) <= 56


def test_valley_is_not_misled_by_a_short_deep_fall_nor_by_noise():
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.002, 100)
    curve = curve_of(lambda point: (9 if point < 14 else 3) - 0.02 * min(point, 70) + max(point - 70, 0)
                     + noise[point])
    assert 35 <= point_of(suggest(curve).valley) <= 55


def test_slide_is_the_left_end_of_the_last_window_whose_slopes_differ():
    """Flat up to point 60, then ever steeper: going back, windows agree once both ends are on the flat."""
    curve = curve_of(lambda point: max(point - 60, 0) ** 2 / 2)
    # The slope at 61 is 1, at 60 it is 1/4 and at 59 it is 0: the window (44, 59) is the first to agree.
    assert point_of(suggest(curve).slide) == pytest.approx(45)


def test_slide_of_a_straight_line_is_the_first_window():
    assert point_of(suggest(curve_of(lambda point: -point)).slide) == pytest.approx(94 - 15)


def test_the_first_tenth_and_the_last_five_points_are_not_read():
    def losses(point):
        return -100 if point < 10 or point > 94 else abs(point - 50)

    assert suggest(curve_of(losses)).minimum == pytest.approx(curve_of(losses).rates[50] / 10)


def test_a_curve_that_only_rises_suggests_the_lowest_rate_it_read():
    curve = curve_of(lambda point: point)
    assert suggest(curve).valley == pytest.approx(curve.rates[10])


def test_suggestions_are_ready_for_json():
    told = suggest(curve_of(lambda point: (point - 60) ** 2)).to_json()
    assert list(told) == ["minimum", "steep", "valley", "slide"]
    assert all(type(rate) is float for rate in told.values())


JAX = """
import keras, numpy as np
from pneumo_tf.training.optimizers import build_optimizer
from pneumo_tf.training.rate_finder import find_rates, suggest
from pneumo_tf.training.optimizers import rate_schedule

keras.utils.set_random_seed(0)
inputs = keras.Input((3,))
hidden = keras.layers.BatchNormalization()(keras.layers.Dense(4, name="shallow")(inputs))
model = keras.Model(inputs, keras.layers.Dense(1, name="deep")(keras.layers.Dropout(0.3)(hidden)))
schedule = rate_schedule("one-cycle", 1e-3, 50)
model.compile(build_optimizer("adam", schedule, factors={"shallow/kernel": 0.1}), "mse")
x = np.random.default_rng(0).normal(size=(4, 8, 3)).astype("float32")
batches = [(part, part[:, :1], np.ones(8, "float32")) for part in x]
for batch in batches:
    model.train_on_batch(*batch)
before = [np.array(v) for v in (*model.variables, *model.optimizer.variables)]
curve = find_rates(model, batches, low=1e-5, high=10.0, steps=25)
after = [np.array(v) for v in (*model.variables, *model.optimizer.variables)]
assert keras.backend.backend() == "jax" and len(set(curve.losses)) > 15
assert all((a == b).all() for a, b in zip(before, after, strict=True))
model.train_on_batch(*batches[0])
print(suggest(curve).valley)
"""


def test_it_works_on_jax_too():
    pytest.importorskip("jax")
    said = subprocess.run([sys.executable, "-c", JAX], capture_output=True, text=True, check=False,
                          env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"})
    assert said.returncode == 0, said.stderr[-2000:]
    assert 1e-5 < float(said.stdout) < 10
