"""A network as a file of another runtime: written by Keras's own exporters, opened without Keras."""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import numpy as np

from pneumo_tf.errors import OptionError, check_known
from pneumo_tf.progress import quiet

if TYPE_CHECKING:
    import keras

Facts = Mapping[str, Any]
Network = Callable[[np.ndarray], np.ndarray]
"""Films (n, H, W, 3) in 0–255, uint8 or float32, to outputs (n, D), float32."""
FACTS = "pneumo_tf"  # where a file keeps what it is told of its network


@dataclass(frozen=True)
class Format:
    """A row of the table of formats.

    Attributes:
        file: Name of the file, or of the folder.
        exporter: What `keras.Model.export` calls it.
        packages: That write and open it, as they are imported.
        note: Writes facts into a finished file, where those look who open it with other programs.
        open: A file and a number of threads to the network in it.
        any_size: Whether the runtime is as quick where it isn't told before how large films are.
        settings: What the exporter is told.
        mend: Takes out of a finished file what its exporter leaves there.
    """

    file: str
    exporter: str
    packages: tuple[str, ...]
    note: Callable[[Path, Facts], None]
    open: Callable[[Path, int], Network]
    any_size: bool = True
    settings: Callable[[], dict[str, Any]] = dict
    mend: Callable[[Path], None] | None = None


def check_installed(names: Collection[str]) -> None:
    """Refuse formats whose packages aren't here, before any work is spent.

    Raises:
        OptionError: An unknown format, or one that can't be written here.
    """
    for name in names:
        check_known("format", name, FORMATS)
        if missing := [package for package in FORMATS[name].packages if util.find_spec(package) is None]:
            raise OptionError(f"What writes and reads {name} must be installed.",
                              received=f"no package {' nor '.join(missing)}",
                              remedy="Install it with: pip install 'pneumo_tf[export]', or leave "
                                     f"{name} out.")


def write_network(model: keras.Model, path: Path, name: str, *, facts: Facts | None = None) -> None:
    """Write a functional model of one input and one output in a format of `FORMATS`.

    Args:
        model: In float32.
        path: Ends as the format's own `file` does.
        name: Of the format.
        facts: What the file is to tell of the network, ready for JSON.

    Raises:
        OptionError: An unknown format, its packages aren't here, or Keras runs on another backend.
    """
    import keras

    check_installed([name])
    if keras.backend.backend() != "tensorflow":
        raise OptionError("Networks are exported by Keras on TensorFlow.", received=keras.backend.backend(),
                          remedy="Leave KERAS_BACKEND out.")
    form = FORMATS[name]
    _without_telemetry()
    model(np.zeros([side or 1 for side in model.input_shape], model.inputs[0].dtype))  # else Keras refuses
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # how Keras mends tf2onnx for NumPy 2
        model.export(str(path), format=form.exporter, verbose=False, **form.settings())
    if form.mend is not None:
        form.mend(path)
    if facts is not None:
        form.note(path, facts)


def open_network(path: Path, name: str, *, threads: int = 1) -> Network:
    """Open what `write_network` wrote, in its own runtime; but for a SavedModel without TensorFlow.

    Raises:
        OptionError: An unknown format, or its packages aren't here.
    """
    check_installed([name])
    with quiet():
        return FORMATS[name].open(path, threads)


def _note_onnx(path: Path, facts: Facts) -> None:
    """As metadata_props: an entry a fact, in JSON."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in facts.items()})
    onnx.save(model, path)


def _onnx() -> dict[str, Any]:
    """Teach tf2onnx the complementary error function, by which TensorFlow computes the exact GELU."""
    from tf2onnx.handler import tf_op

    class Erfc:
        @classmethod
        def version_9(cls, graph: Any, node: Any, **_: Any) -> None:
            one = graph.make_const(f"{node.name}_one", np.ones((), "float32"))
            erf = graph.make_node("Erf", node.input, name=f"{node.name}_erf")
            graph.remove_node(node.name)
            graph.make_node("Sub", [one.output[0], erf.output[0]], name=node.name, outputs=node.output)

    tf_op("Erfc")(Erfc)
    return {}


def _open_onnx(path: Path, threads: int) -> Network:
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    films = session.get_inputs()[0]
    dtype = "uint8" if films.type == "tensor(uint8)" else "float32"
    return lambda pixels: np.asarray(session.run(None, {films.name: pixels.astype(dtype, copy=False)})[0])


def _mend_openvino(path: Path) -> None:
    """Leave the first output alone: every loose end of Keras's attention becomes another one."""
    model = openvino_core().read_model(path)
    if loose := model.get_results()[1:]:
        for end in loose:
            model.remove_result(end)
        import_openvino().serialize(model, path)


