"""What a run is exported as calls every film as the run does, or isn't kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pneumo_tf.cohort import Cohort
from pneumo_tf.evaluation.calibration.calibrators import Uncalibrated
from pneumo_tf.models.formats import Network
from pneumo_tf.runs.folder import RunFolder, read_run
from pneumo_tf.runs.operating_points import RunPoint
from pneumo_tf.studies import exports
from pneumo_tf.studies.exports import Exporting, Parity, export_run

# A program that knows of the export what lies in its folder, and of films what Pillow says.
_STRANGER = """
import json, sys
import numpy as np, onnxruntime
from PIL import Image
folder, out, *films = sys.argv[1:]
told = json.load(open(folder + "/export.json"))
session = onnxruntime.InferenceSession(folder + "/" + told["file"])
calls = []
for film in films:
    pixels = np.asarray(Image.open(film).convert(told["input"]["color_mode"].upper()))[None]
    scores = dict(zip(told["classes"], session.run(None, {told["input"]["name"]: pixels})[0][0]))
    negative, = set(told["classes"]) - {told["positive"]}
    is_ill = scores[told["positive"]] >= told["operating_point"]["threshold"]
    calls.append(told["positive"] if is_ill else negative)
json.dump(calls, open(out, "w"))
"""


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(small_run, tmp_path / "model")
    return tmp_path / "model/runs/small"


@pytest.fixture(scope="module")
def exported(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Parity]]:
    """The folder of a run's exports, and how they compare."""
    output = tmp_path_factory.mktemp("exports")
    formats = ("onnx", "litert")
    return output, export_run(small_run / "runs/small", Exporting(formats=formats, output=output, films=12,
                                                                  threads=1))


def opening(monkeypatch: pytest.MonkeyPatch, network: Network) -> None:
    """Let every export be read again as this network, and none be written."""
    monkeypatch.setattr(exports, "write_network", lambda model, path, name, *, facts: path.write_text("new"))
    monkeypatch.setattr(exports, "open_network", lambda path, name, *, threads: network)


def test_each_format_is_compared_on_films_of_the_run_and_kept(
        exported: tuple[Path, list[Parity]]) -> None:
    output, (keras, *rows) = exported
    assert keras.format == "keras"
    assert [row.format for row in rows] == ["onnx", "litert"]
    for row in rows:
        assert (row.films, row.phantoms, row.changed) == (12, False, 0)
        assert row.difference < 1e-3
        assert row.folder == output / row.format
        assert row.size == sum(path.stat().st_size for path in row.folder.iterdir()
                               if path.name != "export.json")
    assert not list(output.glob(".*"))


def test_a_stranger_with_onnx_runtime_alone_repeats_the_calls_of_the_run(
        exported: tuple[Path, list[Parity]], small_run: Path, prepared_films: Path, tmp_path: Path) -> None:
    run = small_run / "runs/small"
    files = [str(prepared_films / file) for file in pd.read_csv(run / "split.csv")["file"]]
    subprocess.run([sys.executable, "-c", _STRANGER, str(exported[0] / "onnx"), str(tmp_path / "calls.json"),
                    *files], check=True, cwd=tmp_path)
    calls = json.loads((tmp_path / "calls.json").read_text())
    assert set(calls) == {"NORMAL", "PNEUMONIA"}
    assert calls == pd.read_csv(run / "predictions.csv")["predicted"].tolist()


def test_what_lies_beside_an_export_tells_all_that_its_use_takes(
        exported: tuple[Path, list[Parity]], small_run: Path) -> None:
    facts = json.loads((small_run / "runs/small/run.json").read_text())
    onnx, litert = (json.loads((exported[0] / name / "export.json").read_text()) for name in
                    ("onnx", "litert"))
    for told in (onnx, litert):
        assert told["classes"] == facts["classes"]
        assert told["operating_point"]["threshold"] == facts["operating_point"]["threshold"]
        assert told["calibration"]["temperature"] == facts["calibration"]["temperature"]
        assert told["preparation"] == facts["preparation"]
        assert told["parity"]["changed"] == 0
    assert onnx["input"]["inside"] == ["grey", "size"]
    assert onnx["input"]["shape"] == ["films", "height", "width", 3]
    assert litert["input"]["inside"] == ["grey"]
    assert litert["input"]["shape"] == ["films", 48, 48, 3]


