"""DINOv2's vision transformers as flat graphs of Keras's built-in layers; RAD-DINO is one of them.

Oquab et al., DINOv2: Learning robust visual features without supervision, TMLR 2024 (arXiv:2304.07193);
Pérez-García et al., Exploring scalable medical image encoders beyond text supervision, Nature Machine
Intelligence 2025 (arXiv:2401.10815). KerasHub's DINOv2 computes the same, by layers that only KerasHub knows.

Patches are embedded by one dense layer whose bias differs by place: it holds the position embeddings, and
beside a patch of zeros the class token. LayerScale is multiplied into the layer before it. Films whose sides
are no multiples of 14 lose up to 13 pixels at the right and lower edge, as in the original.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import keras
import numpy as np
from keras import layers

from pneumo_tf.models.weights.assignment import MisfitError, Placement, assign_all, check_fit
from pneumo_tf.models.weights.keras_hub import PRESET_FILE, read_preset
from pneumo_tf.models.weights.torch_file import PARTS, Tensors, read_tensors
from pneumo_tf.storage import read_json

PATCH, BLOCKS = 14, 12
HEAD = 64  # width of one attention head
_PATCHES = "embeddings.patch_embeddings.projection"
_TOKEN, _POSITIONS, _BIAS, _KERNEL = _EMBEDDINGS = (
    "embeddings.cls_token", "embeddings.position_embeddings", f"{_PATCHES}.bias", f"{_PATCHES}.weight")
_UNUSED = ("embeddings.mask_token", "classifier.")  # of pretraining, and of another task


def build_dinov2(inputs: keras.KerasTensor, *, width: int) -> keras.KerasTensor:
    """Features (N, H/14, W/14, 2 width) of square inputs (N, H, W, 3).

    At each place the class token, which is the same everywhere, then that place's patch token: their mean
    over the places is what linear classifiers on DINOv2 read.
    """
    side, rest = divmod(inputs.shape[1], PATCH)
    x = layers.Cropping2D(((0, rest), (0, rest)), name="whole_patches")(inputs) if rest else inputs
    x = layers.Reshape((side, PATCH, side, PATCH * 3), name="cut")(x)
    x = layers.Permute((1, 3, 2, 4), name="sorted")(x)
    x = layers.Reshape((side * side, PATCH * PATCH * 3), name="patches")(x)
    x = layers.ZeroPadding1D((1, 0), name="class_token")(x)
    small = keras.initializers.TruncatedNormal(stddev=0.02)
    x = layers.EinsumDense("ntp,pd->ntd", (1 + side * side, width), bias_axes="td", bias_initializer=small,
                           name="embeddings")(x)
    for number in range(1, BLOCKS + 1):
        x = _block(x, width, f"block{number}")
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    token = layers.Cropping1D((0, side * side), name="class_out")(x)
    token = layers.Reshape((1, 1, width), name="class_place")(token)
    token = layers.UpSampling2D((side, side), name="class_map")(token)
    patches = layers.Cropping1D((1, 0), name="patch_out")(x)
    patches = layers.Reshape((side, side, width), name="patch_map")(patches)
    return layers.Concatenate(name="map")([token, patches])


def _block(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    """Attention among the tokens, then two dense layers for each; both added to their input."""
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
    y = layers.MultiHeadAttention(width // HEAD, HEAD, name=f"{name}_attention")(y, y)
    x = layers.Add(name=f"{name}_attention_add")([x, y])
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
    y = layers.Dense(4 * width, name=f"{name}_dense1")(y)
    y = layers.Activation("gelu", name=f"{name}_gelu")(y)
    y = layers.Dense(width, name=f"{name}_dense2")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def load_dinov2_weights(model: keras.Model, path: Path) -> None:
    """Load `model.safetensors` as Hugging Face has it, or `model.weights.h5` of a KerasHub preset.

    What a `config.json` beside it says must fit the network, because numbers of other heads have the same
    shapes. Position embeddings of another size of films are resampled.

    Raises:
        WeightsError: The file is of another network; nothing is assigned then.
    """
    _check_config(model, path)
    tensors = read_preset(path) if path.name == PRESET_FILE else read_tensors(path, first=_TOKEN)
    parts = _parts(model)
    placements = [*_embeddings(model.get_layer("embeddings"), tensors, path),
                  *(placement for part in parts for placement in part.placements(tensors, path))]
    check_fit(placements, path)
    _check_surplus(parts, tensors, path)
    assign_all(placements, path)


class _Part(NamedTuple):
    """A layer of ours, its name in the file, and that of the LayerScale behind it, if there is one."""

    layer: keras.Layer
    name: str
    scale: str = ""

    def names(self) -> Iterator[tuple[str, keras.Variable]]:
        return ((f"{self.name}.{PARTS[variable.name]}", variable) for variable in self.layer.weights)

    def placements(self, tensors: Tensors, path: Path) -> Iterator[Placement]:
        """Each variable with its values in Keras's layout, where their number is right."""
        for name, variable in self.names():
            values = _for_keras(_tensor(tensors, name, path), variable)
            if self.scale:
                scale = _tensor(tensors, self.scale, path)
                if scale.shape != values.shape[-1:]:
                    raise MisfitError(path, f"which has tensor {self.scale} of shape {scale.shape} "
                                            f"where {values.shape[-1:]} is needed")
                values = values * scale
            yield Placement(variable, name, values)


