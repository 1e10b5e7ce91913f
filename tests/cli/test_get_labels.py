"""get_labels.py writes a table and a summary, or one line and nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pneumo_tf import places
from pneumo_tf.cli import get_labels
from pneumo_tf.cohort import Cohort
from pneumo_tf.models import published
from pneumo_tf.models.published import PUBLISHED

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which the person stands in."""
    monkeypatch.setattr(places, "project_root", lambda: tmp_path / "project")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def everything_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_the_defaults_are_the_folders_of_the_tutorial(
        project: Path, printed_commands, capsys: pytest.CaptureFixture[str]) -> None:
    put(project / "clasificacion", "NORMAL-1.jpeg", "NORMAL-2.jpeg", "PNEUMONIA-1.jpeg")
    assert get_labels.main([]) == 0
    lines = (project / "labels/labels.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[:2] for line in lines] == [
        ["id", "clase"], ["NORMAL-1", "NORMAL"], ["NORMAL-2", "NORMAL"], ["PNEUMONIA-1", "PNEUMONIA"]]
    said = capsys.readouterr().out
    assert f"Written: {project / 'labels/labels.csv'}" in said
    following, = printed_commands.check(said.splitlines()[-1])
    assert following.startswith("scripts/binary_class.py -e 60 -p clasificacion/")


@pytest.mark.parametrize(("here", "named"), [("inception_v3", ""), ("resnet18", " --backbone resnet18")])
def test_the_next_command_names_a_backbone_that_works_without_a_network(
        project: Path, printed_commands, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
        here: str, named: str) -> None:
    put(project / "clasificacion", "NORMAL-1.jpeg", "PNEUMONIA-1.jpeg")
    put(project / "keras/models", PUBLISHED[here].weights.name)
    monkeypatch.setenv("KERAS_HOME", str(project / "keras"))
    monkeypatch.setattr(published, "_packaged", lambda _: None)
    assert get_labels.main([]) == 0
    following, = printed_commands.check(capsys.readouterr().out)
    assert following == f"scripts/binary_class.py -e 60 -p clasificacion/{named}"


def test_the_summary_beside_the_table_counts_films_and_patients(project: Path) -> None:
    put(project / "films", "NORMAL/IM-0115-0001.jpeg", "NORMAL/other.jpeg",
        "PNEUMONIA/person1_virus_1.jpeg", "PNEUMONIA/person1_virus_2.jpeg")
    assert get_labels.main(["-p", "films", "-o", "out/mine.csv"]) == 0
    assert json.loads((project / "out/mine.json").read_text(encoding="utf-8")) == {
        "classes": ["NORMAL", "PNEUMONIA"], "films": 4, "patients": 2, "films_without_patient": 1,
        "per_class": {"NORMAL": 2, "PNEUMONIA": 2}}
    assert Cohort.read_csv(project / "out/mine.csv").patients == ["IM-0115", "", "virus-1", "virus-1"]


def test_the_next_command_names_a_table_that_lies_elsewhere(
        project: Path, printed_commands, capsys: pytest.CaptureFixture[str]) -> None:
    put(project / "my films", "NORMAL/a.jpeg", "PNEUMONIA/b.jpeg")
    assert get_labels.main(["-p", "my films", "-o", "out/it's.csv"]) == 0
    line, = printed_commands.check(capsys.readouterr().out)
    assert """-l 'out/it'"'"'s.csv'""" in line


