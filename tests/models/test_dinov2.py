"""DINOv2 against KerasHub, in a narrow network; its weights files, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import requests
from safetensors.numpy import save_file

from pneumo_tf.errors import WeightsError
from pneumo_tf.models.backbones import BACKBONES
from pneumo_tf.models.classifier import build_backbone, linear_classifier, pooled_features
from pneumo_tf.models.dinov2 import build_dinov2, resampled
from pneumo_tf.models.weights.pretrained import KERAS_HUB, find_weights, load_weights
from pneumo_tf.runs.export import export_model

Tensors = dict[str, np.ndarray]
WIDTH, SIZE = 128, 56  # two heads; four patches of 14
NARROW = replace(BACKBONES["dinov2_small"], build=partial(build_dinov2, width=WIDTH))
CONFIG = {"model_type": "dinov2", "image_size": SIZE, "patch_size": 14, "hidden_size": WIDTH,
          "num_hidden_layers": 12, "num_attention_heads": 2, "mlp_ratio": 4, "layerscale_value": 1.0,
          "use_swiglu_ffn": False, "hidden_dropout_prob": 0.0, "drop_path_rate": 0.0, "hidden_act": "gelu"}


def tensors_of(width: int = WIDTH, places: int = 16) -> Tensors:
    """Random tensors by the names of Hugging Face, listed by hand."""
    rng, tensors = np.random.default_rng(0), Tensors()

    def draw(name: str, *shape: int, middle: float = 0.0, spread: float = 0.3) -> None:
        tensors[name] = rng.normal(middle, spread, shape).astype("float32")

    def dense(name: str, outputs: int, inputs: int) -> None:
        draw(f"{name}.weight", outputs, inputs, spread=inputs**-0.5), draw(f"{name}.bias", outputs)

    def norm(name: str) -> None:
        draw(f"{name}.weight", width, middle=1.0), draw(f"{name}.bias", width)

    draw("embeddings.cls_token", 1, 1, width), draw("embeddings.mask_token", 1, width)
    draw("embeddings.position_embeddings", 1, places + 1, width)
    draw("embeddings.patch_embeddings.projection.weight", width, 3, 14, 14, spread=0.05)
    draw("embeddings.patch_embeddings.projection.bias", width)
    for number in range(12):
        block = f"encoder.layer.{number}"
        for part in ("attention.attention.query", "attention.attention.key", "attention.attention.value",
                     "attention.output.dense"):
            dense(f"{block}.{part}", width, width)
        dense(f"{block}.mlp.fc1", 4 * width, width), dense(f"{block}.mlp.fc2", width, 4 * width)
        norm(f"{block}.norm1"), norm(f"{block}.norm2")
        draw(f"{block}.layer_scale1.lambda1", width), draw(f"{block}.layer_scale2.lambda1", width)
    norm("layernorm")
    return tensors


def write_folder(folder: Path, tensors: Tensors, **config: Any) -> Path:
    """A folder as Hugging Face has it."""
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("dinov2"), tensors_of())


@pytest.fixture(scope="module")
def narrow() -> keras.Model:
    return build_backbone(NARROW, SIZE)


@pytest.fixture(scope="module")
def hub(folder: Path) -> keras.Model:
    """KerasHub's own network with the same weights, by its own reader of the folder."""
    return pytest.importorskip("keras_hub").models.DINOV2Backbone.from_preset(str(folder))


