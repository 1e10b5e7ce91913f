"""The graphs of a run's network that are kept in its folder, so that films are answered without Keras.

A graph is made when its engine is first asked for. Beside it lie a few pictures and what the exported
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
from pneumo_tf.models.formats import FORMATS, write_network
from pneumo_tf.progress import announce
from pneumo_tf.runs.folder import COMPLETE, GRAPHS, RunError, RunFolder
from pneumo_tf.storage import read_arrays, replacing
from pneumo_tf.training.engine import COARSE, EXACT, KERAS, compare
from pneumo_tf.training.graphs import (
    ONNX,
    OPENVINO,
    can_write,
    is_installed,
    open_graph,
    runtime_of,
)
from pneumo_tf.training.pixels import as_three_channels
from pneumo_tf.training.store import digest

if TYPE_CHECKING:
    import keras

_VERSION = 3  # raised whenever the same network would give another graph
_PROBE, _PICTURES = "probe.npz", 4
_SAME = 1e-5  # largest difference of a score


def everything_of(model: keras.Model) -> keras.Model:
    """A classifier that also gives its features and, of an ensemble, the scores of its M members: films to
    (N, K + D + M · K), in one output.
    """
    from keras import Model, layers

    from pneumo_tf.models.classifier import with_features

    told, last = with_features(model), model.layers[-1]
    if not isinstance(last, layers.Average):
        return told
    return Model(told.inputs[0], layers.Concatenate(dtype="float32", name="with_members")(
        [told.outputs[0], *last.input]), name=model.name)


class KeptEngine:
    """The engine of a kept graph: films to everything, as of `everything_of`.

    Raises:
        RunError: A file of it is gone or damaged.
        TrainingError: It no longer computes what Keras did.
        OptionError: The runtime isn't installed.
    """

    dtype = "float32"

    def __init__(self, run: RunFolder, engine: str, *, threads: int, coarse: bool = False) -> None:
        self.name, self._made_of, self._coarse = run.name, (run, engine, threads), coarse
        folder, classes = _folder(run, engine), len(run.classes)
        films, expected = _read_probe(folder)
        self._compute = open_graph(folder / FORMATS[engine].file, threads=threads, coarse=coarse)
        self.input_shape, self.output_shape = films.shape[1:], expected.shape[1:]
        found = self._compute(films)
        for part, limit in ((np.s_[:, :classes], _SAME), (np.s_[:, classes:], EXACT)):
            compare(found[part], expected[part], limit=COARSE if coarse else limit, name=run.name,
                    engine=engine)

    def __call__(self, films: np.ndarray) -> np.ndarray:
        return self._compute(films)

    def fingerprint(self) -> str:
        run, engine, _ = self._made_of
        return digest([_folder(run, engine).name, metadata.version(runtime_of(engine)), self._coarse])

    def coarse(self) -> KeptEngine:
        run, engine, threads = self._made_of
        return KeptEngine(run, engine, threads=threads, coarse=True)


def quickest(run: RunFolder) -> str:
    """The engine that answers soonest on a processor: OpenVINO, else ONNX Runtime, where it is installed and
    the run's folder holds its graph or can take it; else Keras.
    """
    can_keep = os.access(run.path, os.W_OK)
    return next((engine for engine in (OPENVINO, ONNX) if is_installed(engine)
                 and (is_kept(run, engine) or (can_keep and can_write(engine)))), KERAS)


def is_kept(run: RunFolder, engine: str) -> bool:
    """Whether a graph of the run's network, as it is now, lies there for an engine."""
    return (_folder(run, engine) / _PROBE).is_file()


def keep_graph(run: RunFolder, engine: str, model: keras.Model) -> None:
    """Write the graph of a run's network into the run's folder.

    Raises:
        OptionError: A package that it takes isn't installed.
        StorageError: The folder can't be written to.
    """
    import keras

    from pneumo_tf.models.folding import fold_batch_norm

    announce("Keeping the network as a graph, which answers sooner the next time")
    everything, folder = everything_of(model), _folder(run, engine)
    films = _pictures(*everything.inputs[0].shape[1:3])
    outputs = keras.ops.convert_to_numpy(everything(films.astype("float32"), training=False))
    try:
        with replacing(folder) as temporary:
            temporary.mkdir()
            write_network(fold_batch_norm(everything), temporary / FORMATS[engine].file, engine)
            np.savez_compressed(temporary / _PROBE, films=films, outputs=outputs, files=_hashes(temporary))
    except StorageError:
        if not is_kept(run, engine):  # else another process was quicker
            raise


def _read_probe(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pictures and what Keras gave for them; each file of the folder is looked at before it is opened."""
    try:
        probe = read_arrays(folder / _PROBE)
        films, outputs, files = probe["films"], probe["outputs"], probe["files"].tolist()
        whole = files == _hashes(folder)
    except (OSError, ValueError, KeyError):
        whole = False
    if not whole:
        raise RunError("A graph that a run keeps must be as it was written.", received=f"{folder}, changed",
                       remedy="Delete that folder: the next command makes it again.")
    return films, outputs


def _hashes(folder: Path) -> list[str]:
    """Name and SHA-256 of each file of a graph."""
    files = sorted(path for path in folder.iterdir() if path.name != _PROBE)
    return [f"{path.name} {file_sha256(path)}" for path in files]


def _folder(run: RunFolder, engine: str) -> Path:
    key = digest([_VERSION, network_sha256(run), engine])
    return run.path / GRAPHS / f"{engine}-{key[:16]}"


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