@pytest.mark.parametrize("wrong", [0.0, 1.0, np.nan])
def test_an_export_that_calls_films_otherwise_is_refused_and_the_last_good_one_stays(
        run: Path, monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    (run / "exports/onnx").mkdir(parents=True)
    (run / "exports/onnx/model.onnx").write_text("old")
    opening(monkeypatch, lambda films: np.full((len(films), 2), wrong))
    _, row = export_run(run, Exporting(formats=["onnx"], films=8, threads=1))
    assert row.changed > 0
    assert row.folder is None
    assert (run / "exports/onnx/model.onnx").read_text() == "old"
    assert [path.name for path in (run / "exports").iterdir()] == ["onnx"]


def test_it_is_kept_where_that_is_forced_and_its_record_says_how_many_changed(
        run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening(monkeypatch, lambda films: np.ones((len(films), 2)))
    _, row = export_run(run, Exporting(formats=["onnx"], films=8, threads=1, force=True))
    assert row.folder == run / "exports/onnx"
    told = json.loads((row.folder / "export.json").read_text())
    assert told["parity"]["changed"] == row.changed > 0


def test_calls_at_risk_are_those_that_the_largest_difference_could_change(
        run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening(monkeypatch, lambda films: np.array([[0.5, 0.5]] * len(films)))
    _, row = export_run(run, Exporting(formats=["onnx"], films=8, threads=1))
    scores = read_run(run).scores("test").positive_scores
    threshold = json.loads((run / "run.json").read_text())["operating_point"]["threshold"]
    assert row.of == len(scores)
    assert row.near == sum(abs(score - threshold) <= row.difference for score in scores)


def test_of_several_classes_the_two_highest_scores_decide_what_is_at_risk(tmp_path: Path) -> None:
    classes = ["BACTERIAL", "NORMAL", "VIRAL"]
    table = pd.DataFrame([("a", "test", "NORMAL", 0.1, 0.7, 0.2), ("b", "test", "VIRAL", 0.4, 0.1, 0.5)],
                         columns=["id", "split", "label", *(f"p_{name}" for name in classes)])
    run = RunFolder(tmp_path, {"classes": classes, "positive": "BACTERIAL"}, {}, pd.DataFrame(), Cohort(()),
                    table)
    point = RunPoint("", None, Uncalibrated(), "argmax", {})
    reference = exports._Reference(run, point, 48, [], False, np.empty((0, 3)))
    assert reference.margins() == pytest.approx([0.25, 0.05])
    assert reference.calls(np.array([[0.1, 0.7, 0.2], [0.4, 0.1, 0.5]])).tolist() == [1, 2]


def test_colour_stays_where_the_run_s_films_were_taken_as_they_are(
        run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"preparation": None}))
    opening(monkeypatch, lambda films: np.ones((len(films), 2)))
    export_run(run, Exporting(formats=["onnx"], films=2, threads=1, force=True))
    assert json.loads((run / "exports/onnx/export.json").read_text())["input"]["inside"] == ["size"]


def test_phantoms_stand_in_for_films_that_are_gone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"data": {"films": "/nowhere"}}))
    seen = []

    def network(films: np.ndarray) -> np.ndarray:
        seen.append(films.shape)
        return np.ones((len(films), 2))

    opening(monkeypatch, network)
    _, row = export_run(run, Exporting(formats=["onnx"], films=4, threads=1))
    assert (row.films, row.phantoms) == (4, True)
    assert {max(shape[1:3]) for shape in seen} == {299}  # prepared as the run's films were