@pytest.fixture(scope="module")
def preset(hub: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preset")
    hub.save_to_preset(str(folder))
    return folder


def films(size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (2, size, size, 3)).astype("float32")


def load(network: keras.Model, folder: Path) -> None:
    load_weights(network, NARROW, find_weights(NARROW, str(folder)))


@pytest.mark.parametrize("source", ["folder", "preset"])
def test_it_computes_what_keras_hub_computes(
        source: str, hub: keras.Model, narrow: keras.Model, request: pytest.FixtureRequest) -> None:
    load(narrow, request.getfixturevalue(source))
    scaled = (films() / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    wanted, found = np.asarray(hub({"images": scaled.astype("float32")})), np.asarray(narrow(films()))
    np.testing.assert_allclose(found[..., WIDTH:].reshape(2, 16, WIDTH), wanted[:, 1:], atol=1e-4)
    np.testing.assert_allclose(found[:, 0, 0, :WIDTH], wanted[:, 0], atol=1e-4)
    assert (found[..., :WIDTH] == found[:, :1, :1, :WIDTH]).all()  # the class token, at every place
    assert wanted.std() > 0.5


def cubic(distance: np.ndarray) -> np.ndarray:
    """Keys's kernel with PyTorch's constant, -0.75."""
    x, a = np.abs(distance), -0.75
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


@pytest.mark.parametrize("side", [4, 9, 16])
def test_position_embeddings_are_resampled_by_the_cubic_of_pytorch(side: int) -> None:
    grid = np.random.default_rng(2).normal(size=(9, 9, 600)).astype("float32")
    centres = (np.arange(side) + 0.5) * 9 / side - 0.5
    weights = np.zeros((side, 9))
    for place in range(-3, 12):  # the edge is repeated outside
        weights[:, np.clip(place, 0, 8)] += cubic(centres - place)
    np.testing.assert_allclose(resampled(grid, side), np.einsum("ai,bj,ijd->abd", weights, weights, grid),
                               atol=1e-5)


def test_the_same_file_serves_films_of_another_size(folder: Path) -> None:
    network = build_backbone(NARROW, 90)  # six patches, and six pixels that no patch covers
    load(network, folder)
    whole = films(90)
    cut = whole.copy()
    cut[:, 84:], cut[:, :, 84:] = 0, 255
    assert network.output_shape == (None, 6, 6, 2 * WIDTH)
    np.testing.assert_array_equal(np.asarray(network(cut)), np.asarray(network(whole)))


def test_what_is_exported_loads_with_keras_alone(
        narrow: keras.Model, folder: Path, tmp_path: Path) -> None:
    load(narrow, folder)
    kernel = np.random.default_rng(3).normal(0, 0.1, (2 * WIDTH, 2))
    model = linear_classifier(pooled_features(narrow, NARROW.taps), kernel, np.zeros(2))
    export_model(model, tmp_path)
    rebuilt = keras.models.model_from_json((tmp_path / "model.json").read_text())
    rebuilt.load_weights(tmp_path / "modelo.h5")
    scores = np.asarray(model(films()))
    assert scores.std() > 0.01
    for again in (rebuilt, keras.models.load_model(tmp_path / "modelo.h5"),
                  keras.models.load_model(tmp_path / "modelo.keras")):
        np.testing.assert_allclose(np.asarray(again(films())), scores, atol=1e-6)


def without_a_tensor(tensors: Tensors, _: dict[str, Any]) -> None:
    del tensors["encoder.layer.7.mlp.fc2.bias"]


def of_a_deeper_network(tensors: Tensors, _: dict[str, Any]) -> None:
    tensors["encoder.layer.12.norm1.weight"] = np.ones(WIDTH, "float32")


def of_a_wider_network(tensors: Tensors, _: dict[str, Any]) -> None:
    tensors.update(tensors_of(192))


def of_another_layer_scale(tensors: Tensors, _: dict[str, Any]) -> None:
    tensors["encoder.layer.0.layer_scale2.lambda1"] = np.ones(1, "float32")


def with_places_in_no_square(tensors: Tensors, _: dict[str, Any]) -> None:
    tensors["embeddings.position_embeddings"] = np.ones((1, 12, WIDTH), "float32")


def of_larger_patches(tensors: Tensors, _: dict[str, Any]) -> None:
    tensors["embeddings.patch_embeddings.projection.weight"] = np.ones((WIDTH, 3, 16, 16), "float32")


def with_no_numbers(tensors: Tensors, _: dict[str, Any]) -> None:
    tensors["embeddings.cls_token"][0, 0, 3] = np.nan


def of_other_heads(_: Tensors, config: dict[str, Any]) -> None:
    config["num_attention_heads"] = 4


def with_registers(_: Tensors, config: dict[str, Any]) -> None:
    config.update(model_type="dinov2_with_registers", num_register_tokens=4)


@pytest.mark.parametrize(("change", "said"), [
    (without_a_tensor, r"has no tensor encoder\.layer\.7\.mlp\.fc2\.bias"),
    (of_a_deeper_network, r"also has tensor encoder\.layer\.12\.norm1\.weight of shape \(128,\), for which"),
    (of_a_wider_network, r"embeddings\.cls_token of shape \(1, 1, 192\) where \(1, 1, 128\) is needed"),
    (of_another_layer_scale, r"layer_scale2\.lambda1 of shape \(1,\) where \(128,\) is needed"),
    (with_places_in_no_square, r"position_embeddings of shape \(1, 12, 128\) where \(1, 10, 128\) is needed"),
    (of_larger_patches, r"projection\.weight of shape \(16, 16, 3, 128\) where \(588, 128\) is needed"),
    (with_no_numbers, "whose values are not finite"),
    (of_other_heads, r"whose config\.json says num_attention_heads 4 where 2 is needed"),
    (with_registers, r"whose config\.json says model_type dinov2_with_registers where dinov2 is needed"),
])
def test_weights_of_another_network_are_refused_by_name_and_change_nothing(
        narrow: keras.Model, tmp_path: Path, said: str,
        change: Callable[[Tensors, dict[str, Any]], None]) -> None:
    tensors, config = tensors_of(), dict[str, Any]()
    change(tensors, config)
    before = narrow.get_weights()
    with pytest.raises(WeightsError, match=said) as caught:
        load(narrow, write_folder(tmp_path / "other", tensors, **config))
    assert "usually called dinov2-small/model.safetensors" in str(caught.value)
    assert all(np.array_equal(*pair) for pair in zip(before, narrow.get_weights(), strict=True))


@pytest.mark.parametrize("content", ["", "[1]", '{"config": 3}', "\xff"])
def test_a_config_that_is_none_is_refused(narrow: keras.Model, tmp_path: Path, content: str) -> None:
    folder = write_folder(tmp_path / "other", tensors_of())
    (folder / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(WeightsError, match=r"beside which config\.json can't be read as JSON"):
        load(narrow, folder)


def test_a_damaged_preset_is_refused(narrow: keras.Model, preset: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(preset, tmp_path / "damaged")
    (damaged / "model.weights.h5").write_bytes((preset / "model.weights.h5").read_bytes()[:5000])
    with pytest.raises(WeightsError, match="A preset of KerasHub must be a whole folder of DINOv2"):
        load(narrow, damaged)


def test_without_keras_hub_its_presets_are_refused_with_what_to_install(
        narrow: keras.Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub.models", None)
    (tmp_path / "model.weights.h5").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"no package keras-hub\. .*pip install 'pneumo_tf\[vit\]'\."):
        load(narrow, tmp_path)
    with pytest.raises(WeightsError, match="no package keras-hub"):
        find_weights(NARROW, KERAS_HUB)


def test_keras_hub_s_own_preset_is_fetched_by_its_handle(
        preset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kagglehub, asked = pytest.importorskip("kagglehub"), list[str]()
    monkeypatch.setattr(kagglehub, "model_download", lambda handle: asked.append(handle) or str(preset))
    found = find_weights(NARROW, KERAS_HUB)
    assert asked == ["keras/dinov2/keras/dinov2_small/1"]
    assert found.path == preset / "model.weights.h5"
    assert found.source == "KerasHub's dinov2_small: model.weights.h5"


def test_a_preset_that_can_not_be_fetched_or_is_not_known_is_said_to_be_so(
        monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(handle: str) -> str:
        raise requests.exceptions.ConnectionError(handle)

    monkeypatch.setattr(pytest.importorskip("kagglehub"), "model_download", unreachable)
    with pytest.raises(WeightsError, match=r"network: KerasHub's preset \(ConnectionError\)"):
        find_weights(NARROW, KERAS_HUB)
    with pytest.raises(WeightsError, match="KerasHub must have a preset of rad_dino"):
        find_weights(BACKBONES["rad_dino"], KERAS_HUB)


@pytest.mark.parametrize("name", [name for name, row in BACKBONES.items() if row.weights.preset])
def test_the_presets_of_the_table_are_keras_hub_s(name: str) -> None:
    hub = pytest.importorskip("keras_hub").models.DINOV2Backbone
    known = hub.presets[BACKBONES[name].weights.preset]
    assert known["kaggle_handle"].startswith("kaggle://")
