"""compare_runs.py on phantoms: it trains what is missing, compares it, and repeats nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from pneumo_tf import places
from pneumo_tf.cli import compare_runs
from pneumo_tf.cli.compare_runs import main

SMALL = ("--backbone", "efficientnet_lite0", "--weights", "none", "--image-size", "48", "--recipe", "fast",
         "--threads", "1")


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


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments of every row that would be trained; each leaves an empty run instead."""
    rows: list[list[str]] = []

    def pretend(arguments: list[str], log: Path) -> int:
        rows.append(list(arguments))
        make_run(Path(arguments[arguments.index("--output") + 1]))
        return 0

    monkeypatch.setattr(compare_runs, "_train", pretend)
    monkeypatch.setattr(compare_runs, "_check", lambda rows: None)
    monkeypatch.setattr(compare_runs, "_compare", lambda *_, **__: None)
    return rows


def make_run(output: Path) -> None:
    run = output / "runs/20250304-050607-fast"
    run.mkdir(parents=True)
    for name in ("run.json", "metrics.json", "predictions.csv", "model_card.md"):
        (run / name).write_text("{}")


def test_two_rows_are_trained_and_compared_and_a_second_start_repeats_nothing(
        project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--epochs", "2,3", "--synthetic", "--cache", str(project / "cache"), *SMALL]
    assert main([*command, "--track", "tensorboard"]) == 0
    printed = capsys.readouterr()
    folder = project / "model/comparisons/epochs"
    assert "row 2 of 2: epochs 3 · seed 42" in printed.err
    assert "epochs 2" in printed.out
    assert str(folder / "comparison.html") in printed.out
    table = pd.read_csv(folder / "comparison.csv")
    assert sorted(table["epochs"]) == [2, 3]
    content = json.loads((folder / "comparison.json").read_text())
    assert content["phantoms"]
    ran = [run["command"] for row in content["rows"] for run in row["runs"]]
    assert all(line.startswith("python scripts/binary_class.py ") for line in ran)
    assert all("--output model/comparisons/epochs/rows/" in line for line in ran)
    logs = [path.read_text() for path in (folder / "logs").iterdir()]
    assert all("Run:" in log for log in logs)
    assert f"Told: {folder / 'tensorboard'}" in printed.out
    assert len(list((folder / "tensorboard").glob("*/events*"))) == 2
    assert list(folder.glob("rows/*/*.h5")) == []  # a row's network is in its run alone
    run = next(folder.glob("rows/*/runs/*"))
    told = {name: (run / name).read_text() for name in ("report.html", "model_card.md")}
    for name in told:
        (run / name).unlink()  # as a kill leaves it that comes before the report
    before = {path: path.stat().st_mtime_ns for path in folder.glob("rows/**/*")
              if path.is_file() and path.parent.name != "figures"}
    assert main(["--synthetic", *SMALL, "--epochs", "3,2"]) == 0
    assert capsys.readouterr().err.count("(done before)") == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {name: (run / name).read_text() for name in told} == told


def test_a_larger_grid_trains_only_what_is_new(project: Path, trained: list[list[str]]) -> None:
    assert main(["--batch-size", "8,16"]) == 0
    assert main(["--batch-size", "8,16,32"]) == 0
    assert [row[row.index("--batch-size") + 1] for row in trained] == ["8", "16", "32"]


def test_seeds_are_counted_from_the_usual_one(project: Path, trained: list[list[str]]) -> None:
    assert main(["--seeds", "3"]) == 0
    assert [row[row.index("--seed") + 1] for row in trained] == ["42", "43", "44"]
    assert {row[row.index("--split-seed") + 1] for row in trained} == {"42"}


def test_the_language_of_the_reports_is_no_other_training(project: Path, trained: list[list[str]]) -> None:
    assert main(["--lang", "es"]) == 0
    assert main(["--lang", "en"]) == 0
    assert len(trained) == 1
    assert trained[0][trained[0].index("--lang") + 1] == "es"


def test_a_run_that_was_stopped_goes_on(project: Path, trained: list[list[str]]) -> None:
    assert main([]) == 0
    (row,) = (project / "model/comparisons/single/rows").iterdir()
    shutil.rmtree(row / "runs")
    unfinished = row / "runs/.unfinished/20250304"
    unfinished.mkdir(parents=True)
    assert main([]) == 0
    (unfinished / "checkpoint.npz").write_bytes(b"")
    shutil.rmtree(row / "runs/20250304-050607-fast")
    assert main([]) == 0
    assert ["--resume" in row for row in trained] == [False, False, True]


def test_half_a_run_is_not_taken_for_a_finished_one(project: Path, trained: list[list[str]]) -> None:
    assert main([]) == 0
    (half,) = (project / "model/comparisons/single/rows").rglob("metrics.json")
    half.unlink()
    shutil.move(half.parent, half.parent.with_name("20240101-half"))
    assert main([]) == 0
    assert len(trained) == 2


def test_a_row_that_fails_is_named_with_its_command_and_last_words_and_others_stay(
        project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail_later(arguments: list[str], log: Path) -> int:
        log.parent.mkdir(exist_ok=True)
        log.write_text("epoch 1\nNo memory is left.\n\n")
        if arguments[arguments.index("--batch-size") + 1] == "512":
            return 3
        make_run(Path(arguments[arguments.index("--output") + 1]))
        return 0

    monkeypatch.setattr(compare_runs, "_train", fail_later)
    monkeypatch.setattr(compare_runs, "_check", lambda rows: None)
    assert main(["--batch-size", "32,512"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "row 2 of 2: batch-size 512" in said
    assert "python scripts/binary_class.py" in said
    assert "code 3" in said
    assert "No memory is left. Mend it" in said
    assert len(list(project.glob("model/comparisons/batch-size/rows/*/runs/*"))) == 1


def test_a_name_that_no_one_knows_is_said_before_the_first_row_trains(
        project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--backbone", "efficientnet_lite0,resnet_9000"]) == 2
    printed = capsys.readouterr()
    assert "resnet_9000" in printed.err
    assert printed.err.count("\n") == 1
    assert not list(project.rglob("runs"))


@pytest.mark.parametrize(("typed", "said"), [
    (("--batch-size", "32,0"), "--batch-size 0"),
    (("--seeds", "0"), "at least 1"),
    (("--seeds", "2", "--seed", "1"), "--seeds and --seed"),
    (("--name", "a/b"), "'a/b'"),
    (("--name", ".."), "'..'"),
    (("--name", ""), "must do as a folder's"),
    (("--name", "a", "--output", "b"), "not allowed with"),
    (("--path", "nowhere"), "nowhere"),
    (("--test-fraction", "0.2,0.3"), "one split"),
])
def test_a_mistake_is_said_in_one_line_and_nothing_is_written(
        typed: tuple[str, ...], said: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(typed)
    printed = capsys.readouterr()
    assert code == 2
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not (project / "model").exists()


def test_a_single_row_that_cant_begin_says_why_in_its_own_words(
        project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--recipe", "fastt"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("compare_runs.py: error: The recipe must be one that this program knows. "
                           "Received: fastt. Did you mean fast?")
    assert not (project / "model").exists()
