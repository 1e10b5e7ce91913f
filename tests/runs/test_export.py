"""An exported classifier is loaded by a process that has never heard of this package."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from pneumo_tf.errors import StorageError
from pneumo_tf.runs.export import export_model, read_exported
from pneumo_tf.storage import DAMAGED_ZIP

_ALL_WAYS = """
import sys, warnings, numpy as np, keras, tensorflow as tf
folder, = sys.argv[1:]
films = np.load(folder + "/films.npy")
in_two = keras.models.model_from_json(open(folder + "/model.json").read())
in_two.load_weights(folder + "/modelo.h5")
models = [keras.models.load_model(folder + "/modelo.h5"), in_two,
          keras.models.load_model(folder + "/modelo.keras")]
said = []
for number, model in enumerate(models):
    assert isinstance(model.input, keras.KerasTensor), model.input
    assert isinstance(model.output, keras.KerasTensor), model.output
    with warnings.catch_warnings(action="error"):  # Keras warns of a tensor where it knows a list
        model(films)
    as_layer = keras.Input(films.shape[1:])
    around = keras.Model(as_layer, keras.layers.Rescaling(2.0)(model(as_layer)))
    seen = keras.Model(model.inputs, [model.get_layer(model.layers[2].name).output, model.output])
    with tf.GradientTape() as tape:  # as keras.io's guide to Grad-CAM has it
        maps, scores = seen(films)
        score = scores[:, 1]
    assert tape.gradient(score, maps).shape == maps.shape
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    saved = folder + f"/saved{number}"
    model.export(saved, "tf_saved_model", verbose=False)
    reloaded = tf.saved_model.load(saved)
    said += [model.predict(films, verbose=0), model(films), model(films, training=False), scores,
             around(films) / 2, twin(films), reloaded.serve(films),
             keras.Sequential([keras.Input(films.shape[1:]), model])(films),
             keras.layers.TFSMLayer(saved, call_endpoint="serve")(films)]
np.save(folder + "/scores.npy", said)
for model in models:
    before = model.get_weights()
    model.compile("sgd", "categorical_crossentropy")
    model.fit(films, np.eye(2)[[0, 1, 0, 1, 0]], verbose=0)
    assert any((one != other).any() for one, other in zip(before, model.get_weights()))
assert not any(name.startswith("pneumo_tf") for name in sys.modules)
"""


@pytest.fixture
def small_classifier() -> keras.Model:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("sgd", "categorical_crossentropy")
    model.fit(np.random.default_rng(0).uniform(0, 255, (8, 24, 24, 3)), np.eye(2)[[0, 1] * 4], verbose=0)
    return model


def test_a_fresh_process_with_keras_alone_uses_the_three_files_in_every_way_of_keras_own_guides(
        small_classifier: keras.Model, tmp_path: Path) -> None:
    films = np.random.default_rng(1).uniform(0, 255, (5, 24, 24, 3)).astype("float32")
    np.save(tmp_path / "films.npy", films)
    export_model(small_classifier, tmp_path)
    subprocess.run([sys.executable, "-c", _ALL_WAYS, str(tmp_path)], check=True, cwd=tmp_path)
    expected = small_classifier.predict(films, verbose=0)
    found = np.load(tmp_path / "scores.npy")
    assert found.shape == (3 * 9, 5, 2)
    for scores in found:
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_the_export_says_nothing_of_optimizers_and_needs_no_layer_of_ours(
        small_classifier: keras.Model, tmp_path: Path) -> None:
    export_model(small_classifier, tmp_path)
    architecture = json.loads((tmp_path / "model.json").read_text())
    assert architecture["class_name"] == "Functional"
    assert {layer["module"].partition(".")[0] for layer in architecture["config"]["layers"]} == {"keras"}
    assert not architecture.get("compile_config")


def test_a_full_disk_leaves_the_last_good_export(small_classifier: keras.Model, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    export_model(small_classifier, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", refuse)
    with pytest.raises(StorageError, match="the disk is full"):
        export_model(small_classifier, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(before)
    assert (tmp_path / "modelo.h5").read_bytes() == before["modelo.h5"]


def test_saving_the_name_that_the_tutorial_chose_prints_no_warning(
        small_classifier: keras.Model, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    export_model(small_classifier, tmp_path)
    assert not caplog.records


def test_what_is_exported_is_read_again(small_classifier: keras.Model, tmp_path: Path) -> None:
    export_model(small_classifier, tmp_path)
    again = read_exported(tmp_path / "modelo.keras")
    films = np.random.default_rng(0).uniform(0, 255, (2, 24, 24, 3))
    assert np.array_equal(again.predict(films, verbose=0), small_classifier.predict(films, verbose=0))


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """A `.keras` file whose members were changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def with_last_layer(**layer: Any) -> Callable[[dict[str, bytes]], None]:
    """Another class or settings in the place of the network's last layer."""
    def change(members: dict[str, bytes]) -> None:
        config = json.loads(members["config.json"])
        config["config"]["layers"][-1] |= layer
        members["config.json"] = json.dumps(config).encode()
    return change


