"""A run's kept graph answers what its network does, without Keras, and never when it doesn't."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.errors import OptionError, StorageError, TrainingError
from pneumo_tf.runs import graphs
from pneumo_tf.runs.folder import RunError, RunFolder, read_run
from pneumo_tf.runs.graphs import everything_of, is_kept, keep_graph, quickest
from pneumo_tf.runs.predictor import load_network, predictor_of
from pneumo_tf.training.fast import average
from pneumo_tf.training.graphs import ONNX, OPENVINO

ROOT = Path(__file__).resolve().parents[2]
FILMS = np.random.default_rng(0).integers(0, 256, (9, 48, 48, 3), dtype=np.uint8)
each_engine = pytest.mark.parametrize("engine", [
    pytest.param(OPENVINO, marks=pytest.mark.skipif(not find_spec("openvino"), reason="no openvino here")),
    pytest.param(ONNX, marks=pytest.mark.skipif(not (find_spec("onnxruntime") and find_spec("tf2onnx")),
                                                reason="no onnxruntime or tf2onnx here"))])


@pytest.fixture(scope="module")
def with_graphs(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The small run with a graph for each engine that is installed; only to be read."""
    folder = tmp_path_factory.mktemp("kept") / "small"
    shutil.copytree(small_run / "runs/small", folder)
    run = read_run(folder)
    for engine in (OPENVINO, ONNX):
        if graphs.can_write(engine):
            predictor_of(run, engine=engine, threads=1)
    return run


@each_engine
def test_a_kept_graph_gives_scores_and_features_of_the_exported_network(with_graphs: RunFolder,
                                                                        engine: str) -> None:
    predictor = predictor_of(with_graphs, engine=engine, threads=2)
    by_keras = predictor_of(with_graphs)
    found, expected = predictor.outputs(FILMS), by_keras.outputs(FILMS)
    np.testing.assert_allclose(found.scores, load_network(with_graphs).predict(FILMS, verbose=0), atol=1e-5)
    np.testing.assert_allclose(found.features, expected.features, rtol=1e-4, atol=1e-4)
    assert found.features.shape == (9, 16)
    assert found.members.shape == (9, 0, 2)
    assert predictor.read == by_keras.read


_ALONE = """
import sys
from pathlib import Path
import numpy as np
from pneumo_tf.runs.folder import read_run
from pneumo_tf.runs.predictor import predictor_of
predictor = predictor_of(read_run(Path(sys.argv[1])), engine=sys.argv[2], threads=1)
predictor.probabilities(predictor.outputs(np.zeros((2, 48, 48, 3), np.uint8)).scores)
print(sorted({"keras", "tensorflow", "jax", "sklearn", "scipy.stats", "matplotlib"} & set(sys.modules)))
"""


