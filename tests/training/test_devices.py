"""Which films of a step a host is given, and what is refused; what devices compute is in test_jax."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.training.devices import Devices, choose_devices


@pytest.mark.parametrize("films", [1, 3, 4, 7, 32])
@pytest.mark.parametrize("hosts", [1, 2])
def test_every_film_counts_once_and_every_device_is_given_as_many(films: int, hosts: int) -> None:
    rows, losses = np.arange(10, 10 + films), np.linspace(1, 2, films)
    shares = [Devices(("a", "b", "c", "d"), hosts, host).share(rows) for host in range(hosts)]
    assert len({len(share) for share, _ in shares}) == 1
    given, counts = (np.concatenate(column) for column in zip(*shares, strict=True))
    assert len(given) % 4 == 0
    assert set(given[counts > 0]) == set(rows)
    assert (counts > 0).sum() == films
    assert (counts * losses[given - 10]).mean() == pytest.approx(losses.mean())


def test_one_device_is_given_the_step_as_it_is() -> None:
    rows, counts = Devices().share(np.arange(5))
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert counts.tolist() == [1, 1, 1, 1, 1]
    assert choose_devices(None) == Devices()


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="this backend has a strategy")
def test_other_backends_are_refused_with_the_reason() -> None:
    with pytest.raises(OptionError, match=r"on JAX alone.*keras issue 20585.*Received: --devices with"):
        choose_devices("all")
