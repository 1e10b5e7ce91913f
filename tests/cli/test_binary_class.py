"""binary_class.py on phantoms, and every mistake that a person can make with it."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss

from pneumo_tf import places
from pneumo_tf.cli import options
from pneumo_tf.cli.binary_class import main
from pneumo_tf.cohort import Cohort
from pneumo_tf.evaluation.calibration.choice import METHODS, read_calibrator
from pneumo_tf.evaluation.scores import Scores

SMALL = ("--backbone", "efficientnet_lite0", "--weights", "none", "--image-size", "32", "--recipe", "fast")


@pytest.fixture
def project(prepared_films: Path, labels_table: Path, tmp_path: Path,
            monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project root with prepared films and labels, and a person standing in it."""
    shutil.copytree(prepared_films, tmp_path / "clasificacion")
    (tmp_path / "labels").mkdir()
    shutil.copy(labels_table, tmp_path / "labels/labels.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "project_root", lambda: tmp_path)
    return tmp_path


def _everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and "cache" not in path.parts}


def test_the_tutorials_command_trains_and_tells_its_figures(project: Path, printed_commands,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-e", "3", "-p", "clasificacion/", "-l", "labels/labels.csv", "-ex", ".jpeg", *SMALL,
                 "--track", "tensorboard"]) == 0
    printed = capsys.readouterr().out
    assert "sensitivity" in printed
    assert "95 % interval" in printed
    assert str(project / "model/runs") in printed
    assert len(printed_commands.check(printed.splitlines()[-1])) == 1
    assert (project / "model/modelo.h5").is_file()
    assert (project / "model/report.html").is_file()
    assert len(list((project / "model/tensorboard").glob("*-fast-*/events*"))) == 1


