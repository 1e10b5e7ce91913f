"""Networks that were first written for PyTorch give the features of their originals, which were asked.

What the originals gave is kept in `originals/NAME.npz` beside the names and shapes of their tensors; the
weights are drawn anew from a seed. Where torch, transformers, torchxrayvision and efficientnet-lite-pytorch
are installed the originals are asked again, and `python tests/models/test_originals.py` writes the files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pneumo_tf.models.backbones import BACKBONES
from pneumo_tf.models.classifier import build_backbone, pooled_features
from pneumo_tf.models.weights.pretrained import Weights, load_weights

Tensors = dict[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]
FOLDER = Path(__file__).with_name("originals")
KEPT = ("efficientnet_lite1", "efficientnet_lite2", "densenet121_xrv", "dinov2_small")
SIZE = 70  # five patches of 14, so that position embeddings are resampled
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def grey_films() -> np.ndarray:
    """Two films in 0–255, (2, 70, 70, 3): noise of several scales."""
    rng = np.random.default_rng(7)
    scales = [rng.normal(0, 40, (2, side, side, 1)).repeat(SIZE // side, 1).repeat(SIZE // side, 2)
              for side in (2, 10, 35)]
    return np.clip(128 + sum(scales), 0, 255).repeat(3, axis=-1).astype("float32")


def drawn(shapes: Shapes) -> Tensors:
    """Random weights that keep a signal of size 1 on its way through the network."""
    rng, tensors = np.random.default_rng(0), Tensors()
    for name, shape in shapes.items():
        spread = math.sqrt(2 / max(1, math.prod(shape[1:])))
        if name.endswith("num_batches_tracked"):
            tensors[name] = np.array(7)
        elif name.endswith("running_var"):
            tensors[name] = rng.uniform(0.5, 1.5, shape).astype("float32")
        elif name in ("embeddings.cls_token", "embeddings.position_embeddings"):
            tensors[name] = rng.normal(0, 0.5, shape).astype("float32")
        elif len(shape) > 1:
            tensors[name] = rng.normal(0, spread, shape).astype("float32")
        else:
            middle = 1.0 if name.endswith(("weight", "lambda1")) else 0.0
            tensors[name] = (middle + rng.uniform(-0.3, 0.3, shape)).astype("float32")
    if "features.conv0.weight" in tensors:
        tensors["features.conv0.weight"] /= 500  # its inputs reach 1,024
    return tensors


def features_here(name: str, tensors: Tensors, folder: Path) -> np.ndarray:
    """What our network makes of the same weights, (2, D): the pooled features of its last map."""
    path = folder / "model.safetensors"
    save_file(tensors, path)
    backbone = BACKBONES[name]
    network = build_backbone(backbone, SIZE)
    load_weights(network, backbone, Weights(path, "given path", ""))
    return np.asarray(pooled_features(network, backbone.taps[-1:])(grey_films()))


@pytest.mark.parametrize("name", KEPT)
def test_it_gives_the_features_that_its_original_gave(name: str, tmp_path: Path) -> None:
    with np.load(FOLDER / f"{name}.npz") as kept:
        wanted, shapes = kept["features"], json.loads(str(kept["shapes"]))
    found = features_here(name, drawn(shapes), tmp_path)
    assert wanted.std(axis=0).max() > 0.01  # the films differ
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("name", [*KEPT, "rad_dino"])
def test_the_original_still_gives_them(name: str, tmp_path: Path) -> None:
    tensors, wanted = ask_original(name, tmp_path)
    if name in KEPT:
        np.testing.assert_allclose(np.load(FOLDER / f"{name}.npz")["features"], wanted, atol=1e-5)
    np.testing.assert_allclose(features_here(name, tensors, tmp_path), wanted, atol=1e-4)


def ask_original(name: str, folder: Path) -> tuple[Tensors, np.ndarray]:
    """The original's tensors, drawn, and its pooled features (2, D)."""
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        tensors, features = ORIGINALS[name](folder, grey_films())
        return tensors, features.numpy()


def refilled(network: Any) -> tuple[Tensors, Any]:
    """A PyTorch network with drawn weights, ready to predict."""
    torch = pytest.importorskip("torch")
    tensors = drawn({key: tuple(value.shape) for key, value in network.state_dict().items()})
    network.load_state_dict({key: torch.from_numpy(np.asarray(value)) for key, value in tensors.items()})
    return tensors, network.eval()


def in_torch(films: np.ndarray) -> Any:
    return pytest.importorskip("torch").from_numpy(films.transpose(0, 3, 1, 2).astype("float32"))


def dinov2(folder: Path, films: np.ndarray, *, width: int, mean: Any, deviation: Any) -> tuple[Tensors, Any]:
    """Class token, then the mean of the patch tokens; the names are those of the files, not of the layers."""
    transformers, path = pytest.importorskip("transformers"), folder / "model.safetensors"
    config = transformers.Dinov2Config(hidden_size=width, num_attention_heads=width // 64, image_size=518)
    transformers.Dinov2Model(config).save_pretrained(folder)
    tensors = drawn({key: value.shape for key, value in load_file(path).items()})
    save_file(tensors, path, metadata={"format": "pt"})
    network = transformers.Dinov2Model.from_pretrained(folder).eval()
    tokens = network(in_torch((films / 255 - mean) / deviation)).last_hidden_state
    return tensors, pytest.importorskip("torch").cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1)


def densenet121_xrv(folder: Path, films: np.ndarray) -> tuple[Tensors, Any]:
    xrv = pytest.importorskip("torchxrayvision")
    tensors, network = refilled(xrv.models.DenseNet(weights=None))
    return tensors, network.features2(in_torch(xrv.datasets.normalize(films[..., :1], 255)))


def efficientnet_lite(folder: Path, films: np.ndarray, *, number: int) -> tuple[Tensors, Any]:
    lite = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet
    tensors, network = refilled(lite.from_name(f"efficientnet-lite{number}", image_size=SIZE))
    return tensors, network.extract_features(in_torch((films - 127) / 128)).mean((2, 3))


ORIGINALS: dict[str, Callable[[Path, np.ndarray], tuple[Tensors, Any]]] = {
    "efficientnet_lite1": partial(efficientnet_lite, number=1),
    "efficientnet_lite2": partial(efficientnet_lite, number=2),
    "densenet121_xrv": densenet121_xrv,
    "dinov2_small": partial(dinov2, width=384, mean=MEAN, deviation=DEVIATION),
    "rad_dino": partial(dinov2, width=768, mean=0.5307, deviation=0.2583),
}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in KEPT:
        with TemporaryDirectory() as temporary:
            weights, features = ask_original(each, Path(temporary))
        shapes = json.dumps({key: value.shape for key, value in weights.items()})
        np.savez_compressed(FOLDER / f"{each}.npz", features=features, shapes=np.array(shapes))
