"""Every reader of what others may have written, as a function of bytes that raises a PneumoError at most."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import corpora
from pneumo_tf.errors import PneumoError

Read = Callable[[bytes], object]
held = ExitStack()  # what a reader needs: folders, processes, other ways to read what stays as it is


@dataclass(frozen=True)
class Reader:
    """A row of `READERS`.

    Attributes:
        make: A folder of a finished run, its films and labels to the function that is fuzzed.
        corpus: The same folder to what is begun from.
        module: Of this program, whose lines are counted.
        longest: Bytes of an input.
        imports: Packages that are instrumented, besides this program.
        inside: Changes what a container holds, so that its checksums hold; the input, how, and a number.
    """

    make: Callable[[Path], Read]
    corpus: Callable[[Path], Iterable[bytes]]
    module: str
    longest: int = 2**16
    imports: tuple[str, ...] = ()
    inside: Callable[[bytes, Callable[[bytes], bytes], int], bytes] | None = None


def harmless(read: Read) -> Read:
    """The reader, for which a PneumoError is an answer like any other."""
    def reading(data: bytes) -> None:
        with suppress(PneumoError):
            read(data)

    return reading


def in_file(path: Path, use: Callable[[Path], object]) -> Read:
    """A reader of bytes for one of a file."""
    def reading(data: bytes) -> None:
        path.write_bytes(data)
        use(path)

    return reading


def _folder() -> Path:
    """A new folder, in memory where the system has such, for as long as this process lives."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return Path(held.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory)))


def _films(place: Path) -> Path:
    return shutil.copytree(place / "clasificacion", _folder() / "films")


# JSON of any kind, and what a record must not hold.
_SCALARS = (st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
            | st.sampled_from([10**400, -1, 2**63, "../../x", "\x00", "=1+1", "<b>", "nan"]))
_JSON = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=4)
                     | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=8)


def changed(good: Any) -> st.SearchStrategy[bytes]:
    """A record of which one to four values are others, or are gone."""
    places = list(_places(good))
    edits = st.lists(st.tuples(st.sampled_from(places), _JSON, st.booleans()), min_size=1, max_size=4)
    return edits.map(lambda chosen: _edited(good, chosen))


def _places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) \
        if isinstance(content, list) else ()
    for key, inner in list(items)[:60]:
        yield from _places(inner, (*path, key))


def _edited(good: Any, chosen: list[tuple[tuple[Any, ...], Any, bool]]) -> bytes:
    content = json.loads(json.dumps(good))
    for path, value, gone in chosen:
        inner = content
        try:
            for key in path[:-1]:
                inner = inner[key]
            if gone:
                del inner[path[-1]]
            else:
                inner[path[-1]] = value
        except (LookupError, TypeError):
            continue  # what an earlier edit took away
    return json.dumps(content).encode()


def structured(contents: st.SearchStrategy[bytes], read: Read) -> Read:
    """A reader that is given bytes as they are or, behind `STRUCTURED`, what Hypothesis makes of them."""
    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(contents)
    def of(data: bytes) -> None:
        read(data)

    return lambda data: of.hypothesis.fuzz_one_input(data[1:]) if data[:1] == corpora.STRUCTURED \
        else read(data)


# HDF5 files that are whole, as `weights_file` writes them.
_NAMES = (st.sampled_from(["dense", "kernel", "bias", "kernel:0", "dense/kernel", "..", "/"])
          | st.text(max_size=6))
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(["layer_names", "layer_names1", "weight_names", "weight_names1"]),
    st.lists(_NAMES, max_size=3) | _NAMES | st.integers(-9, 9) | st.floats() | st.binary(max_size=6),
    max_size=2)
_PARTS = st.dictionaries(_NAMES, st.tuples(
    st.sampled_from([(3, 2), (2,), (), (0,), (2, 3, 1), (2**30, 2**10)]),
    st.sampled_from(["f4", "f8", "i8", "c8", "S3", "?", "f4,i2"]), st.booleans())
    | st.tuples(st.sampled_from(["", "/etc/passwd", "weights.h5"]), _NAMES, st.none()), max_size=3)
_WEIGHTS = st.tuples(
    _ATTRIBUTES, st.dictionaries(_NAMES, st.tuples(_ATTRIBUTES, _PARTS), max_size=3),
    st.sampled_from(["/", "model_weights"])).map(lambda told: corpora.weights_file(*told))


def _image(_: Path) -> Read:
    from pneumo_tf.data.images import film_facts, open_film, read_film, refuse_blank, thumbnail

    drawn = in_file(_folder() / "film", lambda path: thumbnail(path, (32, 32)))

    def reading(data: bytes) -> None:
        harmless(drawn)(data)
        film_facts(open_film(data, decode=False), data)
        refuse_blank(read_film(data))

    return reading