def test_an_interruption_names_resume_only_where_epochs_were_kept(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """That they were is said by the unfinished run itself (tests/runs/test_unfinished.py)."""
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(options, "start_study", interrupt)
    assert main([]) == 130
    assert capsys.readouterr().err == "binary_class.py: interrupted. Run the same command again to go on.\n"


def test_everything_comes_in_spanish(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-e", "1", "--lang", "es", *SMALL]) == 0
    assert '<html lang="es"' in (project / "model/report.html").read_text(encoding="utf-8")
    assert "producto sanitario" in (project / "model/model_card.md").read_text(encoding="utf-8")
    said = capsys.readouterr().out
    assert "Se busca PNEUMONIA entre las clases NORMAL y PNEUMONIA." in said
    assert re.search(r"sensibilidad +│ +\d,\d{3}", said)
    assert "Siguiente: python scripts/evaluate_model.py" in said


def test_the_figures_come_as_one_json_object_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-e", "1", "--json", "--quiet", *SMALL]) == 0
    said = capsys.readouterr()
    run, = (project / "model/runs").glob("[!.]*")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert json.loads(said.out)["figures"] == metrics["test"]["figures"]
    assert said.err == ""


def test_what_is_made_of_the_scores_can_be_named(project: Path) -> None:
    assert main(["-e", "1", "--operating-point", "cost=5@0.1", "--calibration", "platt",
                 "--prevalence", "0.02", "0.4", *SMALL]) == 0
    run, = (project / "model/runs").glob("[!.]*")
    facts, metrics = (json.loads((run / name).read_text()) for name in ("run.json", "metrics.json"))
    assert facts["operating_point"]["rule"] == "cost=5@0.1"
    assert (facts["calibration"].get("tried") or facts["calibration"])["method"] == "platt"
    assert [row["prevalence"] for row in metrics["test"]["predictive_values"]] == [0.02, 0.4]
    assert set(metrics["validation"]["calibrators"]["log_loss"]) == set(METHODS)
    assert metrics["near_duplicates"]["films"] == 48
    predictions = pd.read_csv(run / "predictions.csv")
    scores = Scores(("NORMAL", "PNEUMONIA"), "PNEUMONIA", list(predictions["id"]),
                    (predictions["label"] == "PNEUMONIA").to_numpy(int),
                    predictions[["p_NORMAL", "p_PNEUMONIA"]].to_numpy(float),
                    predictions["patient"].to_numpy(str))
    tested = scores.take(np.flatnonzero(predictions["split"] == "test"))
    probabilities = read_calibrator(facts["calibration"]).apply(tested).positive_scores
    told = metrics["test"]["calibration"]["after"]["figures"]["brier"]["value"]
    assert told == pytest.approx(brier_score_loss(tested.labels, probabilities), abs=1e-6)


def _without_folder(project: Path) -> list[str]:
    return ["-p", "nowhere"]


def _empty_folder(project: Path) -> list[str]:
    (project / "empty").mkdir()
    return ["-p", "empty"]


def _without_labels(project: Path) -> list[str]:
    return ["-l", "nowhere.csv"]


def _one_class(project: Path) -> list[str]:
    for film in (project / "clasificacion").glob("NORMAL-*"):
        film.unlink()
    table = project / "labels/labels.csv"
    ill = tuple(film for film in Cohort.read_csv(table) if film.label == "PNEUMONIA")
    Cohort(ill).write_csv(table)
    return []


def _one_patient(project: Path) -> list[str]:
    cohort = Cohort.read_csv(project / "labels/labels.csv")
    patients = ["IM-1" if film.label == "NORMAL" else film.patient for film in cohort]
    cohort.with_column("patient", patients).write_csv(project / "labels/labels.csv")
    return []


def _only_run(output: Path) -> Path:
    run, = (output / "runs").iterdir()
    return run


def test_a_run_is_repeated_from_its_record(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the machine's choices, in another folder, to the same numbers; and not with other labels."""
    typed = ["-e", "3", "--seed", "5", "--threads", "1", "--test-fraction", "0.4", *SMALL]
    assert main([*typed, "-o", "first"]) == 0
    first = _only_run(project / "first")
    assert "another than that of the run" not in capsys.readouterr().out
    other_split = (first / "run.json").read_text().replace('"split_sha256": "', '"split_sha256": "0')
    (project / "older.json").write_text(other_split)
    assert main(["--from", "older.json", "-o", "again"]) == 0
    assert "The split is another than that of the run that was repeated" in capsys.readouterr().out
    again = _only_run(project / "again")
    for name in ("split.csv", "predictions.csv"):
        assert (again / name).read_bytes() == (first / name).read_bytes()
    with zipfile.ZipFile(first / "modelo.keras") as one, zipfile.ZipFile(again / "modelo.keras") as other:
        assert np.array_equal(*(h5py.File(BytesIO(file.read("model.weights.h5")))["layers/dense/vars/0"][:]
                                for file in (one, other)))
    record = str(again.relative_to(project) / "run.json")
    with (project / "labels/labels.csv").open("a") as labels:
        labels.write("\n")
    capsys.readouterr()
    assert main(["--from", record, "-o", "third"]) == 2
    assert "has changed since" in capsys.readouterr().err
    assert not (project / "third").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"command": ["python", "x.py", "-e"], "data": {}}'])
def test_what_is_no_record_repeats_nothing(
        content: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "run.json").write_text(content)
    assert main(["--from", "run.json"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "repeated from the record" in said


def _label_without_film(project: Path) -> list[str]:
    (project / "clasificacion/NORMAL-2.jpeg").unlink()
    return []


def _film_without_label(project: Path) -> list[str]:
    shutil.copy(project / "clasificacion/NORMAL-2.jpeg", project / "clasificacion/NORMAL-999.jpeg")
    return []


def _write_labels(text: bytes) -> Callable[[Path], list[str]]:
    def spoil(project: Path) -> list[str]:
        (project / "labels/labels.csv").write_bytes(text)
        return []

    return spoil


def _options(*options: str) -> Callable[[Path], list[str]]:
    return lambda project: list(options)


def _taken_output(project: Path) -> list[str]:
    (project / "taken").write_text("a file")
    return ["--output", "taken"]


def _foreign_weights(project: Path) -> list[str]:
    import keras

    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(project / "other.h5")
    return ["--backbone", "inception_v3", "--image-size", "75", "--weights", "other.h5"]


MISTAKES = {
    "missing folder": (_without_folder, "nowhere"),
    "empty folder": (_empty_folder, "at least one image"),
    "missing labels": (_without_labels, "nowhere.csv"),
    "one class only": (_one_class, "two classes"),
    "a class with one patient": (_one_patient, "class NORMAL with 1 of 3 patients"),
    "labels naming missing files": (_label_without_film, "NORMAL-2"),
    "files missing from labels": (_film_without_label, "NORMAL-999"),
    "wrong header": (_write_labels(b"name,class\nNORMAL-1,NORMAL\n"), "name,class"),
    "duplicate ids": (_write_labels(b"id,clase\nNORMAL-1,NORMAL\nNORMAL-1,NORMAL\n"), "NORMAL-1"),
    "blank class": (_write_labels(b"id,clase\nNORMAL-1,\n"), "line 2"),
    "not UTF-8": (_write_labels("id,clase\nniño,NORMAL\n".encode("latin-1")), "UTF-8"),
    "no epochs": (_options("-e", "0"), "at least 1"),
    "unknown backbone": (_options("--backbone", "resnet_9000"), "resnet_9000"),
    "unknown recipe": (_options("--recipe", "magic"), "magic"),
    "unknown extension": (_options("-ex", ".docx"), ".docx"),
    "missing weights file": (_options("--weights", "gone.h5"), "gone.h5"),
    "weights of another network": (_foreign_weights, "Weights must fit the network"),
    "output that is a file": (_taken_output, "taken"),
    "a rule without meaning": (_options("--operating-point", "sensitivity=1.2"), "sensitivity=1.2"),
    "a prevalence of 2": (_options("--prevalence", "0.1", "2"), "between 0 and 1"),
    "an impossible fraction": (_options("--test-fraction", "1.2"), "between 0 and 1"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_in_one_line_and_changes_nothing(mistake: str, project: Path,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    spoil, said = MISTAKES[mistake]
    options = spoil(project)
    before = _everything(project)
    code = main([*SMALL, *options])
    printed = capsys.readouterr()
    assert code == 2
    # Where the mistake shows late, the size of the pixel cache has been said before.
    line, = [line for line in printed.err.splitlines() if not line.startswith("Cache: ")]
    assert said in line
    assert "Received" in printed.err
    assert printed.out in ("", "Looking for PNEUMONIA among the classes NORMAL and PNEUMONIA.\n")
    assert _everything(project) == before


def test_no_network_and_no_weights_says_where_it_looked_and_what_to_put_where(
        project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    def refuse(*_: object, **__: object) -> None:
        raise requests.exceptions.ConnectionError

    monkeypatch.setattr(requests, "get", refuse)
    monkeypatch.setenv("KERAS_HOME", str(project / "keras"))
    assert main(["--backbone", "inception_v3", "-e", "1"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert str(project / "keras/models") in printed
    assert "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5" in printed
    assert "--weights" in printed
