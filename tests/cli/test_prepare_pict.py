"""The command prepare_pict.py: what a person types, and what they read."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumo_tf import places
from pneumo_tf.cli.prepare_pict import main

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/prepare_pict.py"


def film(seed: int) -> bytes:
    file = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40), np.uint8)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with normal/ and Pneumonia/ of two films each, which is the project's root too."""
    for seed, name in enumerate(["normal/a.jpeg", "normal/b.jpeg", "Pneumonia/c.jpeg", "Pneumonia/d.jpeg"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(film(seed))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "project_root", lambda: tmp_path)
    return tmp_path


def test_without_options_the_folders_here_are_prepared(home: Path, capsys: pytest.CaptureFixture) -> None:
    (home / "normal/notes.txt").write_text("x")
    assert main([]) == 0
    told = capsys.readouterr().out
    assert f"Source: {home} (Pneumonia, normal)" in told
    assert "found in source: 4" in told
    assert "  dropped 1: not an image file" in told
    assert f"Written to {home / 'clasificacion'}" in told
    assert told.endswith("Next: python scripts/get_labels.py\n")
    assert (home / "clasificacion/PNEUMONIA-2.jpeg").is_file()


def test_the_next_command_names_an_unusual_target(home: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--target", "my films"]) == 0
    assert capsys.readouterr().out.endswith(f"get_labels.py --path '{home / 'my films'}'\n")


def test_options_reach_the_films(home: Path) -> None:
    options = "--size 20 --fit pad --per-class 1 --brightness 1 --contrast 1 --exclude a.jpeg --color"
    assert main(["--target", "out", *options.split()]) == 0
    assert {path.name for path in (home / "out").glob("*.jpeg")} == {"NORMAL-1.jpeg", "PNEUMONIA-1.jpeg"}
    made = Image.open(home / "out/NORMAL-1.jpeg")
    assert (made.size, made.mode) == ((20, 20), "RGB")


def test_one_class_after_the_other(home: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--source", "normal", "--name", "normal"]) == 0
    assert "Next: prepare the films of another class" in capsys.readouterr().out  # no labels of one class
    assert main(["--source", "Pneumonia", "--name", "PNEUMONIA"]) == 0
    assert main(["--source", "Pneumonia", "--name", "PNEUMONIA"]) == 0
    assert "Already prepared" in capsys.readouterr().out
    assert len((home / "clasificacion/manifest.csv").read_text().splitlines()) == 5


@pytest.mark.parametrize(("options", "told"), [
    (["--source", "nowhere"], "The source must exist. Received: nowhere, not found at"),
    (["--source", "normal"], "2 films and no class folder. Name the folder above, or add --name"),
    (["--name", "../x"], "A class name must do as the start of a file name."),
])
def test_a_mistake_is_one_line_and_exit_code_2(home: Path, capsys: pytest.CaptureFixture, options: list[str],
                                               told: str) -> None:
    assert main(options) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not (home / "clasificacion").exists()


def test_nothing_to_be_found_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                     capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "project_root", lambda: tmp_path)
    assert main([]) == 2
    assert f"Received: none in {tmp_path}. Name the folder or .zip with --source." in capsys.readouterr().err


def test_the_script_answers_help_without_loading_anything_heavy() -> None:
    code = ("import runpy, sys; sys.argv = ['x', '--help']\n"
            f"try: runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
            "except SystemExit: print({'numpy', 'pandas', 'PIL', 'rich'} & set(sys.modules))")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "--per-class N" in answer
    assert answer.endswith("set()\n")