def with_activation(**function: Any) -> Callable[[dict[str, bytes]], None]:
    return with_last_layer(config={"name": "scores", "units": 2, "activation": {
        "class_name": "function", "registered_name": None, **function}})


def with_weights_in_another_file(members: dict[str, bytes]) -> None:
    file = BytesIO(members["model.weights.h5"])
    with h5py.File(file, "a") as weights:
        kernel = next(name for name in ("layers/dense/vars", "layers/conv2d/vars") if name in weights)
        shape = weights[kernel]["1"].shape
        del weights[kernel]["1"]
        weights.create_dataset(f"{kernel}/1", shape, "f4",
                               external=[("/etc/hostname", 0, 4 * int(np.prod(shape)))])
    members["model.weights.h5"] = file.getvalue()


def with_a_link_to_another_file(members: dict[str, bytes]) -> None:
    file = BytesIO(members["model.weights.h5"])
    with h5py.File(file, "a") as weights:
        del weights["layers"]
        weights["layers"] = h5py.ExternalLink("/etc/hostname", "/")
    members["model.weights.h5"] = file.getvalue()


def with_a_bottomless_configuration(members: dict[str, bytes]) -> None:
    members["config.json"] = b"[" * 200_000


# What Keras itself refuses as it fills the network.
IN_THE_WEIGHTS = {
    "weights in another file (CVE-2026-1669)": with_weights_in_another_file,
    "a link to another file": with_a_link_to_another_file,
}
IN_THE_NETWORK = {
    "a function of its own": with_last_layer(class_name="Lambda", config={"name": "x", "function": {
        "class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAA", "defaults": None, "closure": None}}}),
    "a program of the system (CVE-2025-1550)": with_activation(module="os", config="system"),
    "a download (CVE-2025-8747)": with_activation(module="keras.utils", config="get_file"),
    "unsafe mode (CVE-2025-9906)": with_activation(module="keras.config",
                                                   config="enable_unsafe_deserialization"),
    "a class from elsewhere": with_last_layer(module="subprocess", class_name="Popen",
                                              config={"args": ["id"]}),
    "a file of words (CVE-2025-12058)": with_last_layer(class_name="StringLookup", config={
        "name": "x", "vocabulary": "/etc/passwd"}),
    "a SavedModel": with_last_layer(class_name="TFSMLayer", config={
        "name": "x", "filepath": "/tmp/elsewhere"}),
    "a pickled module of PyTorch": with_last_layer(class_name="TorchModuleWrapper", config={
        "name": "x", "module": "gASVHAAAAAAAAACMBXBvc2l4"}),
    "a member that leads out": lambda members: members.update({"../../evil.py": b"import os"}),
    "assets": lambda members: members.update({"assets/x.npy": b""}),
    "no bottom": with_a_bottomless_configuration,
    "no configuration": lambda members: members.pop("config.json"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("sample", IN_THE_NETWORK)
def test_a_file_that_is_more_than_a_network_is_refused_before_keras_reads_it(
        sample: str, small_classifier: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("Keras was asked")

    export_model(small_classifier, tmp_path)
    rewritten(tmp_path / "modelo.keras", IN_THE_NETWORK[sample])
    monkeypatch.setattr(keras.models, "load_model", read)
    with pytest.raises(ValueError, match=r"nothing was executed|no whole file|a member"):
        read_exported(tmp_path / "modelo.keras")


def test_a_network_of_terabytes_is_refused(small_classifier: keras.Model, tmp_path: Path) -> None:
    export_model(small_classifier, tmp_path)
    rewritten(tmp_path / "modelo.keras", with_last_layer(config={"name": "scores", "units": 2**42}))
    with pytest.raises(ValueError, match=r"OOM|memory"):
        read_exported(tmp_path / "modelo.keras")


@pytest.mark.parametrize("failure", [*DAMAGED_ZIP, MemoryError, RecursionError])
def test_whatever_keras_stumbles_over_is_no_network(
        failure: type[Exception], small_classifier: keras.Model, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """EOFError where a member of the archive tells a size that the file hasn't, as fuzzing found."""
    def stumble(*_: object, **__: object) -> None:
        raise failure

    export_model(small_classifier, tmp_path)
    monkeypatch.setattr(keras.models, "load_model", stumble)
    with pytest.raises(ValueError, match=failure.__name__):
        read_exported(tmp_path / "modelo.keras")


def test_a_network_without_an_input_is_refused(small_classifier: keras.Model, tmp_path: Path) -> None:
    export_model(small_classifier, tmp_path)
    keras.Sequential([keras.layers.Dense(2)]).save(tmp_path / "modelo.keras")
    with pytest.raises(ValueError, match="no defined inputs"):
        read_exported(tmp_path / "modelo.keras")


@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize("sample", IN_THE_WEIGHTS)
def test_weights_from_another_file_are_refused(
        sample: str, small_classifier: keras.Model, tmp_path: Path) -> None:
    export_model(small_classifier, tmp_path)
    rewritten(tmp_path / "modelo.keras", IN_THE_WEIGHTS[sample])
    with pytest.raises(ValueError, match=r"Not allowed|never been|not found|could not be loaded"):
        read_exported(tmp_path / "modelo.keras")