def _dicom(_: Path) -> Read:
    from pneumo_tf.data.dicom import identify, read_header
    from pneumo_tf.data.images import read_film

    def reading(data: bytes) -> None:
        import io

        harmless(lambda given: read_header(io.BytesIO(given)))(data)
        identify(data)
        read_film(data)

    return reading


def _labels(place: Path) -> Read:
    from pneumo_tf.data.labels import load_cohort

    films = place / "clasificacion"
    return in_file(_folder() / "labels.csv", lambda path: load_cohort(path, films, extension=None))


def _manifest(place: Path) -> Read:
    from pneumo_tf.data.labels import read_folder

    return in_file(_films(place) / "manifest.csv", lambda path: read_folder(path.parent))


def _prepared(place: Path) -> Read:
    from pneumo_tf.data.labels import read_folder
    from pneumo_tf.data.preparation.record import read_prepared

    record = _films(place) / "prepared.json"

    def use(path: Path) -> None:
        if (prepared := read_prepared(path.parent)) is not None:
            prepared.to_json()
        read_folder(path.parent)

    return structured(changed(json.loads(record.read_text(encoding="utf-8"))), in_file(record, use))


def _copy_of_run(place: Path) -> Path:
    return shutil.copytree(place / "model/runs/first", _folder() / "run", ignore=shutil.ignore_patterns(
        "figures", "*.html", "*.h5", "*.keras", "graphs", "exports"))


def _use_run(folder: Path) -> None:
    """What predict, triage, export and a second training ask of a run before they compute."""
    from pneumo_tf.cli.options import language_of
    from pneumo_tf.runs.folder import read_run
    from pneumo_tf.runs.operating_points import names_of, point_of
    from pneumo_tf.runs.predictor import film_reader
    from pneumo_tf.runs.reference import read_reference, shows_lungs

    harmless(lambda _: language_of(folder))(b"")
    run = read_run(folder)
    _ = run.name, run.wrong, run.test, run.scores("test"), run.film_path("x")
    point_of(run).calibrator.apply(run.scores("test"))
    for name in names_of(run):
        point_of(run, name).calibrator.apply(run.scores("test"))
    film_reader(run, 32)
    read_reference(run)
    shows_lungs(run.facts)


def _of_run(name: str) -> Callable[[Path], Read]:
    def make(place: Path) -> Read:
        folder = _copy_of_run(place)
        _read_once(all_but=folder / name)
        read = in_file(folder / name, lambda _: _use_run(folder))
        good = place / "model/runs/first" / name
        return structured(changed(json.loads(good.read_text())), read) if good.suffix == ".json" else read

    return make


def _read_once(all_but: Path) -> None:
    """Let the tables of a run that stay as they are be parsed for the first input only."""
    from pneumo_tf.runs import folder as runs

    table, cohort = runs._read_table, runs.Cohort.read_csv
    tables, cohorts = cache(table), cache(cohort)
    held.enter_context(patch.multiple(
        runs, _read_table=lambda path: table(path) if path == all_but else tables(path).copy(),
        Cohort=SimpleNamespace(read_csv=lambda path: (cohort if path == all_but else cohorts)(path))))


_POINT = {"name": "place", "run": "", "threshold": 0.5, "rule": "youden",
          "calibration": {"method": "temperature", "temperature": 1.5}}


def _point(place: Path) -> Read:
    folder = _copy_of_run(place)
    (folder / "operating_points").mkdir(exist_ok=True)
    path = folder / "operating_points/place.json"
    _read_once(all_but=path)
    return structured(changed(_the_point(place)), in_file(path, lambda _: _use_run(folder)))


def _the_point(place: Path) -> dict[str, Any]:
    facts = json.loads((place / "model/runs/first/run.json").read_text())
    return _POINT | {"run": facts["name"], "calibration": facts["calibration"]}


def _repeated(place: Path) -> Read:
    from pneumo_tf.cli.binary_class import _repeated, build_parser

    def use(path: Path) -> None:
        command = ["--from", str(path)]
        typed = build_parser().parse_args(command)
        typed.command = ("python", "scripts/binary_class.py", *command)
        _repeated(typed)

    return structured(changed(_run_json(place)), in_file(_folder() / "origin.json", use))


def _run_json(place: Path) -> Any:
    return json.loads((place / "model/runs/first/run.json").read_text())


def _network(_: Path) -> Read:
    from pneumo_tf.runs.predictor import load_network

    run: Any = SimpleNamespace(path=_folder())
    return in_file(run.path / "modelo.keras", lambda _: load_network(run))


