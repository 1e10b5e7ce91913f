"""The graphs of a run's network that are kept in its folder, so that films are answered without Keras.

A graph is made when its runtime is first asked for. Beside it lie a few pictures and what the exported
network gave for them in Keras: whoever opens the graph computes them again, so that a runtime of another
version, or on another processor, is found out before it answers.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pneumo_tf.data.audit import file_sha256
from pneumo_tf.errors import StorageError
from pneumo_tf.runs.folder import COMPLETE, GRAPHS, RunError, RunFolder
from pneumo_tf.storage import replacing
from pneumo_tf.training.engine import COARSE, EXACT, KERAS, compare
from pneumo_tf.training.graphs import (
    ONNX,
    OPENVINO,
    SUFFIXES,
    can_write,
    is_installed,
    open_graph,
    package_of,
    write_graph,
)
from pneumo_tf.training.pixels import as_three_channels
from pneumo_tf.training.store import digest

if TYPE_CHECKING:
    import keras

_FORMAT = 1  # raised whenever the same network would give another graph
_PROBE, _PICTURES = "probe.npz", 4
_SAME = 1e-5  # largest difference of a score


class KeptEngine:
    """The engine of a kept graph: films to scores and features, (n, K + D).

    Raises:
        TrainingError: It no longer computes what Keras did.
        OptionError: The runtime isn't installed.
    """

    dtype = "float32"

    def __init__(self, run: RunFolder, runtime: str, *, threads: int, coarse: bool = False) -> None:
        self._run, self._runtime, self._threads, self._coarse = run, runtime, threads, coarse
        self.name, folder = run.name, _folder(run, runtime)
        self._compute = open_graph(folder / f"graph{SUFFIXES[runtime]}", threads=threads, coarse=coarse)
        with np.load(folder / _PROBE) as probe:
            films, expected = probe["films"], probe["outputs"]
        self.input_shape, self.output_shape = films.shape[1:], expected.shape[1:]
        found, classes = self._compute(films), len(run.classes)
        for part, limit in ((np.s_[:, :classes], _SAME), (np.s_[:, classes:], EXACT)):
            compare(found[part], expected[part], limit=COARSE if coarse else limit, name=run.name,
                    engine=runtime)

    def __call__(self, films: np.ndarray) -> np.ndarray:
        return self._compute(films)

    def fingerprint(self) -> str:
        return digest([_folder(self._run, self._runtime).name, metadata.version(package_of(self._runtime)),
                       self._coarse])

    def coarse(self) -> KeptEngine:
        return KeptEngine(self._run, self._runtime, threads=self._threads, coarse=True)


def quickest(run: RunFolder) -> str:
    """The engine that answers soonest on a processor: OpenVINO, else ONNX Runtime, where it is installed and
    the run's folder holds its graph or can take it; else Keras.
    """
    can_keep = os.access(run.path, os.W_OK)
    return next((runtime for runtime in (OPENVINO, ONNX) if is_installed(runtime)
                 and (is_kept(run, runtime) or (can_keep and can_write(runtime)))), KERAS)


def is_kept(run: RunFolder, runtime: str) -> bool:
    """Whether a graph of the run's network as it is now lies there for a runtime."""
    return (_folder(run, runtime) / _PROBE).is_file()


def keep_graph(run: RunFolder, runtime: str, model: keras.Model) -> None:
    """Write the graph of a run's network, scores and features in one output, into the run's folder.

    Raises:
        OptionError: A package that it takes isn't installed.
        StorageError: The folder can't be written to.
    """
    import keras

    from pneumo_tf.models.classifier import with_features
    from pneumo_tf.models.folding import fold_batch_norm

    whole, folder = with_features(model), _folder(run, runtime)
    films = _pictures(*whole.inputs[0].shape[1:3])
    outputs = keras.ops.convert_to_numpy(whole(films.astype("float32"), training=False))
    try:
        with replacing(folder) as temporary:
            temporary.mkdir()
            write_graph(fold_batch_norm(whole), temporary / f"graph{SUFFIXES[runtime]}")
            np.savez_compressed(temporary / _PROBE, films=films, outputs=outputs)
    except StorageError:
        if not is_kept(run, runtime):  # else another process was quicker
            raise


def _folder(run: RunFolder, runtime: str) -> Path:
    key = digest([_FORMAT, network_sha256(run), runtime])
    return run.path / GRAPHS / f"{runtime}-{key[:16]}"


def network_sha256(run: RunFolder) -> str:
    """SHA-256, hexadecimal, of the file of a run's network.

    Raises:
        RunError: The run has none.
    """
    path = run.path / COMPLETE
    if not path.is_file():
        raise RunError("A run meets films by the network that it exported.", received=f"no {path}",
                       remedy="Train again, or name another run with --run.")
    facts = path.stat()
    return _hashed(path, facts.st_size, facts.st_mtime_ns)


@cache
def _hashed(path: Path, size: int, changed: int) -> str:
    return file_sha256(path)


def _pictures(height: int, width: int) -> np.ndarray:
    """Pictures that are smooth with some noise, as films are: uint8 (n, height, width, 3)."""
    rng = np.random.default_rng(0)
    smooth = [cv2.resize(rng.uniform(0, 255, (8, 8)), (width, height), interpolation=cv2.INTER_CUBIC)
              for _ in range(_PICTURES)]
    noisy = np.stack(smooth) + rng.normal(0, 8, (_PICTURES, height, width))
    return as_three_channels(noisy.clip(0, 255).astype(np.uint8)[..., None])
