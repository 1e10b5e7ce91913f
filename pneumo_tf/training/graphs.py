"""A network's file in OpenVINO's or ONNX's format as an engine computes it: film by film, without Keras."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module, util
from pathlib import Path

import numpy as np

from pneumo_tf.errors import OptionError
from pneumo_tf.models.formats import FORMATS, import_openvino, openvino_core

OPENVINO, ONNX = "openvino", "onnx"  # formats of `models.formats`, each with a runtime of its own
Compute = Callable[[np.ndarray], np.ndarray]
"""Films (n, H, W, 3) in 0–255 to float32 outputs (n, …)."""

_RUNTIMES = {OPENVINO: ("openvino", "cpu"), ONNX: ("onnxruntime", "export")}  # with the extra that has it


def runtime_of(engine: str) -> str:
    """The package that computes the graphs of an engine."""
    return _RUNTIMES[engine][0]


def is_installed(engine: str) -> bool:
    """Whether an engine's runtime can be imported here."""
    return util.find_spec(runtime_of(engine)) is not None


def can_write(engine: str) -> bool:
    """Whether all that makes its graphs can be imported here."""
    return all(util.find_spec(package) for package in FORMATS[engine].packages)


def check_installed(engine: str) -> None:
    """Refuse an engine whose runtime isn't installed.

    Raises:
        OptionError: It isn't; the message holds the command that installs it.
    """
    package, extra = _RUNTIMES[engine]
    if not is_installed(engine):
        raise OptionError("The engine must be installed.", received=f"no package {package}",
                          remedy=f"Install it with: pip install 'pneumo_tf[{extra}]', or choose "
                                 "--engine keras.")


def open_graph(path: Path, *, threads: int, dtype: str = "uint8", coarse: bool = False) -> Compute:
    """A file of `formats.write_network`, ready to compute films of one dtype.

    Each film is computed by itself, as many at a time as there are threads: one film's activations fit into
    the processor's caches where those of a batch don't, and its outputs depend on no other.

    Args:
        path: Named as its format names it.
        coarse: Compute in bfloat16, which ONNX Runtime doesn't.

    Raises:
        OptionError: The runtime isn't installed.
    """
    if path.name == FORMATS[ONNX].file:
        return _by_onnxruntime(path, threads=threads)
    return _by_openvino(path, threads=threads, dtype=dtype, coarse=coarse)


def _by_openvino(path: Path, *, threads: int, dtype: str, coarse: bool) -> Compute:
    check_installed(OPENVINO)
    openvino, core = import_openvino(), openvino_core()
    prepared = import_module("openvino.preprocess").PrePostProcessor(core.read_model(path))
    prepared.input().tensor().set_element_type(openvino.Type(np.dtype(dtype)))
    model = prepared.build()
    model.reshape([1, *(side.get_length() for side in list(model.input().partial_shape)[1:])])
    shape = tuple(side.get_length() for side in list(model.output().partial_shape)[1:])
    # Without the hint a processor that has bfloat16 would always use it.
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_PRECISION_HINT": "bf16" if coarse else "f32", "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_NUM_THREADS": threads})
    # Not by callbacks: a thread that is in one as Python ends takes the process down.
    requests = [compiled.create_infer_request()
                for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))]

    def compute(films: np.ndarray) -> np.ndarray:
        outputs = np.empty((len(films), *shape), "float32")
        for turn in range(len(films) + len(requests)):
            request, done = requests[turn % len(requests)], turn - len(requests)
            request.wait()  # at first for what an interrupted call may have left
            if done >= 0:
                outputs[done] = request.get_output_tensor(0).data[0]
            if turn < len(films):
                request.start_async({0: films[turn : turn + 1]}, share_inputs=True)
        return outputs

    return compute


def _by_onnxruntime(path: Path, *, threads: int) -> Compute:
    check_installed(ONNX)
    runtime = import_module("onnxruntime")
    runtime.disable_telemetry_events()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # several on one film took 1.5 times the processor's time
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name, pool = session.get_inputs()[0].name, ThreadPoolExecutor(threads)

    def outputs(film: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {name: film[None].astype("float32")})[0][0])

    return lambda films: np.stack(list(pool.map(outputs, films)))
