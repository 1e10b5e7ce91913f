import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.training.optimizers import (
    OPTIMIZERS,
    Rates,
    build_optimizer,
    group_factors,
    parse_rates,
    rate_schedule,
)

START = np.array([1.0, -2.0, 3.0], "float32")
GRADIENT = np.array([0.5, -0.25, 2.0], "float32")


def stepped(optimizer, *, steps=1, start=START):
    """Values of two variables, "shallow" and "deep", after steps with the same gradient."""
    variables = [keras.Variable(start, name=name) for name in ("shallow", "deep")]
    optimizer.build(variables)
    for _ in range(steps):
        optimizer.apply([GRADIENT, GRADIENT])
    return [variable.numpy() for variable in variables]


def adam_by_hand(rate, *, steps, l2=0.0, decay=0.0):
    """Kingma and Ba's algorithm 1, with either kind of weight decay, in float64."""
    weight, m, v = START.astype("float64"), 0.0, 0.0
    for t in range(1, steps + 1):
        weight = weight - rate * decay * weight
        gradient = GRADIENT + l2 * weight
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        weight = weight - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
    return weight


def test_sgd_moves_each_variable_by_its_multiple_of_the_rate():
    shallow, deep = stepped(build_optimizer("sgd", 0.1, factors={"shallow": 0.01}))
    np.testing.assert_allclose(shallow, START - 0.001 * GRADIENT, rtol=1e-6)
    np.testing.assert_allclose(deep, START - 0.1 * GRADIENT, rtol=1e-6)


def test_adam_moves_each_variable_by_its_multiple_although_it_divides_by_the_gradient():
    shallow, deep = stepped(build_optimizer("adam", 0.1, factors={"shallow": 0.01}))
    np.testing.assert_allclose(START - shallow, 0.001 * np.sign(GRADIENT), rtol=1e-3)
    np.testing.assert_allclose(START - deep, 0.1 * np.sign(GRADIENT), rtol=1e-4)


def test_several_steps_of_adam_follow_the_published_algorithm():
    shallow, deep = stepped(build_optimizer("adam", 0.05, factors={"shallow": 0.2}), steps=7)
    np.testing.assert_allclose(shallow, adam_by_hand(0.01, steps=7), rtol=1e-4)
    np.testing.assert_allclose(deep, adam_by_hand(0.05, steps=7), rtol=1e-4)


def test_adams_decay_goes_through_the_moments_as_in_pytorch():
    for weights in stepped(build_optimizer("adam", 0.05, weight_decay=0.3), steps=5):
        np.testing.assert_allclose(weights, adam_by_hand(0.05, steps=5, l2=0.3), rtol=1e-4)


def test_adamws_decay_shrinks_the_weights_by_the_variables_own_rate():
    optimizer = build_optimizer("adamw", 0.05, weight_decay=0.3, factors={"shallow": 0.2})
    shallow, deep = stepped(optimizer, steps=5)
    np.testing.assert_allclose(shallow, adam_by_hand(0.01, steps=5, decay=0.3), rtol=1e-4)
    np.testing.assert_allclose(deep, adam_by_hand(0.05, steps=5, decay=0.3), rtol=1e-4)


def test_adadelta_steps_as_pytorchs_does():
    """torch.optim.Adadelta's algorithm with its defaults, rho 0.9 and eps 1e-6, in float64."""
    weight, square, delta = START.astype("float64"), 0.0, 0.0
    for _ in range(4):
        square = 0.9 * square + 0.1 * GRADIENT**2
        step = np.sqrt(delta + 1e-6) / np.sqrt(square + 1e-6) * GRADIENT
        delta = 0.9 * delta + 0.1 * step**2
        weight = weight - 0.5 * step
    for weights in stepped(build_optimizer("adadelta", 0.5), steps=4):
        np.testing.assert_allclose(START - weights, START - weight, rtol=1e-3)


def test_adamw_with_every_multiple_at_one_is_kerass_own():
    ours = stepped(build_optimizer("adamw", 0.05, weight_decay=0.3, factors={"shallow": 1.0}), steps=4)
    keras_own = stepped(keras.optimizers.AdamW(0.05, weight_decay=0.3), steps=4)
    np.testing.assert_allclose(ours, keras_own, rtol=1e-6)


