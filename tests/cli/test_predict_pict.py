"""predict_pict.py on a small run: the run's own scores, one film or many, and every mistake."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pneumo_tf import places
from pneumo_tf.cli.predict_pict import main
from pneumo_tf.evaluation.novelty import fit_novelty
from pneumo_tf.evaluation.shift import Sample
from pneumo_tf.reading.batch import film_facts
from pneumo_tf.runs import graphs
from pneumo_tf.runs.folder import read_run
from pneumo_tf.runs.operating_points import keep_point, point_of
from pneumo_tf.runs.predictor import predictor_of
from pneumo_tf.runs.reference import Reference, write_reference

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--threads", "1", "--engine", "openvino" if find_spec("openvino") else "keras")


@pytest.fixture(scope="module")
def trained(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run's model folder with its graph, where OpenVINO is there; to be copied."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    shutil.copytree(small_run, folder)
    predictor_of(read_run(folder / "runs/small"), engine=QUICK[-1], threads=1)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run in a project root of its own, and a person standing in it."""
    shutil.copytree(trained, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "project_root", lambda: tmp_path)
    return tmp_path / "model/runs/small"


@pytest.fixture
def films_of(run: Path) -> Callable[[str], pd.DataFrame]:
    """predictions.csv with the files of a split's films."""
    def read(split: str) -> pd.DataFrame:
        table = pd.read_csv(run / "predictions.csv").merge(pd.read_csv(run / "split.csv"), on="id",
                                                           suffixes=("", "_of_split"))
        return table[table["split"] == split].reset_index(drop=True)

    return read


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_scores_and_calls_are_those_of_predictions_csv(run: Path, prepared_films: Path,
                                                       films_of: Callable[[str], pd.DataFrame]) -> None:
    assert main([str(prepared_films), *QUICK]) == 0
    rows = rows_of(run.parents[1] / "answers/clasificacion.csv")
    threshold = read_run(run).threshold
    expected = pd.concat([films_of(split) for split in ("train", "validation", "test")])
    assert len(rows) == len(expected)
    for film in expected.itertuples():
        row = rows[film.file]
        assert float(row["score"]) == pytest.approx(film.p_PNEUMONIA, abs=1e-6)
        assert row["call"] == film.predicted
        assert float(row["threshold"]) == pytest.approx(threshold)
        assert ("misma imagen" in row["reason"]) is (film.split == "train")


