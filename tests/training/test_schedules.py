import keras
import numpy as np
import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.training.optimizers import (
    SCHEDULES,
    Tabulated,
    constant,
    cosine,
    one_cycle,
    rate_schedule,
)


def published_one_cycle(step, total, peak):
    """Optax's cosine_onecycle_schedule with pct_start 0.25, div_factor 25 and the end at peak / 1e5."""
    turn = int(0.25 * total)
    start, end, done = ((peak / 25, peak, step / turn) if step < turn
                        else (peak, peak / 1e5, (step - turn) / (total - turn)))
    return start + (end - start) * (1 - np.cos(np.pi * done)) / 2


@pytest.mark.parametrize("total", [4, 80, 1000])
def test_one_cycle_is_the_published_closed_form(total):
    rates = one_cycle(np.arange(total), total=total, peak=3e-3)
    assert rates.dtype == np.float64
    expected = [published_one_cycle(step, total, 3e-3) for step in range(total)]
    np.testing.assert_allclose(rates, expected, rtol=1e-10)


def test_one_cycle_starts_at_a_25th_peaks_after_a_quarter_and_ends_at_almost_nothing():
    rates = one_cycle(np.arange(401), total=400, peak=1.0)
    assert rates[0] == pytest.approx(1 / 25)
    assert rates.argmax() == 100
    assert rates.max() == 1
    assert rates[400] == pytest.approx(1e-5)
    assert rates[50] == pytest.approx((1 + 1 / 25) / 2)  # half way up


def test_cosine_warms_up_in_equal_steps_then_follows_kerass_cosine_decay():
    rates = cosine(np.arange(100), total=100, peak=0.6, warm_up=0.05)
    np.testing.assert_allclose(rates[:6], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    decay = keras.optimizers.schedules.CosineDecay(0.6, 95)
    np.testing.assert_allclose(rates[5:], [float(decay(step)) for step in range(95)], rtol=2e-5, atol=1e-7)


def test_cosine_without_warm_up_starts_at_the_peak():
    assert cosine(np.arange(10), total=10, peak=0.6, warm_up=0)[0] == 0.6


def test_a_constant_rate_is_the_peak_at_every_step():
    assert constant(np.arange(5), total=5, peak=0.01).tolist() == [0.01] * 5


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("total", [1, 2, 3, 37])
def test_every_schedule_stays_above_zero_and_never_above_the_peak(name, total):
    rates = SCHEDULES[name](np.arange(total), total=total, peak=0.02)
    assert rates.shape == (total,)
    assert (rates > 0).all()
    assert (rates <= 0.02).all()


def test_an_unknown_schedule_is_answered_with_the_known_ones():
    with pytest.raises(OptionError, match=r"Received: zigzag\. Choose one of: one-cycle, cosine, constant\."):
        rate_schedule("zigzag", 1e-3, 10)


def test_keras_reads_the_same_rates_and_keeps_the_last_one_afterwards():
    schedule = rate_schedule("one-cycle", 1e-3, 40)
    read = [float(schedule(step)) for step in range(43)]
    expected = one_cycle(np.arange(40), total=40, peak=1e-3)
    np.testing.assert_allclose(read, [*expected, *[expected[-1]] * 3], rtol=1e-6)


def test_a_schedule_survives_serialisation_with_its_optimizer():
    optimizer = keras.optimizers.SGD(rate_schedule("cosine", 0.5, 20))
    config = keras.optimizers.serialize(optimizer)
    again = keras.optimizers.deserialize(config)
    assert isinstance(again._learning_rate, Tabulated)
    np.testing.assert_array_equal(again._learning_rate.rates, optimizer._learning_rate.rates)


def test_an_optimizer_walks_down_the_table():
    """With a gradient of one, plain SGD moves by exactly the rate of each step."""
    weight = keras.Variable(np.zeros(1, "float32"))
    optimizer = keras.optimizers.SGD(rate_schedule("one-cycle", 0.1, 12))
    optimizer.build([weight])
    travelled = [0.0]
    for _ in range(12):
        optimizer.apply([np.ones(1, "float32")])
        travelled.append(-float(weight.numpy()[0]))
    np.testing.assert_allclose(np.diff(travelled), one_cycle(np.arange(12), total=12, peak=0.1), atol=1e-7)
