"""Files of Keras: by name where the names agree, by order where not, and never half of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.errors import WeightsError
from pneumo_tf.models.weights import keras_file
from pneumo_tf.models.weights.keras_file import assign_layers_by_name, load_keras_weights

Write = Callable[[keras.Model, Path], Path]
FILMS = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")


def network(*, names: tuple[str | None, ...] = ("first", "second", "norm"), filters: int = 3,
            swapped: bool = False, more: int = 0) -> keras.Model:
    """Two convolutions of one shape and a norm: nothing but names tells the convolutions apart."""
    x = inputs = keras.Input((8, 8, 3))
    for name in names[1::-1] if swapped else names[:2]:
        x = layers.Conv2D(filters, 3, padding="same", name=name)(x)
    x = layers.BatchNormalization(name=names[2])(x)
    if more:
        x = layers.Conv2D(more, 1, name="more")(x)
    model = keras.Model(inputs, x)
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.5, 1.5, weights.shape) for weights in model.get_weights()])
    return model


def same(one: keras.Model, other: keras.Model) -> bool:
    return all(np.array_equal(one.get_layer(name).get_weights()[0], other.get_layer(name).get_weights()[0])
               for name in ("first", "second", "norm"))


def fresh(model: keras.Model) -> keras.Model:
    """The same architecture with other numbers."""
    again = keras.models.clone_model(model)
    again.set_weights([weights + 7 for weights in model.get_weights()])
    return again


@pytest.mark.parametrize("name", ["model.h5", "model.weights.h5", "model.keras"])
def test_what_a_network_wrote_it_reads(write_keras_file: Write, tmp_path: Path, name: str) -> None:
    model = network()
    if name == "model.h5":
        write_keras_file(model, tmp_path / name)
    elif name == "model.keras":
        model.save(tmp_path / name)
    else:
        model.save_weights(tmp_path / name)
    again = fresh(model)
    load_keras_weights(again, tmp_path / name)
    np.testing.assert_array_equal(np.asarray(again(FILMS)), np.asarray(model(FILMS)))


def test_layers_with_the_same_names_in_another_order_are_filled_by_name(
        write_keras_file: Write, tmp_path: Path) -> None:
    model, path = network(), tmp_path / "model.h5"
    write_keras_file(model, path)
    other = fresh(network(swapped=True))
    load_keras_weights(other, path)
    assert same(other, model)


def test_layers_that_keras_numbered_are_filled_in_order(write_keras_file: Write, tmp_path: Path) -> None:
    model = network(names=(None, None, None))
    path = write_keras_file(model, tmp_path / "model.h5")
    other = fresh(network(names=(None, None, None)))
    load_keras_weights(other, path)
    np.testing.assert_array_equal(np.asarray(other(FILMS)), np.asarray(model(FILMS)))


def in_another_order(write: Write, path: Path) -> None:
    """Shapes alone would let every tensor in, and the first convolution would get the second one's."""
    write(network(names=("second", "third", "norm")), path)


def with_other_statistics(write: Write, path: Path) -> None:
    """As many vectors of the same length, but the mean would become beta."""
    write(network(), path)
    with h5py.File(path, "r+") as file:
        norm = file["model_weights"]["norm"]
        norm.attrs["weight_names"] = [f"norm/{part}" for part in
                                      ("gamma", "moving_mean", "beta", "moving_variance")]


def with_wider_layers(write: Write, path: Path) -> None:
    write(network(filters=4), path)


def with_one_more_layer(write: Write, path: Path) -> None:
    write(network(more=5), path)


@pytest.mark.parametrize(("save", "said"), [
    (in_another_order, r"puts tensor second/kernel of shape \(3, 3, 3, 3\) where first/kernel of shape"),
    (with_other_statistics, r"norm/moving_mean of shape \(3,\) where norm/beta of shape \(3,\) is needed"),
    (with_wider_layers, r"first/kernel of shape \(3, 3, 3, 4\) where \(3, 3, 3, 3\) is needed for first/ker"),
    (with_one_more_layer, r"10 tensors where 8 .* differs: tensor more/kernel of shape \(1, 1, 3, 5\)"),
])
def test_a_file_of_another_network_is_refused_by_tensor_and_shape_and_changes_nothing(
        write_keras_file: Write, tmp_path: Path, save: Callable[[Write, Path], None], said: str) -> None:
    save(write_keras_file, tmp_path / "other.h5")
    model = network()
    before = model.get_weights()
    with pytest.raises(WeightsError, match=said):
        load_keras_weights(model, tmp_path / "other.h5")
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))