@each_engine
def test_where_a_graph_is_kept_nothing_slow_is_imported(with_graphs: RunFolder, engine: str) -> None:
    said = subprocess.run([sys.executable, "-c", _ALONE, str(with_graphs.path), engine], cwd=ROOT,
                          capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


@pytest.fixture
def copied(with_graphs: RunFolder, tmp_path: Path) -> RunFolder:
    shutil.copytree(with_graphs.path, tmp_path / "small")
    return read_run(tmp_path / "small")


@each_engine
def test_a_graph_goes_along_with_its_run_and_not_with_another_network(copied: RunFolder, engine: str) -> None:
    assert is_kept(copied, engine)
    model = load_network(copied)
    model.set_weights([weights + 0.01 for weights in model.get_weights()])
    model.save(copied.path / "modelo.keras")
    assert not is_kept(copied, engine)
    np.testing.assert_allclose(predictor_of(copied, engine=engine, threads=1).outputs(FILMS).scores,
                               model.predict(FILMS, verbose=0), atol=1e-5)


@each_engine
def test_a_graph_that_no_longer_computes_what_keras_did_answers_nothing(copied: RunFolder,
                                                                        engine: str) -> None:
    probe, = copied.path.glob(f"graphs/{engine}-*/probe.npz")
    with np.load(probe) as kept:
        arrays = dict(kept)
    np.savez(probe, **{**arrays, "outputs": arrays["outputs"] + np.float32(3e-5)})
    with pytest.raises(TrainingError, match=rf"small in {engine}.*--engine keras"):
        predictor_of(copied, engine=engine, threads=1)


@each_engine
@pytest.mark.parametrize("damage", ["cut", "gone", "probe"])
def test_a_damaged_graph_is_told_before_it_is_opened(copied: RunFolder, engine: str, damage: str) -> None:
    folder, = (copied.path / "graphs").glob(f"{engine}-*")
    file = max(folder.iterdir(), key=lambda path: (path.suffix == ".npz") == (damage == "probe"))
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(RunError, match="must be as it was written"):
        predictor_of(copied, engine=engine, threads=1)


def test_the_quickest_is_one_that_is_installed_and_has_or_can_have_its_graph(
        copied: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "is_installed", lambda _: True)
    monkeypatch.setattr(graphs, "can_write", lambda _: True)
    assert quickest(copied) == OPENVINO
    monkeypatch.setattr(graphs, "is_installed", lambda engine: engine == ONNX)
    assert quickest(copied) == ONNX
    shutil.rmtree(copied.path / "graphs")
    assert quickest(copied) == ONNX
    monkeypatch.setattr(graphs.os, "access", lambda *_: False)
    assert quickest(copied) == "keras"
    monkeypatch.setattr(graphs.os, "access", lambda *_: True)
    monkeypatch.setattr(graphs, "can_write", lambda _: False)
    assert quickest(copied) == "keras"


def test_the_graph_of_a_quicker_process_is_taken(copied: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "write_network", lambda *_: (_ for _ in ()).throw(StorageError("full")))
    keep_graph(copied, OPENVINO, load_network(copied))
    shutil.rmtree(copied.path / "graphs")
    with pytest.raises(StorageError, match="full"):
        keep_graph(copied, OPENVINO, load_network(copied))


def test_an_engine_that_is_not_there_is_said_with_its_package(
        copied: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pneumo_tf.training.graphs.util.find_spec", lambda _: None)
    with pytest.raises(OptionError, match=r"pip install 'pneumo_tf\[export\]'"):
        predictor_of(copied, engine=ONNX)
    with pytest.raises(OptionError, match="auto, keras, openvino, onnx"):
        predictor_of(copied, engine="tensorrt")


def test_a_run_without_a_network_says_so(copied: RunFolder) -> None:
    (copied.path / "modelo.keras").unlink()
    with pytest.raises(RunError, match=r"that it exported.*no .*modelo\.keras"):
        predictor_of(copied, engine=OPENVINO)


@pytest.fixture
def two_networks() -> Callable[[], list[keras.Model]]:
    def make() -> list[keras.Model]:
        keras.utils.set_random_seed(3)
        networks = []
        for width in (4, 6):
            films = keras.Input((48, 48, 3), name="films")
            x = layers.GlobalAveragePooling2D()(layers.Conv2D(width, 5, 4, activation="relu")(films))
            networks.append(keras.Model(films, layers.Dense(2, activation="softmax", name="scores")(x)))
        return networks

    return make


def test_an_ensemble_tells_what_each_of_its_networks_says(two_networks: Callable[[], list[keras.Model]],
                                                          copied: RunFolder) -> None:
    networks = two_networks()
    model = average(networks, ["a", "b"])
    model.save(copied.path / "modelo.keras")
    run = RunFolder(copied.path, {**copied.facts, "recipe": "ensemble", "backbone": "a+b"}, copied.metrics,
                    copied.history, copied.cohort, copied.predictions)
    members = np.stack([network.predict(FILMS, verbose=0) for network in networks], axis=1)
    assert everything_of(model).output_shape[1:] == (2 + 4 + 6 + 2 * 2,)
    for engine in ("keras", *(name for name in (OPENVINO,) if find_spec(name))):
        found = predictor_of(run, engine=engine, threads=1).outputs(FILMS)
        np.testing.assert_allclose(found.members, members, atol=1e-5)
        np.testing.assert_allclose(found.scores, members.mean(axis=1), atol=1e-5)
        assert found.features.shape == (9, 10)