def test_sgds_decay_and_momentum_are_pytorchs():
    """torch.optim.SGD: g = grad + decay * w; buffer = momentum * buffer + g; w = w - rate * buffer."""
    weight, buffer = START.astype("float64"), 0.0
    for _ in range(4):
        buffer = 0.9 * buffer + (GRADIENT + 0.2 * weight)
        weight = weight - 0.05 * buffer
    _, deep = stepped(build_optimizer("sgd", 0.05, momentum=0.9, weight_decay=0.2), steps=4)
    np.testing.assert_allclose(deep, weight, rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_in_every_optimizer_a_multiple_is_the_same_as_a_rate_of_ones_own(name):
    shallow, deep = stepped(build_optimizer(name, 0.1, factors={"shallow": 0.25}), steps=3)
    slow, _ = stepped(build_optimizer(name, 0.025), steps=3)
    fast, _ = stepped(build_optimizer(name, 0.1), steps=3)
    np.testing.assert_allclose(shallow, slow, rtol=1e-5)
    np.testing.assert_allclose(deep, fast, rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_multiples_and_decay_it_is_kerass_plain_class(name):
    assert type(build_optimizer(name, 1e-3)) is OPTIMIZERS[name]


def test_adamw_decays_only_when_asked_to():
    assert build_optimizer("adamw", 1e-3).weight_decay == 0


def test_multiples_apply_to_a_schedule_too():
    schedule = rate_schedule("one-cycle", 0.4, 8)
    shallow, deep = stepped(build_optimizer("sgd", schedule, factors={"shallow": 0.5}), steps=8)
    np.testing.assert_allclose(deep, START - GRADIENT * schedule.rates.sum(), rtol=1e-5)
    np.testing.assert_allclose(shallow, START - GRADIENT * schedule.rates.sum() / 2, rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_copy_with_the_same_state_goes_on_as_the_original(name):
    """What a resumed run relies on: configuration and variables are all there is."""
    factors, gradients = {"shallow": 0.25}, [GRADIENT, GRADIENT]
    original = build_optimizer(name, rate_schedule("cosine", 0.1, 9), weight_decay=0.1, factors=factors)
    variables = [keras.Variable(START, name=path) for path in ("shallow", "deep")]
    original.build(variables)
    for _ in range(3):
        original.apply(gradients)
    twins = [keras.Variable(variable.numpy(), name=variable.path) for variable in variables]
    copy = keras.optimizers.deserialize(json.loads(json.dumps(keras.optimizers.serialize(original))))
    copy.build(twins)
    for theirs, ours in zip(original.variables, copy.variables, strict=True):
        ours.assign(theirs)
    for _ in range(2):
        original.apply(gradients)
        copy.apply(gradients)
    for theirs, ours in zip(variables, twins, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_multiples_for_another_network_are_a_mistake():
    with pytest.raises(ValueError, match="conv1/kernel"):
        stepped(build_optimizer("sgd", 0.1, factors={"conv1/kernel": 0.1}))


@pytest.mark.parametrize(("name", "options", "message"), [
    ("lion", {}, "Received: lion. Choose one of: sgd, adam, adamw, adadelta, adagrad, rmsprop."),
    ("adam", {"momentum": 0.9}, "Only sgd and rmsprop have a momentum"),
    ("sgd", {"momentum": 1.0}, "The momentum must lie between 0 and 1."),
    ("adam", {"nesterov": True}, "Only sgd has a Nesterov momentum."),
    ("sgd", {"weight_decay": -1e-5}, "The weight decay must be 0 or more."),
    ("sgd", {"weight_decay": float("nan")}, "The weight decay must be 0 or more."),
])
def test_what_an_optimizer_does_not_have_is_refused(name, options, message):
    with pytest.raises(OptionError) as refused:
        build_optimizer(name, 1e-3, **options)
    assert message in str(refused.value)


@pytest.mark.parametrize(("text", "rates"), [
    ("1e-3", Rates(1e-3, 1e-3)), ("1e-5:1e-3", Rates(1e-5, 1e-3)), ("0.01:0.01", Rates(0.01, 0.01)),
    ("auto", None),
])
def test_rates_are_read_as_they_are_typed(text, rates):
    assert parse_rates(text) == rates


@pytest.mark.parametrize(("text", "message"), [
    ("1e-3:1e-5", "The network's first layers must learn no faster than its last. Received: --lr 1e-3:1e-5. "
                  "Write the lower rate first: 1e-05:0.001."),
    ("fast", "--lr takes a learning rate, two with a colon between them, or auto. Received: --lr fast."),
    ("1e-5:1e-4:1e-3", "two with a colon between them"),
    ("1e-5:", "two with a colon between them"),
    ("0", "A learning rate must be a number above zero. Received: --lr 0. Choose, say, 1e-3."),
    ("-1e-3", "above zero"), ("nan", "above zero"), ("1e-3:inf", "above zero"),
])
def test_rates_without_a_meaning_are_refused(text, message):
    with pytest.raises(OptionError) as refused:
        parse_rates(text)
    assert message in str(refused.value)


def test_groups_learn_in_equal_ratios_up_to_the_head():
    factors = group_factors(Rates(1e-5, 1e-3), {"stem": 0, "middle": 1, "head": 2})
    assert factors == pytest.approx({"stem": 0.01, "middle": 0.1, "head": 1.0})


def test_the_rates_of_the_groups_are_a_geometric_series():
    factors = group_factors(Rates(2e-6, 3e-4), {"first": 0, "middle": 1, "head": 2})
    np.testing.assert_allclose(3e-4 * np.array(list(factors.values())), np.geomspace(2e-6, 3e-4, 3))


def test_one_rate_for_all_makes_every_multiple_one():
    assert set(group_factors(Rates(1e-3, 1e-3), {"a": 0, "b": 2}).values()) == {1.0}


JAX = """
import keras, numpy as np
from pneumo_tf.training.optimizers import build_optimizer, rate_schedule

keras.utils.set_random_seed(0)
inputs = keras.Input((4,))
features = keras.layers.BatchNormalization()(keras.layers.Dense(3, name="shallow")(inputs))
model = keras.Model(inputs, keras.layers.Dense(1, name="deep")(features))
before = [v.numpy() for v in model.trainable_variables]
factors = {v.path: 0.01 for v in model.trainable_variables if v.path.startswith("shallow")}
model.compile(build_optimizer("adam", rate_schedule("constant", 1e-2, 6), factors=factors,
                              weight_decay=1e-6), loss="mse")
x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
model.fit(x, x[:, :1] + 3, batch_size=32, epochs=1, verbose=0)
assert keras.backend.backend() == "jax"
moved = {v.path: float(abs(v.numpy() - old).max()) for v, old in zip(model.trainable_variables, before)}
print(moved["shallow/kernel"], moved["deep/kernel"])
"""


def test_multiples_and_schedule_work_on_jax_too():
    pytest.importorskip("jax")
    said = subprocess.run([sys.executable, "-c", JAX], capture_output=True, text=True, check=False,
                          env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"})
    assert said.returncode == 0, said.stderr[-2000:]
    shallow, deep = map(float, said.stdout.split())
    assert shallow == pytest.approx(1e-4, rel=0.02)  # one step of Adam
    assert deep == pytest.approx(1e-2, rel=0.02)


def test_gradients_are_clipped_by_their_common_norm() -> None:
    variables = [keras.Variable([0.0]), keras.Variable([0.0])]
    optimizer = build_optimizer("sgd", 1.0, clip=1.0)
    optimizer.apply([np.array([3.0]), np.array([4.0])], variables)
    np.testing.assert_allclose([float(v.numpy()[0]) for v in variables], [-0.6, -0.8], rtol=1e-6)


@pytest.mark.parametrize("factors", [None, {"weight": 2.0}])
def test_the_average_of_the_weights_is_what_the_training_ends_with(factors: dict[str, float] | None) -> None:
    variable = keras.Variable([1.0], name="weight")
    optimizer = build_optimizer("adamw", 0.1, weight_decay=0.02, factors=factors, average=0.5)
    seen = []
    for _ in range(4):
        optimizer.apply([np.array([1.0])], [variable])
        seen.append(float(variable.numpy()[0]))
    expected = seen[0]  # Keras begins with the weights after the first step
    for value in seen[1:]:
        expected = 0.5 * expected + 0.5 * value
    optimizer.finalize_variable_values([variable])
    assert float(variable.numpy()[0]) == pytest.approx(expected, rel=1e-5)
