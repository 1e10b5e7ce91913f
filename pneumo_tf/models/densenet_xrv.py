"""DenseNet-121 as torchxrayvision trained it on adults' chest films of several hospitals.

Cohen et al., TorchXRayVision: A library of chest X-ray datasets and models, MIDL 2022 (arXiv:2111.00595).
The graph is that of keras.applications. The original reads one grey channel; here each of the three channels
meets a third of its first kernel, which is the same for grey films.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from keras import layers

from pneumo_tf.models.weights.torch_file import Tensors, assign_torch_tensors

_FIRST = "features.conv0.weight"
_BLOCKS = (6, 12, 24, 16)


def build_densenet121_xrv(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Features (N, H/32, W/32, 1024) of inputs (N, H, W, 3) from -1024 (black) to 1024 (white)."""
    network = keras.applications.DenseNet121(include_top=False, weights=None, input_tensor=inputs)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.epsilon = 1e-5  # PyTorch's; Keras's DenseNet has 1.001e-5
    return network.output


def load_xrv_weights(model: keras.Model, path: Path) -> None:
    """Load a `.pt` file of torchxrayvision, which holds a whole pickled network, or one of its tensors.

    Raises:
        WeightsError: A tensor is missing or has another shape; nothing is assigned then.
    """
    assign_torch_tensors(model, dict(_torch_names()), path, adapt=_in_three_channels)


def _in_three_channels(tensors: Tensors) -> Tensors:
    kept = {name: values for name, values in tensors.items() if name != "op_threshs"}  # of its 18 findings
    if kept.get(_FIRST, np.empty(0)).shape[1:2] == (1,):
        kept[_FIRST] = np.repeat(kept[_FIRST] / 3, 3, axis=1)
    return kept


def _torch_names() -> Iterator[tuple[str, str]]:
    """Keras's layer names and PyTorch's."""
    yield from [("conv1_conv", "features.conv0"), ("conv1_bn", "features.norm0"), ("bn", "features.norm5")]
    for block, layers_inside in enumerate(_BLOCKS, start=1):
        for number in range(1, layers_inside + 1):
            ours, theirs = f"conv{block + 1}_block{number}", f"features.denseblock{block}.denselayer{number}"
            yield from [(f"{ours}_0_bn", f"{theirs}.norm1"), (f"{ours}_1_conv", f"{theirs}.conv1"),
                        (f"{ours}_1_bn", f"{theirs}.norm2"), (f"{ours}_2_conv", f"{theirs}.conv2")]
        if block < len(_BLOCKS):
            yield from [(f"pool{block + 1}_bn", f"features.transition{block}.norm"),
                        (f"pool{block + 1}_conv", f"features.transition{block}.conv")]