def _weights(suffix: str) -> Callable[[Path], Read]:
    def make(_: Path) -> Read:
        import keras

        from pneumo_tf.models.weights import keras_file

        held.enter_context(patch.object(keras_file, "subprocess", SimpleNamespace(
            run=_looker(keras_file._LOOK), TimeoutExpired=subprocess.TimeoutExpired)))
        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, name="dense")])
        return structured(_WEIGHTS, in_file(_folder() / f"weights{suffix}",
                                            lambda path: keras_file.load_keras_weights(model, path)))

    return make


# Runs code on each file that it is told of, in a fork of its own, and tells how that ended.
_LOOKER = """
import os, signal, sys, h5py
code = sys.argv[1]
for path in sys.stdin:
    child = os.fork()
    if not child:
        signal.alarm(1)  # as good as no end, for a file as small as these
        sys.argv[1:] = [path.strip()]
        try:
            exec(code)
            os._exit(0)
        finally:
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def _looker(code: str) -> Callable[..., Any]:
    """What `subprocess.run` does with code and a file, in a twentieth of the time."""
    process: Any = held.enter_context(subprocess.Popen(
        [sys.executable, "-c", _LOOKER, code], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL))

    def look(command: Sequence[str], *, timeout: float, **_: Any) -> Any:
        print(command[-1], file=process.stdin, flush=True)
        returned = int(process.stdout.readline())
        if returned == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, returned)

    return look


def _checkpoint(_: Path) -> Read:
    from pneumo_tf.models.weights.torch_file import read_tensors

    return in_file(_folder() / "weights.pth", lambda path: read_tensors(path, first="fc.weight"))


def _safetensors(_: Path) -> Read:
    from pneumo_tf.models.weights.torch_file import read_tensors

    return in_file(_folder() / "model.safetensors", lambda path: read_tensors(path, first="fc.weight"))


def _dinov2_config(_: Path) -> Read:
    import keras

    from pneumo_tf.models.dinov2 import _check_config

    inputs = keras.Input((384,))
    model = keras.Model(inputs, keras.layers.LayerNormalization(name="norm")(inputs))
    return structured(changed(_CONFIG), in_file(
        _folder() / "config.json", lambda path: _check_config(model, path.with_name("model.safetensors"))))


_CONFIG = {"model_type": "dinov2", "patch_size": 14, "hidden_size": 384, "num_hidden_layers": 12,
           "num_attention_heads": 6, "use_swiglu_ffn": False}


def _archive(_: Path) -> Read:
    from pneumo_tf.data.download import unpack
    from pneumo_tf.data.listing import list_films
    from pneumo_tf.data.sources import Zip

    def use(path: Path) -> None:
        with Zip(path) as source:
            list_films(source.entries())
            for entry in source.entries()[:20]:
                harmless(lambda _: source.read(entry.file))(b"")  # noqa: B023
        target = path.with_name("unpacked")
        try:
            unpack(path, target)
        finally:
            shutil.rmtree(target, ignore_errors=True)

    return in_file(_folder() / "films.zip", use)


def _worklist(_: Path) -> Read:
    from pneumo_tf.reading.triage import Triage
    from pneumo_tf.report.words import language

    folder = _folder()
    (folder / "film.png").write_bytes(b"")

    def use(path: Path) -> None:
        triage = Triage(folder=folder, output=path.parent, answers=lambda films: iter(()), positive="ILL",
                        run="run", words=language("en"))
        with triage.claimed():
            triage.refresh()

    return structured(changed(_WORKLIST), in_file(_folder() / "worklist.json", use))


_ANSWER = {"id": "film.png", "call": "ILL", "probability": 0.9, "low": 0.8, "high": 1.0, "score": 0.9,
           "threshold": 0.5, "refusal": "", "reason": "", "ms": 1.0, "probabilities": [0.1, 0.9]}
_WORKLIST = {"terms": {}, "cautions": ["a"],
             "films": [{"stamp": {"bytes": 0, "changed": 1}, "answer": _ANSWER}]}


def _answers(_: Path) -> Read:
    from pneumo_tf.reading.table import table_at

    terms = {"classes": ["A", "B"]}

    def use(path: Path) -> None:
        path.with_name(f"{path.name}.json").write_text(json.dumps(terms))
        with table_at(path, terms=terms) as table:
            table.has("film.png")

    return in_file(_folder() / "answers.csv", use)


def _training(_: Path) -> Read:
    from pneumo_tf.training.loop import Checkpoint

    return in_file(_folder() / "checkpoint.npz", lambda path: Checkpoint(path).read())


def _a_checkpoint() -> bytes:
    from pneumo_tf.training.loop import Checkpoint, TrainingState

    path = _folder() / "good.npz"
    Checkpoint(path).write(TrainingState(epochs=1, model=[np.zeros(3, np.float32)]))
    return path.read_bytes()


def _graph(place: Path) -> Read:
    """A graph that a run keeps: what lies beside it is read first, and nothing is opened that was changed."""
    from pneumo_tf.runs.graphs import _read_probe

    folder = _folder()
    (folder / "model.onnx").write_bytes(b"graph")
    return in_file(folder / "probe.npz", lambda path: _read_probe(path.parent))


def _node(_: Path) -> Read:
    """The node's socket: whatever a peer says, the next one is served."""
    from pneumo_tf.reading.node import Limits, Receiver

    failures: list[BaseException] = []

    def ended(told: threading.ExceptHookArgs) -> None:
        # An association of pynetdicom's that ends in an error of its own takes no other with it.
        if told.exc_value and any("/pneumo_tf/" in frame.filename
                                  for frame in traceback.extract_tb(told.exc_traceback)):
            failures.append(told.exc_value)

    held.enter_context(patch.object(threading, "excepthook", ended))
    receiver = Receiver(folder=_folder(), tell=lambda _: None,
                        limits=Limits(idle_seconds=1, free_bytes=0, object_bytes=2**20))
    port = held.enter_context(receiver.listening(0))

    def reading(data: bytes) -> None:
        # Where it hangs up, it has given its answer.
        with socket.create_connection(("127.0.0.1", port), timeout=5) as peer, suppress(OSError):
            first = 6 + int.from_bytes(data[2:6], "big")  # what asks for an association, which is waited for
            peer.sendall(data[:first])
            if data[first:] and peer.recv(2**16):
                peer.sendall(data[first:])
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(2**16):
                pass
        if failures:
            raise failures.pop()

    return reading


