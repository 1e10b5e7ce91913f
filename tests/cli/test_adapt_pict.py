"""adapt_pict.py on a small run, what the other commands make of it, and every mistake with it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumo_tf.cli import export_model, predict_pict, triage_pict
from pneumo_tf.cli.adapt_pict import main
from pneumo_tf.data.labels import read_folder
from pneumo_tf.runs.folder import read_run
from pneumo_tf.runs.predictor import predictor_of

FEW = ("--engine", "keras", "--threads", "1")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """56 films of 56 people in class folders, the ill ones brighter; only to be read."""
    rng, clinic = np.random.default_rng(4), tmp_path_factory.mktemp("place") / "clinic"
    for number in range(56):
        label = ("NORMAL", "PNEUMONIA")[number % 2]
        coarse = Image.fromarray(rng.integers(0, 150, (6, 6), dtype=np.uint8) + np.uint8(80 * (number % 2)))
        (clinic / label).mkdir(parents=True, exist_ok=True)
        coarse.resize((90, 80), Image.Resampling.BICUBIC).save(clinic / label / f"person{number}.png")
    return clinic


@pytest.fixture
def clinic(drawn: Path, tmp_path: Path) -> tuple[str, ...]:
    """The words that name the films and their labels."""
    films = shutil.copytree(drawn, tmp_path / "clinic")
    return "-p", str(films), "-l", table_of(films)


def table_of(films: Path) -> str:
    read_folder(films).write_csv(films.with_suffix(".csv"))
    return str(films.with_suffix(".csv"))


def test_a_place_gets_an_operating_point_that_the_other_commands_use(
        run: Path, clinic: tuple[str, ...], printed_commands, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert main([*clinic, *FEW, "--lang", "en", "--sensitivity", "0.9"]) == 0
    said = capsys.readouterr().out
    assert "clinic: 56 films of 56 patients (NORMAL 28, PNEUMONIA 28)" in said
    assert "judged on patients that it hadn't seen" in said
    assert printed_commands.check(said) == [f"scripts/export_model.py --run {run} --at clinic"]
    record = json.loads((run / "operating_points/clinic.json").read_text(encoding="utf-8"))
    assert record["rule"] == "sensitivity>=0.9"
    assert record["threshold"] != record["own"]["threshold"]
    assert {path: path.read_bytes() for path in before} == before
    predictor = predictor_of(read_run(run), threads=1, at="clinic")
    assert predictor.threshold == record["threshold"]
    film = next((Path(clinic[1]) / "NORMAL").iterdir())
    assert predict_pict.main([str(film), *FEW, "--at", "clinic", "-o", "one.csv"]) == 0
    answer, = csv.DictReader(Path("one.csv").read_text(encoding="utf-8").splitlines())
    assert float(answer["threshold"]) == pytest.approx(record["threshold"], abs=1e-6)
    score = predictor.scores([film])
    assert answer["call"] == predictor.classes[predictor.decide(score)[0]]
    assert float(answer["probability"]) == pytest.approx(predictor.probabilities(score)[0, 1], abs=1e-5)
    inbox = film.parent.parent.parent / "inbox"
    inbox.mkdir()
    shutil.copy(film, inbox)
    assert triage_pict.main([str(inbox), *FEW, "--at", "clinic", "-o", "list"]) == 0
    row, = csv.DictReader(Path("list/worklist.csv").read_text(encoding="utf-8").splitlines())
    assert row["call"] == answer["call"]
    assert float(row["threshold"]) == pytest.approx(record["threshold"], abs=1e-6)


def test_one_film_s_answer_says_how_often_such_calls_were_right_at_the_place(
        run: Path, clinic: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*clinic, *FEW, "--name", "north ward"]) == 0
    film = next((Path(clinic[1]) / "PNEUMONIA").iterdir())
    capsys.readouterr()
    assert predict_pict.main([str(film), *FEW, "--at", "north ward", "--lang", "en", "--views", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    figures = json.loads((run / "operating_points/north ward.json").read_text())["figures"]
    told = [figures[name]["after"] for name in ("ppv", "npv")]
    assert "at north ward, " in said or "can't be said" in said
    assert any(figure["value"] is None or f"Of {figure['of']} film" in said for figure in told)


def test_an_export_carries_the_point_of_the_place(run: Path, clinic: tuple[str, ...]) -> None:
    assert main([*clinic, *FEW]) == 0
    assert export_model.main(["--to", "onnx", "--at", "clinic", "--films", "4", "--threads", "1"]) == 0
    told = json.loads((run / "exports/onnx/export.json").read_text())
    record = json.loads((run / "operating_points/clinic.json").read_text(encoding="utf-8"))
    assert told["operating_point"] == {"name": "clinic", "threshold": record["threshold"],
                                       "rule": record["rule"]}


def test_it_is_told_in_the_language_of_the_run(run: Path, clinic: tuple[str, ...],
                                               capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*clinic, *FEW]) == 0
    said = capsys.readouterr().out
    assert "56 imágenes de 56 pacientes" in said
    assert "se juzga en pacientes que no había visto" in said


def test_the_same_seed_gives_the_same_point(run: Path, clinic: tuple[str, ...]) -> None:
    for name in ("one", "two"):
        assert main([*clinic, *FEW, "--name", name]) == 0
    one, two = (json.loads((run / f"operating_points/{name}.json").read_text()) for name in ("one", "two"))
    # Both may have been made in the same second.
    assert {key for key in one if one[key] != two[key]} - {"created"} == {"name", "command", "calibration"}
    assert one["calibration"] | {"fitted_on": "two"} == two["calibration"]


def test_a_point_stays_unless_it_is_to_be_replaced(run: Path, clinic: tuple[str, ...],
                                                   refused: Callable[..., str]) -> None:
    assert main([*clinic, *FEW]) == 0
    other = (*clinic, *FEW, "--sensitivity", "0.9")
    assert "clinic, which" in refused(*other)
    assert main([*other, "--force"]) == 0


def test_the_same_command_again_gives_the_same_point(run: Path, clinic: tuple[str, ...]) -> None:
    points = []
    for _ in range(2):  # as after a kill between the point and the last line
        assert main([*clinic, *FEW]) == 0
        points.append(json.loads((run / "operating_points/clinic.json").read_text()) | {"created": ""})
    assert points[0] == points[1]


def test_a_point_stays_where_the_same_command_meets_other_films(run: Path, clinic: tuple[str, ...],
                                                                refused: Callable[..., str]) -> None:
    assert main([*clinic, *FEW]) == 0
    kept = (run / "operating_points/clinic.json").read_bytes()
    for film in Path(clinic[1]).rglob("*.png"):
        with Image.open(film) as picture:
            picture.point(lambda level: level // 2).save(film)
    assert "clinic, which" in refused(*clinic, *FEW)
    assert (run / "operating_points/clinic.json").read_bytes() == kept


def test_films_that_the_run_knows_are_refused(run: Path, phantom_films: Path, tmp_path: Path,
                                              clinic: tuple[str, ...], refused: Callable[..., str]) -> None:
    film = next(phantom_films.glob("train/NORMAL/*"))
    shutil.copy(film, Path(clinic[1]) / "NORMAL")
    table_of(Path(clinic[1]))
    said = refused(*clinic, *FEW)
    assert "must be new to the run. Received: 1 of 57 that it knows" in said
    assert "--allow-known" not in said
    assert not (run / "operating_points").exists()


def test_too_few_films_are_refused_before_one_is_scored(run: Path, clinic: tuple[str, ...],
                                                        refused: Callable[..., str]) -> None:
    films = Path(clinic[1])
    for film in sorted((films / "PNEUMONIA").iterdir())[8:]:
        film.rename(films / "NORMAL" / film.name)
    table_of(films)
    (run / "modelo.keras").unlink()  # nothing is asked of the network
    assert "10 patients of each class. Received: 8 of PNEUMONIA" in refused(*clinic, *FEW)
    for film in list((films / "NORMAL").iterdir())[10:]:
        film.unlink()
    table_of(films)
    assert "at least 50 labelled films. Received: 18" in refused(*clinic, *FEW)


def test_mistakes_are_said_in_one_line(run: Path, clinic: tuple[str, ...],
                                       refused: Callable[..., str]) -> None:
    assert "required: -p" in refused("-l", "x.csv")
    assert "folder of films must exist" in refused("-p", "nowhere", "-l", clinic[3])
    assert "labels table must exist" in refused("-p", clinic[1], "-l", "nowhere.csv")
    assert "must do as a folder's" in refused(*clinic, "--name", "../up", *FEW)
    assert "Give youden" in refused(*clinic, "--operating-point", "luck")