def test_unknown_patients_are_said_plainly(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(project / "films", "NORMAL/a.jpeg", "PNEUMONIA/person1_virus_1.jpeg")
    get_labels.main(["-p", "films"])
    assert "The patient is unknown for 1 of 2 films" in capsys.readouterr().out


def test_known_patients_raise_no_worry(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(project / "films", "NORMAL/IM-0115-0001.jpeg", "PNEUMONIA/person1_virus_1.jpeg")
    get_labels.main(["-p", "films"])
    assert "unknown" not in capsys.readouterr().out


def test_what_lies_in_the_folder_and_is_not_used_is_said(
        project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(project / "films", "NORMAL/a.webp", "ILL/b.jfif", "ILL/c.nii", "ILL/d.txt")
    assert get_labels.main(["-p", "films"]) == 0
    said = capsys.readouterr().out
    assert "dropped 1: image format that isn't read: export it as PNG, e.g. ILL/c.nii" in said
    assert "dropped 1: not an image file, e.g. ILL/d.txt" in said


def test_the_column_of_patients_is_asked_for_and_named(
        project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films = put(project / "films", "a.png", "b.png", "c.png")
    (films / "manifest.csv").write_text("id,clase,file,Patient ID\na,N,a.png,7\nb,P,b.png,07\nc,P,c.png,8\n")
    assert get_labels.main(["-p", "films"]) == 2
    assert "--patients 'Patient ID', or --no-patients" in capsys.readouterr().err
    assert get_labels.main(["-p", "films", "--patients", "Patient ID", "--no-patients"]) == 2
    assert get_labels.main(["-p", "films", "--no-patients"]) == 0
    assert get_labels.main(["-p", "films", "--patients", "Patient ID"]) == 0
    assert "another spelling of a patient, e.g. 7 = 07" in capsys.readouterr().out
    assert Cohort.read_csv(project / "labels/labels.csv").patients == ["07", "07", "8"]


def test_an_older_table_is_replaced(project: Path) -> None:
    put(project / "clasificacion", "NORMAL-1.jpeg", "PNEUMONIA-1.jpeg")
    put(project / "labels", "labels.csv")
    assert get_labels.main([]) == 0
    assert Cohort.read_csv(project / "labels/labels.csv").ids == ["NORMAL-1", "PNEUMONIA-1"]


def test_a_folder_is_found_from_elsewhere(
        project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(project / "clasificacion", "NORMAL-1.jpeg", "PNEUMONIA-1.jpeg")
    monkeypatch.chdir(tmp_path)
    assert get_labels.main([]) == 0
    assert (project / "labels/labels.csv").is_file()


@pytest.mark.parametrize(("films", "options", "told"), [
    ([], ["-p", "nowhere"], "The folder of films must exist. Received: nowhere, not found at"),
    (["notes.txt"], [], "at least one image"),
    (["NORMAL-1.jpeg", "NORMAL-2.jpeg"], [], "2 films, all of class NORMAL. Prepare the films of the other"),
    (["film.jpeg"], [], "1 of 1 untold, e.g. film.jpeg"),
    (["NORMAL-1.jpeg", "PNEUMONIA-1.jpeg"], ["-o", "labels.txt"], "The table must be a CSV file"),
])
def test_a_mistake_is_one_line_and_nothing_is_written(
        project: Path, capsys: pytest.CaptureFixture[str], films: list[str], options: list[str], told: str,
) -> None:
    put(project / "clasificacion", *films)
    before = everything_below(project)
    assert get_labels.main(options) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("get_labels.py: error: ")
    assert told in said.err
    assert said.err.count("\n") == 1
    assert everything_below(project) == before


def test_a_missing_folder_names_both_places(
        project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert get_labels.main(["-p", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert f"neither at {tmp_path / 'nowhere'} nor {project / 'nowhere'}" in said


def test_the_door_opens_from_any_folder_and_help_loads_nothing_heavy(tmp_path: Path) -> None:
    show = ("import runpy, sys; sys.argv = ['get_labels.py', '--help']\n"
            f"try: runpy.run_path({str(ROOT / 'scripts/get_labels.py')!r}, run_name='__main__')\n"
            "except SystemExit: pass\n"
            "print('HEAVY', sorted({'numpy', 'pandas', 'PIL', 'rich', 'tensorflow'} & set(sys.modules)))")
    said = subprocess.run([sys.executable, "-c", show], cwd=tmp_path, capture_output=True, text=True,
                          check=True)
    assert "--output" in said.stdout
    assert "HEAVY []" in said.stdout