def _messages(_: Path) -> Iterator[bytes]:
    """An association, an echo, a film, as pynetdicom says them."""
    from pynetdicom.pdu import A_RELEASE_RQ

    yield _association()
    yield A_RELEASE_RQ().encode()
    echo = bytes.fromhex("000000000400000038000000" "000002001200" ) + b"1.2.840.10008.1.1\0"
    command = echo + bytes.fromhex("000000010200000030000000100102000000010000000008020000000101")
    data = (len(command) + 2).to_bytes(4, "big") + b"\x01\x03" + command
    yield _association() + b"\x04\0" + len(data).to_bytes(4, "big") + data
    for film in corpora.dicoms():
        yield _association() + _store(film)
    yield b"\x01\0\xff\xff\xff\xff"
    yield b"\x04\0\x00\x00\x00\x06\x00\x00\x00\x02\x01\x03"


def _store(film: bytes) -> bytes:
    """A film, and the end of the association."""
    from io import BytesIO

    from pydicom import dcmread
    from pynetdicom.dimse_messages import C_STORE_RQ
    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.dsutils import encode
    from pynetdicom.pdu import A_RELEASE_RQ, P_DATA_TF

    dataset, request, message = dcmread(BytesIO(film)), C_STORE(), C_STORE_RQ()
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    request.DataSet = BytesIO(encode(dataset, is_implicit_vr=False, is_little_endian=True))
    message.primitive_to_message(request)
    said = b""
    for part in message.encode_msg(3, 16384):
        pdu = P_DATA_TF()
        pdu.from_primitive(part)
        said += pdu.encode()
    return said + A_RELEASE_RQ().encode()


def _association() -> bytes:
    from pynetdicom import build_context
    from pynetdicom.pdu import A_ASSOCIATE_RQ
    from pynetdicom.pdu_primitives import (
        A_ASSOCIATE,
        ImplementationClassUIDNotification,
        MaximumLengthNotification,
    )

    asked = A_ASSOCIATE()
    asked.application_context_name = "1.2.840.10008.3.1.1.1"
    asked.calling_ae_title, asked.called_ae_title = "FUZZ", "PNEUMO_TF"
    contexts = [build_context("1.2.840.10008.1.1"),
                build_context("1.2.840.10008.5.1.4.1.1.1", ["1.2.840.10008.1.2.1"])]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    asked.presentation_context_definition_list = contexts
    longest, maker = MaximumLengthNotification(), ImplementationClassUIDNotification()
    longest.maximum_length_received, maker.implementation_class_uid = 16384, "1.2.3"
    asked.user_information = [longest, maker]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(asked)
    return pdu.encode()


