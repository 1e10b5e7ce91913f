"""What computes a frozen network: Keras, or OpenVINO or ONNX Runtime, which do without it.

All give the same numbers: a runtime gets the graph from Keras, and its first batch is compared with Keras's.
Keras is imported where a network is given, so that a graph which was kept can be computed without it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pneumo_tf.errors import OptionError, TrainingError, check_known
from pneumo_tf.models.formats import FORMATS, write_network
from pneumo_tf.training.graphs import (
    ONNX,
    OPENVINO,
    Compute,
    check_installed,
    is_installed,
    open_graph,
    runtime_of,
)
from pneumo_tf.training.machine import Device, available_cores, find_accelerators, package_versions
from pneumo_tf.training.store import digest

if TYPE_CHECKING:
    import keras

AUTO, KERAS = "auto", "keras"
ENGINES = (AUTO, KERAS, OPENVINO, ONNX)
_COMPARED = 3  # films of the first batch
# Largest difference from Keras in float32, as a share of the largest output. In bfloat16, which keeps eight
# bits of each number, EfficientNet-Lite0 was measured to differ by 0.028 in either engine.
EXACT, COARSE = 1e-4, 0.1


class Engine(Protocol):
    """A frozen network, ready to compute.

    Attributes:
        name: Of the network.
        input_shape: Of one film, (H, W, 3).
        output_shape: Of one film's output.
        dtype: What its outputs are kept in, "float32" or "bfloat16".
    """

    name: str
    input_shape: tuple[int, ...]
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
        import keras

        from pneumo_tf.models.folding import fold_batch_norm

        self._network, self._policy = network, dtype
        self._folded = fold_batch_norm(network, dtype=dtype)
        self.name, self.output_shape = network.name, tuple(network.output_shape[1:])
        self.input_shape = tuple(network.inputs[0].shape[1:])
        # A network from a file has its output in a list.
        self.dtype = keras.backend.standardize_dtype(self._folded.outputs[0].dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(KerasEngine, dtype=self._policy), (self._network,)

    def __call__(self, films: np.ndarray) -> np.ndarray:
        return np.asarray(self._folded.predict_on_batch(films))

    def fingerprint(self) -> str:
        return fingerprint(self._folded)

    def coarse(self) -> KerasEngine:
        return KerasEngine(self._network, dtype="mixed_bfloat16")


class GraphEngine:
    """A network whose graph a runtime computes: OpenVINO, or ONNX Runtime, which knows no bfloat16."""

    def __init__(self, graph: Graph, *, threads: int, coarse: bool = False) -> None:
        self._graph, self._threads, self._coarse = graph, threads, coarse and graph.engine == OPENVINO
        self.name, self.output_shape = graph.folded.name, tuple(graph.folded.output_shape[1:])
        self.input_shape = tuple(graph.folded.inputs[0].shape[1:])
        self.dtype = "bfloat16" if self._coarse and len(self.output_shape) > 1 else "float32"
        self._computes: dict[np.dtype, Compute] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _graph_engine, (self._graph.folded, self._graph.engine, self._coarse)

    def __call__(self, films: np.ndarray) -> np.ndarray:
        if films.dtype not in self._computes:
            compute = self._graph.compile(films.dtype, threads=self._threads, coarse=self._coarse)
            compare(compute(films[:_COMPARED]), self._graph.expected(films[:_COMPARED]), name=self.name,
                    engine=self._graph.engine, limit=COARSE if self._coarse else EXACT)
            self._computes[films.dtype] = compute
        return self._computes[films.dtype](films)

    def fingerprint(self) -> str:
        engine = self._graph.engine
        return digest([fingerprint(self._graph.folded), engine, metadata.version(runtime_of(engine)),
                       self._coarse])

    def coarse(self) -> GraphEngine:
        return GraphEngine(self._graph, threads=self._threads, coarse=True)


def _graph_engine(network: keras.Model, engine: str, coarse: bool) -> GraphEngine:
    """The engine in another process, which has cores of its own."""
    return GraphEngine(Graph(network, engine), threads=available_cores(), coarse=coarse)


class Graph:
    """A folded network and the graph of a runtime, which is made when something has to be computed."""

    def __init__(self, network: keras.Model, engine: str) -> None:
        from pneumo_tf.models.folding import fold_batch_norm

        self.folded, self.engine = fold_batch_norm(network), engine

    def expected(self, films: np.ndarray) -> np.ndarray:
        """What Keras gives for a few films: not compiled, and one by one, which takes the least memory."""
        import keras

        return np.concatenate([keras.ops.convert_to_numpy(self.folded(film[None], training=False))
                               for film in films.astype("float32")])

    def compile(self, dtype: np.dtype, *, threads: int, coarse: bool) -> Compute:
        """A function of films (n, H, W, 3) of one dtype."""
        return open_graph(self._file, threads=threads, dtype=dtype.name, coarse=coarse)

    @cached_property
    def _file(self) -> Path:
        self._folder = tempfile.TemporaryDirectory()  # which goes with this graph
        path = Path(self._folder.name) / FORMATS[self.engine].file
        write_network(self.folded, path, self.engine)
        return path


def compare(outputs: np.ndarray, expected: np.ndarray, *, limit: float, name: str, engine: str) -> None:
    """Compare an engine's outputs with Keras's for the same films.

    Raises:
        TrainingError: They differ by more than `limit`, a share of the largest output.
    """
    scale = float(np.abs(expected).max()) or 1.0
    difference = float(np.abs(outputs - expected).max()) / scale
    if not difference <= limit:  # a NaN isn't either
        raise TrainingError(f"An engine must compute what Keras does, up to {limit:g} of the largest output.",
                            received=f"a difference of {difference:.2g} for {name} in {engine}",
                            remedy="Repeat the command with --engine keras.")


def choose_engine(name: str, device: Device) -> str:
    """`KERAS` or a runtime; `AUTO` takes OpenVINO where it is installed and a processor computes.

    Raises:
        OptionError: No such engine, or it can't be had here.
    """
    check_known("engine", name, ENGINES)
    usable = device.backend == "tensorflow"
    if name == AUTO:
        return OPENVINO if is_installed(OPENVINO) and usable and not device.accelerator else KERAS
    if name != KERAS:
        if not usable:
            raise OptionError(f"The engine {name} takes its networks from TensorFlow.",
                              received=device.backend,
                              remedy="Leave KERAS_BACKEND out, or choose --engine keras.")
        check_installed(name)
    return name


def build_engine(network: keras.Model, name: str, *, threads: int) -> Engine:
    """The engine of this name for a functional model of films to one output of any rank, in float32.

    The threads are the runtimes'; Keras's are set when it starts.
    """
    return KerasEngine(network) if name == KERAS else GraphEngine(Graph(network, name), threads=threads)


def fingerprint(network: keras.Model) -> str:
    """SHA-256, hexadecimal, over everything that a network's outputs depend on beside its inputs.

    That is: the layers and their settings, precision included; how they are joined; their weights; the
    backend and its version, and whether a processor or an accelerator runs it. Names don't count, because
    Keras numbers layers by what else a process has built; nor does `trainable`.
    """
    import keras

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
