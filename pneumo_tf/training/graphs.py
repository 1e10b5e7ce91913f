"""A network as a graph file of OpenVINO or of ONNX, which their runtimes compute without Keras.

Keras is imported only by who has a network to write.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumo_tf.errors import OptionError

if TYPE_CHECKING:
    import keras

OPENVINO, ONNX = "openvino", "onnx"
SUFFIXES = {OPENVINO: ".xml", ONNX: ".onnx"}
Compute = Callable[[np.ndarray], np.ndarray]
"""Films (n, H, W, 3) in 0–255 to float32 outputs (n, …)."""

_RUNTIMES = {OPENVINO: ("openvino", "cpu"), ONNX: ("onnxruntime", "export")}
_ONNX_WRITER = "tf2onnx"


def package_of(runtime: str) -> str:
    """The package that computes the graphs of a runtime."""
    return _RUNTIMES[runtime][0]


def is_installed(runtime: str) -> bool:
    """Whether OpenVINO or ONNX Runtime can be imported here."""
    return util.find_spec(package_of(runtime)) is not None


def can_write(runtime: str) -> bool:
    """Whether the packages that make its graphs are installed."""
    return is_installed(runtime) if runtime == OPENVINO else util.find_spec(_ONNX_WRITER) is not None


def check_installed(runtime: str, package: str = "") -> None:
    """Refuse a runtime, or another package of its extra, that isn't installed.

    Raises:
        OptionError: It isn't; the message holds the command that installs it.
    """
    own, extra = _RUNTIMES[runtime]
    package = package or own
    if util.find_spec(package) is None:
        raise OptionError("The engine must be installed.", received=f"no package {package}",
                          remedy=f"Install it with: pip install 'pneumo_tf[{extra}]', or choose "
                                 "--engine keras.")


def write_graph(network: keras.Model, path: Path) -> None:
    """Write a functional network of films (N, H, W, 3), in float32, with one output.

    The name's end tells the format: `.onnx`, or `.xml` for OpenVINO, which puts the weights beside it. The
    graph is the network as it is: whoever wants it fast folds BatchNorm before.

    Raises:
        OptionError: A package that the format needs isn't installed, or Keras's backend isn't TensorFlow.
    """
    import keras

    runtime = next(name for name, suffix in SUFFIXES.items() if path.suffix == suffix)
    if keras.backend.backend() != "tensorflow":
        raise OptionError("Graphs of networks are made by TensorFlow.", received=keras.backend.backend(),
                          remedy="Leave KERAS_BACKEND out, or choose --engine keras.")
    if runtime == OPENVINO:
        # Its own default would keep the weights in 16 bits.
        _openvino().save_model(_converted(network), path, compress_to_fp16=False)
        return
    check_installed(ONNX, _ONNX_WRITER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras asks NumPy for names of the past
        network.export(str(path), format="onnx", verbose=False, input_signature=[network.inputs[0]])


def open_graph(path: Path, *, threads: int, dtype: str = "uint8", coarse: bool = False) -> Compute:
    """A graph file of `write_graph`, ready to compute films of one dtype.

    Each film is computed by itself, as many at a time as there are threads: one film's activations fit into
    the processor's caches where those of a batch don't, and its outputs depend on no other.

    Args:
        coarse: Compute in bfloat16, which ONNX Runtime doesn't.

    Raises:
        OptionError: The runtime isn't installed.
    """
    if path.suffix == SUFFIXES[ONNX]:
        return _by_onnxruntime(path, threads=threads)
    return _by_openvino(path, threads=threads, dtype=dtype, coarse=coarse)


def _by_openvino(path: Path, *, threads: int, dtype: str, coarse: bool) -> Compute:
    openvino = _openvino()
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file may be gone before the graph is
    prepared = openvino.preprocess.PrePostProcessor(core.read_model(path))
    prepared.input().tensor().set_element_type(openvino.Type(np.dtype(dtype)))
    model = prepared.build()
    model.reshape([1, *(side.get_length() for side in list(model.input().partial_shape)[1:])])
    shape = tuple(side.get_length() for side in list(model.output().partial_shape)[1:])
    # Without the hint a processor that has bfloat16 would always use it.
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_PRECISION_HINT": "bf16" if coarse else "f32", "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_NUM_THREADS": threads})
    queue = openvino.AsyncInferQueue(compiled)

    def compute(films: np.ndarray) -> np.ndarray:
        outputs = np.empty((len(films), *shape), "float32")

        def keep(request: Any, index: int) -> None:
            outputs[index] = request.get_output_tensor(0).data[0]

        queue.set_callback(keep)
        for index in range(len(films)):
            queue.start_async({0: films[index : index + 1]}, index, share_inputs=True)
        queue.wait_all()
        return outputs

    return compute


def _by_onnxruntime(path: Path, *, threads: int) -> Compute:
    check_installed(ONNX)
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # several on one film took 1.5 times the processor's time
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name, pool = session.get_inputs()[0].name, ThreadPoolExecutor(threads)

    def outputs(film: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {name: film[None].astype("float32")})[0][0])

    return lambda films: np.stack(list(pool.map(outputs, films)))


def _converted(network: keras.Model) -> Any:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "graph"
        network.export(folder, format="tf_saved_model", verbose=False)
        core = _openvino().Core()
        core.set_property({"ENABLE_MMAP": False})
        return core.read_model(folder)


def _openvino() -> Any:
    check_installed(OPENVINO)
    # With this package in reach, importing OpenVINO alone would tell its makers over the network.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import_module("openvino.preprocess")
    return import_module("openvino")