def _file(name: str) -> Callable[[Path], Iterator[bytes]]:
    def corpus(place: Path) -> Iterator[bytes]:
        good = (place / name).read_bytes()
        return corpora.records(json.loads(good)) if name.endswith(".json") else corpora.tables(good)

    return corpus


_RUN = "model/runs/first/"
READERS: dict[str, Reader] = {
    "images": Reader(_image, lambda _: corpora.images(), "pneumo_tf/data/images.py", imports=("PIL",)),
    "DICOM": Reader(_dicom, lambda _: corpora.dicoms(), "pneumo_tf/data/dicom.py", imports=("pydicom",)),
    "labels table": Reader(_labels, _file("labels/labels.csv"), "pneumo_tf/cohort.py"),
    "manifest.csv": Reader(_manifest, _file("clasificacion/manifest.csv"), "pneumo_tf/data/labels.py"),
    "prepared.json": Reader(_prepared, _file("clasificacion/prepared.json"),
                            "pneumo_tf/data/preparation/record.py"),
    "run.json": Reader(_of_run("run.json"), _file(f"{_RUN}run.json"), "pneumo_tf/runs/folder.py"),
    "metrics.json": Reader(_of_run("metrics.json"), _file(f"{_RUN}metrics.json"), "pneumo_tf/runs/folder.py"),
    "predictions.csv": Reader(_of_run("predictions.csv"), _file(f"{_RUN}predictions.csv"),
                              "pneumo_tf/runs/folder.py"),
    "split.csv": Reader(_of_run("split.csv"), _file(f"{_RUN}split.csv"), "pneumo_tf/runs/folder.py"),
    "reference.npz": Reader(_of_run("reference.npz"), lambda place: corpora.arrays(
        place / f"{_RUN}reference.npz"), "pneumo_tf/runs/reference.py", 2**20, inside=corpora.changed_member),
    "operating point": Reader(_point, lambda place: corpora.records(_the_point(place)),
                              "pneumo_tf/runs/operating_points.py"),
    "--from run.json": Reader(_repeated, _file(f"{_RUN}run.json"), "pneumo_tf/cli/binary_class.py"),
    ".keras": Reader(_network, lambda place: corpora.networks(_small_network(place)),
                     "pneumo_tf/runs/export.py", imports=("zipfile",), inside=corpora.changed_member),
    ".h5": Reader(_weights(".h5"), lambda _: corpora.hdf5(), "pneumo_tf/models/weights/keras_file.py"),
    ".pth": Reader(_checkpoint, lambda _: corpora.checkpoints(), "pneumo_tf/models/weights/torch_file.py",
                   imports=("zipfile",), inside=corpora.changed_member),
    "safetensors": Reader(_safetensors, lambda _: corpora.safetensors(),
                          "pneumo_tf/models/weights/torch_file.py", inside=corpora.changed_header),
    "config.json of DINOv2": Reader(_dinov2_config, lambda _: corpora.records(_CONFIG),
                                    "pneumo_tf/models/dinov2.py"),
    "zip": Reader(_archive, lambda _: corpora.archives(), "pneumo_tf/data/sources.py", imports=("zipfile",),
                  inside=corpora.changed_member),
    "worklist.json": Reader(_worklist, lambda _: corpora.records(_WORKLIST), "pneumo_tf/reading/triage.py"),
    "answers.csv": Reader(_answers, lambda _: corpora.tables(
        b"id,call,probability,low,high,score,threshold,refusal,reason,ms\nfilm.png,A,,,,,,,,\n"),
        "pneumo_tf/reading/table.py"),
    "checkpoint.npz": Reader(_training, lambda _: [_a_checkpoint()], "pneumo_tf/training/loop.py",
                             inside=corpora.changed_member),
    "kept graph": Reader(_graph, lambda _: corpora.arrays(_a_probe()), "pneumo_tf/runs/graphs.py",
                         inside=corpora.changed_member),
    "the node's socket": Reader(_node, _messages, "pneumo_tf/reading/node.py", imports=("pynetdicom",)),
}


def _a_probe() -> Path:
    from pneumo_tf.runs.graphs import _hashes

    folder = _folder()
    (folder / "model.onnx").write_bytes(b"graph")
    np.savez_compressed(folder / "probe.npz", films=np.zeros((1, 4, 4, 3), np.uint8),
                        outputs=np.zeros((1, 2), np.float32), files=_hashes(folder))
    return folder / "probe.npz"


def _small_network(_: Path) -> Path:
    import keras

    path = _folder() / "good.keras"
    keras.Sequential([keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(2, 3), keras.layers.Flatten(),
                      keras.layers.Dense(2)]).save(path)
    return path