def test_a_file_with_fewer_layers_is_refused_by_what_it_lacks(
        write_keras_file: Write, tmp_path: Path) -> None:
    path = write_keras_file(network(), tmp_path / "fewer.h5")
    with pytest.raises(WeightsError, match=r"8 tensors where 10 .* differs: nothing for more/kernel"):
        load_keras_weights(network(more=5), path)


@pytest.mark.parametrize("name", ["other.weights.h5", "other.keras"])
def test_a_newer_file_of_another_network_is_refused_in_keras_own_words_and_changes_nothing(
        tmp_path: Path, name: str) -> None:
    path, other = tmp_path / name, fresh(network(more=4))
    other.save(path) if name.endswith(".keras") else other.save_weights(path)
    model = network(more=5)  # its last layer alone differs, so Keras has filled the others by then
    before = model.get_weights()
    with pytest.raises(WeightsError, match=r"\(1, 1, 3, 5\).*\(1, 1, 3, 4\)"):
        load_keras_weights(model, path)
    assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"\x89HDF\r\n\x1a\n" + bytes(99)])
def test_what_is_no_weights_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "page.h5").write_bytes(content)
    with pytest.raises(WeightsError, match=r"must be a complete HDF5 file\. Received: .*page\.h5"):
        load_keras_weights(network(), tmp_path / "page.h5")


def in_another_file(weights: h5py.Group) -> None:
    del weights["kernel"]
    weights.create_dataset("kernel", (3, 3, 3, 3), "f4", external=[("/etc/hostname", 0, 4 * 81)])


def through_a_link(weights: h5py.Group) -> None:
    del weights["kernel"]
    weights["kernel"] = h5py.ExternalLink("/etc/hostname", "/kernel")


def from_other_tensors(weights: h5py.Group) -> None:
    del weights["kernel"]
    layout = h5py.VirtualLayout((3, 3, 3, 3), "f4")
    layout[...] = h5py.VirtualSource("/etc/hostname", "kernel", (3, 3, 3, 3))
    weights.create_virtual_dataset("kernel", layout)


def without_end(weights: h5py.Group) -> None:
    del weights["kernel"]
    weights["kernel"] = weights  # a circle


def of_a_terabyte(weights: h5py.Group) -> None:
    del weights["kernel"]
    weights.create_dataset("kernel", (10**6, 10**6), "i1", chunks=(1000, 1000))


@pytest.mark.parametrize("change", [in_another_file, through_a_link, from_other_tensors, without_end,
                                    of_a_terabyte])
def test_tensors_that_a_file_doesnt_hold_are_refused(
        write_keras_file: Write, tmp_path: Path, change: Callable[[h5py.Group], None]) -> None:
    path = write_keras_file(network(), tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        change(file["first/first"] if "first" in file else file["model_weights/first/first"])
    with pytest.raises(WeightsError, match="first/first/kernel"):
        load_keras_weights(network(), path)


def test_named_layers_are_filled_and_the_others_stay(write_keras_file: Write, tmp_path: Path) -> None:
    model = network()
    path = write_keras_file(model, tmp_path / "model.h5")
    other = fresh(network(more=5))
    before = other.get_layer("first").get_weights()
    assign_layers_by_name(other, ["second"], path)
    assert np.array_equal(other.get_layer("second").kernel, model.get_layer("second").kernel)
    assert np.array_equal(other.get_layer("first").kernel, before[0])


def test_a_file_without_a_named_layer_is_refused(write_keras_file: Write, tmp_path: Path) -> None:
    path = write_keras_file(network(), tmp_path / "model.h5")
    with pytest.raises(WeightsError, match="holds 0 tensors of a layer more where 2 are needed"):
        assign_layers_by_name(network(more=5), ["first", "more"], path)


def test_a_file_that_has_no_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a pipe that nobody writes into; a damaged heap of attributes has HDF5 turn in a circle."""
    monkeypatch.setattr(keras_file, "_PATIENCE", 2.0)
    os.mkfifo(tmp_path / "endless.h5")
    with pytest.raises(WeightsError, match=r"endless\.h5 \(no end of it in 2 seconds\)"):
        load_keras_weights(network(), tmp_path / "endless.h5")


def test_a_file_that_ends_the_process_that_looks_first_is_refused(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_file, "_LOOK", "import os; os.kill(os.getpid(), 11)")
    model = network()
    model.save_weights(tmp_path / "good.weights.h5")
    with pytest.raises(WeightsError, match=r"good\.weights\.h5 \(HDF5 breaks down on it with status -11\)"):
        load_keras_weights(model, tmp_path / "good.weights.h5")
