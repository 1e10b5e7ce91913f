"""triage_pict.py as it is typed: a worklist once, followed, and served."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from pneumo_tf.cli import triage_pict

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def inbox(tmp_path: Path, phantom_films: Path) -> Path:
    """Three films, and one that is cut short."""
    (tmp_path / "inbox").mkdir()
    films = sorted(phantom_films.rglob("*.jpeg"))[:3]
    for film in films:
        shutil.copy(film, tmp_path / "inbox")
    (tmp_path / "inbox/cut.jpeg").write_bytes(films[0].read_bytes()[:2000])
    return tmp_path / "inbox"


@pytest.fixture
def options(small_run: Path) -> list[str]:
    return ["--run", str(small_run / "runs/small"), "--engine", "keras"]


def test_a_folder_becomes_a_page_and_a_table(inbox: Path, options: list[str], tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    assert triage_pict.main([str(inbox), *options, "-o", str(tmp_path / "out"), "--lang", "es"]) == 0
    said = capsys.readouterr().out
    assert "4 radiografías esperan lectura, Para leer por una persona 1" in said
    assert re.search(r"1  cut\.jpeg  para leer por una persona", said)
    rows = (tmp_path / "out/worklist.csv").read_text().splitlines()
    assert rows[1].startswith("1,person,")
    assert "unreadable" in rows[1]
    assert 'lang="es"' in (tmp_path / "out/worklist.html").read_text()


@pytest.mark.parametrize(("typed", "said"), [
    (["nowhere"], "nowhere"), ([__file__], "A worklist is of a folder"),
    ([".", "-o", "."], "elsewhere than the")])
def test_a_mistake_is_said_in_one_line(typed: list[str], said: str, options: list[str], inbox: Path,
                                       monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(inbox)
    assert triage_pict.main([*typed, *options]) == 2
    line = capsys.readouterr().err.strip()
    assert said in line
    assert "\n" not in line
    assert sorted(path.name for path in inbox.iterdir())[-1] == "cut.jpeg"


def test_the_served_page_ends_with_ctrl_c_and_leaves_the_worklist(inbox: Path, options: list[str],
                                                                 tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/triage_pict.py"), str(inbox), *options, "-o",
               str(tmp_path / "out"), "--serve", "0"]
    heeding = "import os,signal,sys; signal.signal(signal.SIGINT, signal.default_int_handler); " \
              f"os.execv(sys.executable, {command!r})"  # a shell's background job would ignore Ctrl-C
    with subprocess.Popen([sys.executable, "-c", heeding], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert address is not None
        for _ in range(600):
            page = urlopen(address[0]).read().decode()
            if "4 films wait to be read" in page:
                break
            time.sleep(0.1)
        assert "cut.jpeg" in page
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert (tmp_path / "out/worklist.html").is_file()
