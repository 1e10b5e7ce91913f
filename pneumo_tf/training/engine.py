"""What computes a frozen network: Keras, or OpenVINO, which is faster on processors.

Both give the same numbers: OpenVINO gets the graph from Keras, and its first batch is compared with Keras's.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import tempfile
from collections.abc import Callable
from functools import cached_property
from importlib import metadata, util
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from pneumo_tf.errors import OptionError, TrainingError, check_known
from pneumo_tf.models.folding import fold_batch_norm
from pneumo_tf.training.machine import Device, find_accelerators, package_versions
from pneumo_tf.training.store import digest

AUTO, KERAS, OPENVINO = "auto", "keras", "openvino"
ENGINES = (AUTO, KERAS, OPENVINO)
_COMPARED = 8  # films of the first batch
# Largest difference from Keras in float32, as a share of the largest output. In bfloat16, which keeps eight
# bits of each number, EfficientNet-Lite0 was measured to differ by 0.028 in either engine.
_EXACT, _COARSE = 1e-4, 0.1


class Engine(Protocol):
    """A frozen network, ready to compute.

    Attributes:
        name: Of the network.
        output_shape: Of one film's output.
        dtype: What its outputs are kept in, "float32" or "bfloat16".
    """

    name: str
    output_shape: tuple[int, ...]
    dtype: str

    def __call__(self, films: np.ndarray) -> np.ndarray:
        """Outputs (n, …) of films (n, H, W, 3) in 0–255, uint8 or float32."""

    def fingerprint(self) -> str:
        """SHA-256, hexadecimal, over everything that the outputs depend on beside the films."""

    def coarse(self) -> Engine:
        """The same network in bfloat16, for what only teaches."""


class KerasEngine:
    """A network without its BatchNorm layers, compiled by Keras for the shape of its batches."""

    def __init__(self, network: keras.Model, *, dtype: str = "float32") -> None:
        self._network, self._folded = network, fold_batch_norm(network, dtype=dtype)
        self.name, self.output_shape = network.name, tuple(network.output_shape[1:])
        # A network from a file has its output in a list.
        self.dtype = keras.backend.standardize_dtype(self._folded.outputs[0].dtype)

    def __call__(self, films: np.ndarray) -> np.ndarray:
        return np.asarray(self._folded.predict_on_batch(films))

    def fingerprint(self) -> str:
        return fingerprint(self._folded)

    def coarse(self) -> KerasEngine:
        return KerasEngine(self._network, dtype="mixed_bfloat16")


class OpenVinoEngine:
    """A network that OpenVINO computes film by film, as many at a time as suits the processor.

    One film's activations fit into the processor's caches where those of a batch don't.
    """

    def __init__(self, graph: Graph, *, threads: int, coarse: bool = False) -> None:
        self._graph, self._threads, self._coarse = graph, threads, coarse
        self.name, self.output_shape = graph.folded.name, tuple(graph.folded.output_shape[1:])
        self.dtype = "bfloat16" if coarse and len(self.output_shape) > 1 else "float32"
        self._runners: dict[np.dtype, Callable[[np.ndarray], np.ndarray]] = {}

    def __call__(self, films: np.ndarray) -> np.ndarray:
        if films.dtype not in self._runners:
            run = self._graph.compile(films.dtype, threads=self._threads, coarse=self._coarse)
            compare(run(films[:_COMPARED]), self._graph.expected(films[:_COMPARED]), name=self.name,
                    limit=_COARSE if self._coarse else _EXACT)
            self._runners[films.dtype] = run
        return self._runners[films.dtype](films)

    def fingerprint(self) -> str:
        return digest([fingerprint(self._graph.folded), OPENVINO, metadata.version(OPENVINO), self._coarse])

    def coarse(self) -> OpenVinoEngine:
        return OpenVinoEngine(self._graph, threads=self._threads, coarse=True)


class Graph:
    """A folded network and its OpenVINO graph, which is made when something has to be computed."""

    def __init__(self, network: keras.Model) -> None:
        self.folded = fold_batch_norm(network)

    def expected(self, films: np.ndarray) -> np.ndarray:
        """What Keras gives for a few films: not compiled, and one by one, which takes the least memory."""
        return np.concatenate([keras.ops.convert_to_numpy(self.folded(film[None], training=False))
                               for film in films.astype("float32")])

    @cached_property
    def _converted(self) -> Any:
        core = _openvino().Core()
        core.set_property({"ENABLE_MMAP": False})
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "graph"
            self.folded.export(folder, format="tf_saved_model", verbose=False)
            return core.read_model(folder)

    def compile(self, dtype: np.dtype, *, threads: int,
                coarse: bool) -> Callable[[np.ndarray], np.ndarray]:
        """A function of films (n, H, W, 3) of one dtype."""
        openvino = _openvino()
        prepared = openvino.preprocess.PrePostProcessor(self._converted.clone())
        prepared.input().tensor().set_element_type(openvino.Type(dtype))
        model = prepared.build()
        model.reshape([1, *self.folded.input_shape[1:]])
        # Without the hint a processor that has bfloat16 would always use it.
        compiled = openvino.Core().compile_model(model, "CPU", {
            "INFERENCE_PRECISION_HINT": "bf16" if coarse else "f32", "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_NUM_THREADS": threads})
        queue, shape = openvino.AsyncInferQueue(compiled), self.folded.output_shape[1:]

        def run(films: np.ndarray) -> np.ndarray:
            outputs = np.empty((len(films), *shape), "float32")

            def keep(request: Any, index: int) -> None:
                outputs[index] = request.get_output_tensor(0).data[0]

            queue.set_callback(keep)
            for index in range(len(films)):
                queue.start_async({0: films[index : index + 1]}, index, share_inputs=True)
            queue.wait_all()
            return outputs

        return run


def compare(outputs: np.ndarray, expected: np.ndarray, *, limit: float, name: str) -> None:
    """Compare an engine's outputs with Keras's for the same films.

    Raises:
        TrainingError: They differ by more than `limit`, a share of the largest output.
    """
    scale = float(np.abs(expected).max()) or 1.0
    difference = float(np.abs(outputs - expected).max()) / scale
    if not difference <= limit:  # a NaN isn't either
        raise TrainingError(f"OpenVINO must compute what Keras does, up to {limit:g} of the largest output.",
                            received=f"a difference of {difference:.2g} for {name}",
                            remedy="Repeat the command with --engine keras.")


def choose_engine(name: str, device: Device) -> str:
    """`KERAS` or `OPENVINO`; `AUTO` takes OpenVINO where it is installed and a processor computes.

    Raises:
        OptionError: No such engine, or it can't be had here.
    """
    check_known("engine", name, ENGINES)
    installed, usable = util.find_spec(OPENVINO) is not None, device.backend == "tensorflow"
    if name == AUTO:
        return OPENVINO if installed and usable and not device.accelerator else KERAS
    if name == OPENVINO and not usable:
        raise OptionError("OpenVINO takes its networks from TensorFlow.", received=device.backend,
                          remedy="Leave KERAS_BACKEND out, or choose --engine keras.")
    if name == OPENVINO and not installed:
        raise OptionError("The engine must be installed.", received="no package openvino",
                          remedy="Install it with: pip install 'pneumo_tf[cpu]', or choose --engine keras.")
    return name


def build_engine(network: keras.Model, name: str, *, threads: int) -> Engine:
    """The engine `KERAS` or `OPENVINO` for a functional model of films to one output of any rank, in float32.

    The threads are OpenVINO's; Keras's are set when it starts.
    """
    return OpenVinoEngine(Graph(network), threads=threads) if name == OPENVINO else KerasEngine(network)


def _openvino() -> Any:
    # With this package in reach, importing OpenVINO alone would tell its makers over the network.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    importlib.import_module("openvino.preprocess")
    return importlib.import_module(OPENVINO)


def fingerprint(network: keras.Model) -> str:
    """SHA-256, hexadecimal, over everything that a network's outputs depend on beside its inputs.

    That is: the layers and their settings, precision included; how they are joined; their weights; the
    backend and its version, and whether a processor or an accelerator runs it. Names don't count, because
    Keras numbers layers by what else a process has built; nor does `trainable`.
    """
    config = network.get_config()
    numbers = {layer["config"]["name"]: number for number, layer in enumerate(config["layers"])}
    layers = [[layer["class_name"],
               {name: value for name, value in layer["config"].items() if name not in ("name", "trainable")},
               _numbered(layer.get("inbound_nodes"), numbers)] for layer in config["layers"]]
    ends = [_numbered(config.get(end), numbers) for end in ("input_layers", "output_layers")]
    backend = keras.backend.backend()
    computed_by = [backend, package_versions().get(backend, ""), keras.__version__,
                   "accelerator" if find_accelerators() else "processor"]
    structure = json.dumps([computed_by, layers, ends], sort_keys=True, default=str)
    sha256 = hashlib.sha256(structure.encode())
    for weights in network.weights:
        sha256.update(np.asarray(weights).tobytes())
    return sha256.hexdigest()


def _numbered(value: Any, numbers: dict[str, int]) -> Any:
    """A part of a configuration with each layer's name replaced by its number."""
    if isinstance(value, dict):
        return {key: _numbered(part, numbers) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_numbered(part, numbers) for part in value]
    return numbers.get(value, value) if isinstance(value, str) else value