def _note_openvino(path: Path, facts: Facts) -> None:
    """As rt_info below `FACTS`: an entry a fact, in JSON."""
    openvino, model = import_openvino(), openvino_core().read_model(path)
    for key, value in facts.items():
        model.set_rt_info(json.dumps(value), [FACTS, key])
    openvino.serialize(model, path)


def _open_openvino(path: Path, threads: int) -> Network:
    # Without the hint a processor that has bfloat16 would always use it.
    network = openvino_core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32",
                                                          "INFERENCE_NUM_THREADS": threads})
    dtype = network.input(0).element_type.to_dtype()
    return lambda pixels: np.asarray(network(pixels.astype(dtype, copy=False))[0])


@cache
def openvino_core() -> Any:
    """What reads and compiles OpenVINO's graphs, one for the process; their files may be written over.

    Each core puts a stack of its own under the handlers of signals. Of two, the one that ended last left them
    the other's, which was gone: the next Ctrl-C was a segmentation fault (OpenVINO 2026.4).
    """
    core = import_openvino().Core()
    core.set_property({"ENABLE_MMAP": False})
    return core


def import_openvino() -> Any:
    """OpenVINO, which tells nobody that it is used."""
    _without_telemetry()
    return importlib.import_module("openvino")


def _without_telemetry() -> None:
    # With this package in reach, importing OpenVINO alone would tell its makers over the network.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _note_saved_model(path: Path, facts: Facts) -> None:
    """In assets.extra, the folder that a SavedModel keeps for what its users add."""
    (path / "assets.extra").mkdir()
    (path / f"assets.extra/{FACTS}.json").write_text(json.dumps(facts), encoding="utf-8")


def _open_saved_model(path: Path, threads: int) -> Network:
    import tensorflow  # whose threads are set when it starts

    loaded = tensorflow.saved_model.load(str(path))
    films, = loaded.signatures["serving_default"].structured_input_signature[1].values()
    dtype = films.dtype.as_numpy_dtype
    return lambda pixels: np.asarray(loaded.serve(pixels.astype(dtype, copy=False)))


def _note_litert(path: Path, facts: Facts) -> None:
    """As a zip behind the model, which is where TensorFlow Lite's metadata keeps a model's files."""
    with ZipFile(path, "a") as archive:
        archive.writestr(f"{FACTS}.json", json.dumps(facts))
        archive.writestr("labels.txt", "\n".join(facts.get("classes", ())))


def _open_litert(path: Path, threads: int) -> Network:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()  # now, while nobody hears that XNNPACK is there
    run = interpreter.get_signature_runner()
    (films, details), = run.get_input_details().items()
    return lambda pixels: np.asarray(next(iter(
        run(**{films: pixels.astype(details["dtype"], copy=False)}).values())))


def _float16() -> dict[str, Any]:
    import tensorflow

    return {**_int8(), "target_spec": {"supported_types": [tensorflow.float16]}}


def _int8() -> dict[str, Any]:
    """Weights in 8 bits; what is computed of a film is quantised anew for each."""
    import tensorflow

    return {"optimizations": [tensorflow.lite.Optimize.DEFAULT]}


def _litert(settings: Callable[[], dict[str, Any]] = dict) -> Format:
    # Where a size is only known when a film comes, its kernels for processors (XNNPACK) stand aside.
    return Format("model.tflite", "litert", ("ai_edge_litert",), _note_litert, _open_litert, any_size=False,
                  settings=settings)


FORMATS: Mapping[str, Format] = {
    "onnx": Format("model.onnx", "onnx", ("onnx", "onnxruntime", "tf2onnx"), _note_onnx, _open_onnx,
                   settings=_onnx),
    "openvino": Format("model.xml", "openvino", ("openvino",), _note_openvino, _open_openvino,
                       mend=_mend_openvino),
    "litert": _litert(),
    "litert-float16": _litert(_float16),
    "litert-int8": _litert(_int8),
    "saved_model": Format("model", "tf_saved_model", ("tensorflow",), _note_saved_model,
                          _open_saved_model),
}
