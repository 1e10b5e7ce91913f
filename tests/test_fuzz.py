"""What fuzz/ begins from, hostile files among it, ends in a PneumoError or in nothing."""

from __future__ import annotations

import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

pytest.importorskip("hypothesis", reason="the extra dev brings it")

from safetensors.numpy import load  # noqa: E402

from fuzz import corpora  # noqa: E402
from fuzz.readers import READERS, harmless, held  # noqa: E402
from pneumo_tf.errors import PneumoError  # noqa: E402
from pneumo_tf.runs.reference import write_reference  # noqa: E402

_CHANGED = 12  # variants of each file that it is begun from


@pytest.fixture(scope="module")
def place(small_run: Path, prepared_films: Path, labels_table: Path,
          tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films, labels and a run, laid as fuzz/ wants them."""
    from pneumo_tf.evaluation.novelty import Novelty, Space
    from pneumo_tf.evaluation.shift import Sample
    from pneumo_tf.runs.reference import Reference

    place = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(prepared_films, place / "clasificacion")
    shutil.copytree(small_run / "runs/small", place / "model/runs/first")
    (place / "labels").mkdir()
    shutil.copy(labels_table, place / "labels/labels.csv")
    if not (place / "model/runs/first/reference.npz").is_file():
        space = Space(np.zeros(3, np.float32), np.eye(3, dtype=np.float32), np.ones(3, np.float32))
        films = np.zeros((4, 3), np.float32)
        write_reference(place / "model/runs/first", Reference(
            Novelty(space, films, np.zeros(4, np.uint8), 1.0), Sample(films, films)))
    return place


@pytest.mark.parametrize("name", READERS)
def test_nothing_but_an_error_of_ours_comes_out_of_a_hostile_file(name: str, place: Path) -> None:
    reader, rng = READERS[name], np.random.default_rng(0)
    with held:
        read = harmless(reader.make(place))
        for content in reader.corpus(place):
            read(content)
            for _ in range(_CHANGED if len(content) < 2**16 else 0):
                changed = bytearray(content)
                for at in rng.integers(0, max(1, len(content)), 3).tolist():
                    changed[at : at + 1] = rng.bytes(1)
                read(bytes(changed[: rng.integers(0, len(content) + 1)] if rng.random() < 0.3 else changed))


@pytest.mark.parametrize(("name", "file", "change"), [
    ("prepared.json", "clasificacion/prepared.json", {"options": {"brightness": 10**400, "fit": "pad"}}),
    ("--from run.json", "model/runs/first/run.json", {"command": ["a", "b", "c"], "recipe": None,
     "backbone": {"a": 1}, "engine": 3, "data": {"films": 0, "labels": None, "labels_sha256": ""},
     "split_sha256": ""})])
def test_what_fuzzing_found_is_an_error_of_ours(name: str, file: str, change: dict[str, object],
                                                place: Path) -> None:
    good = json.loads((place / file).read_text())
    with held, pytest.raises(PneumoError):
        READERS[name].make(place)(json.dumps(good | change).encode())


def test_a_container_is_changed_inside_so_that_its_checksums_hold() -> None:
    held = next(corpora.archives())
    with zipfile.ZipFile(io.BytesIO(corpora.changed_member(held, lambda part: part + b"!", 1))) as archive:
        assert archive.testzip() is None
        assert archive.read("PNEUMONIA/2.jpeg").endswith(b"!")
    tensors = next(corpora.safetensors())
    padded = corpora.changed_header(tensors, lambda header: header + b" ", 0)
    assert len(padded) == len(tensors) + 1
    assert load(padded).keys() == load(tensors).keys()
    for content in (b"", b"PK", held[:-1]):
        assert corpora.changed_member(content, lambda part: part + b"!", 0) == content + b"!"
