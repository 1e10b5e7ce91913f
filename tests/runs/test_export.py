"""An exported classifier is loaded by a process that has never heard of this package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from pneumo_tf.errors import StorageError
from pneumo_tf.runs.export import export_model

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
