"""Presets of KerasHub, which the extra `vit` brings: downloaded, and read into tensors by their first names.

KerasHub took DINOv2 from Hugging Face; its own layers are turned back into those names and layouts, so that
there is one way into a network.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pneumo_tf.errors import WeightsError
from pneumo_tf.models.weights.torch_file import PARTS, Tensors

PRESET_FILE = "model.weights.h5"


def fetch_preset(preset: str) -> Path:
    """The weights file of a preset of DINOv2, from kagglehub's cache or downloaded into it.

    Raises:
        WeightsError: KerasHub isn't installed.
        requests.exceptions.RequestException: It couldn't be downloaded.
    """
    handle = _dinov2().presets[preset]["kaggle_handle"].removeprefix("kaggle://")
    import kagglehub

    return Path(kagglehub.model_download(handle)) / PRESET_FILE


def read_preset(path: Path) -> Tensors:
    """The tensors of a preset of DINOv2, whose weights file this is, by their names on Hugging Face.

    Raises:
        WeightsError: KerasHub isn't installed, or can't read the folder.
    """
    backbone = _dinov2()
    try:
        hub = backbone.from_preset(str(path.parent))
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise WeightsError("A preset of KerasHub must be a whole folder of DINOv2.",
                           received=f"{path.parent} ({str(failure).strip().partition(chr(10))[0]})",
                           remedy="Fetch it again, or name another folder.") from failure
    embeddings = hub.embeddings
    tensors = {"embeddings.cls_token": np.asarray(embeddings.cls_token),
               "embeddings.position_embeddings": np.asarray(embeddings.position_embeddings),
               **_of("embeddings.patch_embeddings.projection", embeddings.patch_embeddings.projection),
               **_of("layernorm", hub.layernorm)}
    for number, block in enumerate(hub.encoder.layers):
        name, attention = f"encoder.layer.{number}", block.attention.attention
        for kind in ("query", "key", "value"):
            tensors |= _of(f"{name}.attention.attention.{kind}", getattr(attention, f"{kind}_dense"))
        tensors |= {f"{name}.layer_scale1.lambda1": np.asarray(block.layer_scale1.lambda1),
                    f"{name}.layer_scale2.lambda1": np.asarray(block.layer_scale2.lambda1),
                    **_of(f"{name}.attention.output.dense", attention.output_dense),
                    **_of(f"{name}.norm1", block.norm1), **_of(f"{name}.norm2", block.norm2),
                    **_of(f"{name}.mlp.fc1", block.mlp.fc1), **_of(f"{name}.mlp.fc2", block.mlp.fc2)}
    return tensors


def _of(name: str, layer: keras.Layer) -> Tensors:
    """A layer's tensors in PyTorch's layout: (out,), (out, in) or (out, in, h, w)."""
    tensors = {}
    for variable in layer.weights:
        values = np.asarray(variable)
        if values.ndim == 3:  # (width, heads, head) or (heads, head, width), where width is heads times head
            values = values.reshape(math.isqrt(values.size), -1)
        values = np.moveaxis(values, (-1, -2), (0, 1)) if variable.name == "kernel" else values.ravel()
        tensors[f"{name}.{PARTS[variable.name]}"] = values
    return tensors


def _dinov2() -> Any:
    try:
        from keras_hub.models import DINOV2Backbone
    except ModuleNotFoundError as missing:
        raise WeightsError("Presets of KerasHub need KerasHub.", received="no package keras-hub",
                           remedy="Install it with: pip install 'pneumo_tf[vit]'.") from missing
    return DINOV2Backbone