def _parts(model: keras.Model) -> list[_Part]:
    """All layers with weights but the embeddings."""
    found = [_Part(model.get_layer("norm"), "layernorm")]
    for number in range(BLOCKS):
        ours, theirs = f"block{number + 1}", f"encoder.layer.{number}"
        attention = model.get_layer(f"{ours}_attention")
        found += [_Part(getattr(attention, f"{kind}_dense"), f"{theirs}.attention.attention.{kind}")
                  for kind in ("query", "key", "value")]
        scales = [f"{theirs}.layer_scale{place}.lambda1" for place in (1, 2)]
        found += [_Part(attention.output_dense, f"{theirs}.attention.output.dense", scales[0]),
                  _Part(model.get_layer(f"{ours}_norm1"), f"{theirs}.norm1"),
                  _Part(model.get_layer(f"{ours}_norm2"), f"{theirs}.norm2"),
                  _Part(model.get_layer(f"{ours}_dense1"), f"{theirs}.mlp.fc1"),
                  _Part(model.get_layer(f"{ours}_dense2"), f"{theirs}.mlp.fc2", scales[1])]
    return found


def _tensor(tensors: Tensors, name: str, path: Path) -> np.ndarray:
    if name not in tensors:
        raise MisfitError(path, f"which has no tensor {name}")
    return tensors[name]


def _for_keras(values: np.ndarray, variable: keras.Variable) -> np.ndarray:
    """PyTorch's (out,), (out, in) or (out, in, h, w) with the last axis for outputs, and in the variable's
    shape where there are as many numbers.
    """
    if values.ndim > 1:
        values = np.moveaxis(values, (0, 1), (-1, -2))
    return values.reshape(variable.shape) if values.size == math.prod(variable.shape) else values


def _embeddings(layer: keras.Layer, tensors: Tensors, path: Path) -> list[Placement]:
    """The kernel of all patches, and the bias of each place; the class token's patch is zeros."""
    token, positions, bias, kernel = (_tensor(tensors, name, path) for name in _EMBEDDINGS)
    places, width = layer.bias.shape
    side = max(1, math.isqrt(max(0, positions.size // width - 1)))
    needed = {_TOKEN: (1, 1, width), _POSITIONS: (1, side * side + 1, width), _BIAS: (width,)}
    for name, shape in needed.items():
        if tensors[name].shape != shape:
            raise MisfitError(path, f"which has tensor {name} of shape {tensors[name].shape} where "
                                    f"{shape} is needed")
    grid = resampled(positions[0, 1:].reshape(side, side, width), math.isqrt(places - 1))
    biases = np.concatenate([token[0] + positions[0, :1], bias + grid.reshape(-1, width)])
    return [Placement(layer.kernel, _KERNEL, _for_keras(kernel, layer.kernel)),
            Placement(layer.bias, _POSITIONS, biases)]


def resampled(grid: np.ndarray, side: int) -> np.ndarray:
    """A grid (n, n, D) on (side, side, D) places: bicubic without antialiasing, as PyTorch computes it."""
    if side == len(grid):
        return grid
    # OpenCV's cubic is PyTorch's (a = -0.75, edges repeated), but takes 512 channels at most.
    identity = np.eye(len(grid), dtype="float32")
    along = cv2.resize(identity, (len(grid), side), interpolation=cv2.INTER_CUBIC)  # (side, n)
    return np.einsum("ai,bj,ijd->abd", along, along, grid, optimize=True)


def _check_config(model: keras.Model, path: Path) -> None:
    """Refuse weights whose config.json, where there is one, tells of another network."""
    width = model.get_layer("norm").gamma.shape[0]
    needed = {"model_type": "dinov2", "patch_size": PATCH, "use_swiglu_ffn": False, "num_register_tokens": 0,
              "hidden_size": width, "num_hidden_layers": BLOCKS, "num_attention_heads": width // HEAD,
              "hidden_dim": width, "num_layers": BLOCKS, "num_heads": width // HEAD}  # as KerasHub calls them
    config = path.with_name("config.json")
    try:
        told = read_json(config) if config.is_file() else {}
        told = told.get("config", told)
        wrong = next((name for name in needed if told.get(name, needed[name]) != needed[name]), None)
    except (OSError, ValueError, AttributeError) as failure:
        raise MisfitError(path, f"beside which {config.name} can't be read as JSON") from failure
    if wrong:
        raise MisfitError(path, f"whose {config.name} says {wrong} {told[wrong]} where {needed[wrong]} is "
                                "needed")


def _check_surplus(parts: Sequence[_Part], tensors: Tensors, path: Path) -> None:
    """Refuse a deeper network of the same family, which has every tensor of this one too."""
    known = {name for part in parts for name, _ in part.names()} | {part.scale for part in parts}
    surplus = next((name for name in tensors if name not in {*known, *_EMBEDDINGS}
                    and not name.startswith(_UNUSED)), None)
    if surplus:
        raise MisfitError(path, f"which also has tensor {surplus} of shape {tensors[surplus].shape}, "
                                "for which this network has no place")