def test_originals_are_prepared_on_the_way_from_a_folder_and_from_a_zip(
        run: Path, phantom_films: Path, films_of: Callable[[str], pd.DataFrame]) -> None:
    films = films_of("test").head(6)
    with zipfile.ZipFile("sent.zip", "w") as archive:
        for film in films.itertuples():
            Path("sent", film.source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(phantom_films / film.source, Path("sent", film.source))
            archive.write(phantom_films / film.source, film.source)
    assert main(["sent", *QUICK]) == 0
    assert main(["sent.zip", *QUICK, "-o", "zipped.csv"]) == 0
    folder, archived = rows_of(Path("model/answers/sent.csv")), rows_of(Path("zipped.csv"))
    assert {name: {**row, "ms": ""} for name, row in folder.items()} == \
        {name: {**row, "ms": ""} for name, row in archived.items()}
    for film in films.itertuples():
        assert float(folder[film.source]["score"]) == pytest.approx(film.p_PNEUMONIA, abs=1e-6)
        assert folder[film.source]["call"] == film.predicted


def test_one_film_gets_a_few_lines_with_its_range(run: Path, phantom_films: Path,
                                                  films_of: Callable[[str], pd.DataFrame],
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    film = films_of("test").iloc[0]
    shutil.copy(phantom_films / film["source"], "film.jpeg")
    assert main(["film.jpeg", *QUICK, "--lang", "en"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"film.jpeg: {film['predicted']}\n  Probability of PNEUMONIA ")
    assert f"Score {film['p_PNEUMONIA']:.4f}; PNEUMONIA from" in said.out
    assert "over 8 views of the film" in said.out
    assert "with 95% confidence" in said.out
    assert said.err == ""
    assert main(["film.jpeg", *QUICK, "--json", "--views", "3"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["score"] == pytest.approx(film["p_PNEUMONIA"], abs=1e-6)
    assert row["low"] <= row["probability"] <= row["high"]


def test_the_language_is_the_runs_unless_another_is_asked_for(run: Path, phantom_films: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    film = next(phantom_films.rglob("*.jpeg"))
    assert main([str(film), *QUICK, "--views", "1"]) == 0
    assert "Probabilidad de PNEUMONIA" in capsys.readouterr().out


def test_refusals_are_told_by_the_exit_code_and_stop_nothing(run: Path, phantom_films: Path,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    Path("sent").mkdir()
    shutil.copy(next(phantom_films.rglob("*.jpeg")), "sent/film.jpeg")
    Path("sent/letter.jpeg").write_text("Dear doctor")
    Path("sent/notes.txt").write_text("Dear doctor")
    assert main(["sent", *QUICK]) == 1
    rows = rows_of(Path("model/answers/sent.csv"))
    assert (rows["film.jpeg"]["refusal"], rows["letter.jpeg"]["refusal"]) == ("", "unreadable")
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "Passed over: 1 that are no images (.txt)",
        f"Films: 1 answered, 1 refused, unreadable 1. Table: {Path.cwd()}/model/answers/sent.csv"]
    assert main(["sent/letter.jpeg", *QUICK]) == 1
    assert "letter.jpeg: sin respuesta\n  Rechazada (unreadable): no es una imagen" in capsys.readouterr().out


def test_a_table_goes_to_standard_output_from_a_list_on_standard_input(
        run: Path, phantom_films: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    film = next(phantom_films.rglob("*.jpeg"))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{film}\ngone.jpeg\n"))
    assert main(["-", "-o", "-", "--json", *QUICK]) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in told] == [str(film), "gone.jpeg"]
    assert told[1]["reason"] == "no se puede abrir (no existe el archivo)"


def test_the_same_command_goes_on_and_answers_what_is_new(run: Path, phantom_films: Path) -> None:
    Path("sent").mkdir()
    films = sorted(phantom_films.rglob("*.jpeg"))[:5]
    for film in films[:3]:
        shutil.copy(film, "sent")
    command = ["sent", *QUICK]
    assert main(command) == 0
    table = Path("model/answers/sent.csv")
    first = table.read_text()
    for film in films[3:]:
        shutil.copy(film, "sent")
    table.write_text(first[:-20])
    assert main(command) == 0
    assert table.read_text().startswith(first.rpartition("\n")[0].rpartition("\n")[0])
    assert sorted(rows_of(table)) == sorted(film.name for film in films)


@pytest.fixture
def referenced(run: Path, prepared_films: Path) -> Path:
    """The run with what it keeps of its own films."""
    predictor = predictor_of(read_run(run), engine=QUICK[-1], threads=1)
    films = np.stack([predictor.read(film) for film in sorted(prepared_films.glob("*.jpeg"))])
    features = np.concatenate([predictor.outputs(films[start : start + 16]).features
                               for start in range(0, len(films), 16)])
    novelty = fit_novelty(features, np.arange(len(films)) % 2, features)
    assert novelty is not None
    write_reference(run, Reference(novelty, Sample(novelty.space.coordinates(features) / novelty.space.spread,
                                                   np.array([film_facts(film, {}) for film in films]))))
    record = json.loads((run / "run.json").read_text())
    record["reference"] = {"novelty": {"threshold": novelty.threshold}, "mirrored": None}
    (run / "run.json").write_text(json.dumps(record))
    return run


@pytest.mark.usefixtures("referenced")
def test_what_is_said_of_the_films_together_is_said_of_those_answered_before_too(phantom_films: Path) -> None:
    films = sorted(phantom_films.rglob("*.jpeg"))[:16]
    Path("sent").mkdir()
    told = []
    for number in (16, 12, 16):
        for path in Path("sent").iterdir():
            path.unlink()
        for film in films[:number]:
            shutil.copy(film, "sent")
        if number == 12:
            Path("model/answers/sent.csv").unlink()
        assert main(["sent", *QUICK]) in (0, 1)
        told.append(json.loads(Path("model/answers/sent.csv.json").read_text())["batch"])
    at_once, few, gone_on = told
    assert gone_on == at_once != few
    assert main(["sent", *QUICK]) in (0, 1)  # nothing is new
    assert json.loads(Path("model/answers/sent.csv.json").read_text())["batch"] == at_once


def test_what_a_table_was_made_by_must_stay(run: Path, phantom_films: Path, refused: Callable[..., str],
                                            capsys: pytest.CaptureFixture[str]) -> None:
    film = next(phantom_films.rglob("*.jpeg"))
    command = [str(film), *QUICK, "-o", "answers.csv"]
    assert main(command) == 0
    capsys.readouterr()
    assert "differs in views" in refused(*command, "--views", 2)
    assert "differs in lang" in refused(*command, "--lang", "en")


def test_an_overlay_is_written_beside_the_table(run: Path, phantom_films: Path) -> None:
    film = next(phantom_films.rglob("*.jpeg"))
    assert main([str(film), "letter.txt", *QUICK, "-o", "sent.csv", "--explain"]) == 2
    Path("letter.txt").write_text("Dear doctor")
    assert main([str(film), "letter.txt", *QUICK, "-o", "sent.csv", "--explain"]) == 1
    picture, = Path("sent").iterdir()
    with Image.open(picture) as image:
        assert image.size == (48, 48)
        assert image.mode == "RGB"
    assert main([str(film), *QUICK, "--explain"]) == 0
    assert len(list(Path().glob("*.png"))) == 1


def test_a_single_film_is_not_kept_waiting_for_the_graph(run: Path, phantom_films: Path,
                                                         monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    """Without an engine it is answered by Keras, and then the graph is kept for the next one."""
    said_before: list[str] = []
    shutil.rmtree(run / "graphs", ignore_errors=True)
    monkeypatch.setattr(graphs, "quickest", lambda _: "openvino")
    monkeypatch.setattr(graphs, "keep_graph", lambda run, engine, model: said_before.append(
        f"{engine} {run.name} {model.name} {capsys.readouterr().out[:6]}"))
    film = next(phantom_films.rglob("*.jpeg"))
    shutil.copy(film, "film.jpeg")
    assert main(["film.jpeg", "--threads", "1"]) == 0
    told, = said_before
    assert told.startswith("openvino small ")
    assert told.endswith(" film.j")


def test_at_a_place_its_own_threshold_calls(run: Path, prepared_films: Path,
                                            films_of: Callable[[str], pd.DataFrame]) -> None:
    own = read_run(run)
    lower = float(films_of("test")["p_PNEUMONIA"].min()) - 1e-3
    keep_point(own, replace(point_of(own), name="clinic", threshold=lower))
    assert main([str(prepared_films), *QUICK, "--at", "clinic", "-o", "clinic.csv"]) == 0
    rows = rows_of(Path("clinic.csv"))
    tested = [rows[file] for file in films_of("test")["file"]]
    assert {row["call"] for row in tested} == {"PNEUMONIA"}
    assert all(float(row["threshold"]) == pytest.approx(lower) for row in tested)


_ALONE = """
import sys
from pneumo_tf.cli.predict_pict import main
code = main(sys.argv[1:])
print(code, sorted({"keras", "tensorflow", "sklearn", "scipy.stats", "matplotlib"} & set(sys.modules)))
"""


@pytest.mark.skipif(QUICK[-1] == "keras", reason="no openvino here")
@pytest.mark.parametrize("one", [True, False])
def test_an_answer_imports_nothing_slow(run: Path, phantom_films: Path, one: bool) -> None:
    film = next(phantom_films.rglob("*.jpeg"))
    given = str(film if one else film.parent)
    said = subprocess.run([sys.executable, "-c", _ALONE, given, "--run", str(run), *QUICK, "-o",
                           "-" if not one else "answer.csv"], cwd=run.parents[2], capture_output=True,
                          text=True, check=True, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    assert said.stdout.splitlines()[-1] == "0 []"


def test_mistakes_are_said_in_one_line_and_nothing_is_written(run: Path, refused: Callable[..., str],
                                                              phantom_films: Path) -> None:
    film = next(phantom_films.rglob("*.jpeg"))
    assert "must exist. Received: gone.jpeg" in refused("gone.jpeg")
    assert "a whole number of at least 1 is needed" in refused(film, "--views", 0)
    assert "must come alone" in refused("-", film)
    assert "The run must exist" in refused(film, "--run", "elsewhere")
    (run / "modelo.keras").unlink()
    assert "by the network that it exported" in refused(film, *QUICK)
    assert not Path("model/answers").exists()
