"""Networks leave Keras for other runtimes, and give the same there."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pneumo_tf.errors import OptionError
from pneumo_tf.models import dinov2, formats
from pneumo_tf.models.film_input import taking_films
from pneumo_tf.models.formats import FORMATS, open_network, write_network

SIZE = 24
TOLERANCES = {"litert-float16": 2e-3, "litert-int8": 3e-2}
FACTS = {"classes": ["SANO", "NEUMONÍA"], "threshold": 0.25}

# Only the formats' own module and the runtime: what a program has that was given the file alone.
_ELSEWHERE = """
import sys, numpy as np
from pathlib import Path
from pneumo_tf.models.formats import open_network
path, name, films, out = sys.argv[1:]
np.save(out, open_network(Path(path), name)(np.load(films)))
assert {"keras", "tensorflow", "jax"}.isdisjoint(sys.modules), "Keras isn't needed"
"""


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((SIZE, SIZE, 3), name="films")
    x = layers.Conv2D(8, 3, 2, activation="relu6")(layers.Rescaling(1 / 64, -2)(inputs))
    x = layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3)(x))
    x = layers.Dense(256, activation="relu")(layers.Dense(256, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


@pytest.fixture(scope="module")
def films() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def written(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each format's file, of a network that takes films of any size where the format can."""
    place = tmp_path_factory.mktemp("formats")
    for name, form in FORMATS.items():
        (place / name).mkdir()
        whole = taking_films(network, any_size=form.any_size, grey=True)
        write_network(whole, place / name / form.file, name, facts=FACTS)
    return {name: place / name / form.file for name, form in FORMATS.items()}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_scores_of_keras(name: str, network: keras.Model, films: np.ndarray,
                                                written: dict[str, Path]) -> None:
    expected = np.asarray(taking_films(network, any_size=False, grey=True)(films))
    opened = open_network(written[name], name, threads=1)
    found = np.concatenate([opened(film[None]) for film in films])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=TOLERANCES.get(name, 1e-6))


@pytest.mark.parametrize("name", ["onnx", "openvino", "litert"])
def test_a_transformer_leaves_keras_with_one_output_too(
        name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dinov2, "BLOCKS", 2)
    inputs = keras.Input((28, 28, 3), name="films")
    places = dinov2.build_dinov2(layers.Rescaling(1 / 64, -2)(inputs), width=64)
    network = keras.Model(inputs, layers.GlobalAveragePooling2D()(places))
    write_network(network, tmp_path / FORMATS[name].file, name)
    films = np.random.default_rng(2).integers(0, 256, (1, 28, 28, 3)).astype("float32")
    found = open_network(tmp_path / FORMATS[name].file, name)(films)
    np.testing.assert_allclose(found, np.asarray(network(films)), atol=1e-4)
    if name == "openvino":
        assert len(formats.openvino_core().read_model(tmp_path / "model.xml").outputs) == 1


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.any_size])
def test_a_graph_that_can_takes_films_of_any_size(name: str, network: keras.Model,
                                                  written: dict[str, Path]) -> None:
    opened, whole = open_network(written[name], name), taking_films(network, any_size=True, grey=True)
    for shape in ((40, 31), (SIZE, 90), (11, 17)):
        film = np.random.default_rng(shape[0]).integers(0, 256, (1, *shape, 3), dtype=np.uint8)
        np.testing.assert_allclose(opened(film), np.asarray(whole(film)), atol=1e-4)


@pytest.mark.parametrize("name", ["onnx", "openvino", "litert"])
def test_what_was_written_is_computed_where_keras_was_never_loaded(
        name: str, films: np.ndarray, written: dict[str, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "films.npy", films[:1])
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", _ELSEWHERE, str(written[name]), name, str(tmp_path / "films.npy"),
                    str(tmp_path / "scores.npy")], check=True, cwd=root)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), open_network(written[name], name)(films[:1]),
                               atol=1e-6)


@pytest.mark.parametrize("name", ["onnx", "openvino", "litert"])
def test_ctrl_c_is_heard_after_networks_came_and_went(name: str, films: np.ndarray, written: dict[str, Path],
                                                      tmp_path: Path) -> None:
    """OpenVINO's cores leave a stack for signals that is gone: the next one was a segmentation fault."""
    np.save(tmp_path / "films.npy", films[:1])
    script = """
import numpy as np, signal, sys
from pathlib import Path
from pneumo_tf.models.formats import open_network
path, name, films = sys.argv[1:]
first, second = (open_network(Path(path), name) for _ in range(2))
first(np.load(films)), second(np.load(films))
del first
del second
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("heard")
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(written[name]), name, str(tmp_path / "films.npy")],
        capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2], check=False)
    assert (ended.returncode, ended.stdout) == (0, "heard\n"), ended.stderr


def test_each_file_tells_what_it_is_to_the_tools_of_its_own_runtime(written: dict[str, Path]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(written["onnx"], providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert {key: json.loads(value) for key, value in told.items()} == FACTS
    told = formats.openvino_core().read_model(written["openvino"])
    assert {key: json.loads(told.get_rt_info(["pneumo_tf", key]).astype(str)) for key in FACTS} == FACTS
    extra = written["saved_model"] / "assets.extra/pneumo_tf.json"
    assert json.loads(extra.read_text(encoding="utf-8")) == FACTS
    with zipfile.ZipFile(written["litert-int8"]) as archive:
        assert json.loads(archive.read("pneumo_tf.json")) == FACTS
        assert archive.read("labels.txt").decode().split("\n") == FACTS["classes"]


def test_smaller_formats_are_smaller(written: dict[str, Path]) -> None:
    sizes = [written[name].stat().st_size for name in ("litert", "litert-float16", "litert-int8")]
    assert sizes[0] > 1.7 * sizes[1] > 2.5 * sizes[2]


def test_what_is_missing_is_named_with_the_command_that_installs_it(
        network: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats.util, "find_spec", lambda name: None if "onnx" in name else name)
    for act in (lambda: write_network(network, tmp_path / "model.onnx", "onnx"),
                lambda: open_network(tmp_path / "model.onnx", "onnx")):
        with pytest.raises(OptionError, match=r"no package onnx nor onnxruntime nor tf2onnx\. .*pip install "
                                              r"'pneumo_tf\[export\]', or leave onnx out"):
            act()
    assert not list(tmp_path.iterdir())


def test_an_unknown_format_is_answered_with_the_one_that_was_meant(network: keras.Model,
                                                                   tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean openvino"):
        write_network(network, tmp_path / "model", "open-vino")
