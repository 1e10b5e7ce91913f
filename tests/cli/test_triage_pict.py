"""triage_pict.py as it is typed: a worklist once, followed, and served."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

import numpy as np
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
    assert "4 imágenes esperan lectura, Para leer por una persona 1" in said
    assert re.search(r"1  cut\.jpeg  para leer por una persona", said)
    rows = (tmp_path / "out/worklist.csv").read_text().splitlines()
    assert rows[1].startswith("1,person,")
    assert "unreadable" in rows[1]
    assert 'lang="es"' in (tmp_path / "out/worklist.html").read_text()


@pytest.mark.parametrize(("typed", "said"), [
    (["nowhere"], "nowhere"), ([__file__], "A worklist is of a folder"),
    ([".", "-o", "."], "elsewhere than the"), ([".", "--send", "A@b:1"], "--send belongs to a node"),
    ([".", "--listen", "0", "--host", "0.0.0.0"], "must know whom it lets in"),
    ([".", "--listen", "0", "--send", "nobody"], "named as TITLE@HOST:PORT")])
def test_a_mistake_is_said_in_one_line(typed: list[str], said: str, options: list[str], inbox: Path,
                                       monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(inbox)
    assert triage_pict.main([*typed, *options]) == 2
    line = capsys.readouterr().err.strip()
    assert said in line
    assert "\n" not in line
    assert sorted(path.name for path in inbox.iterdir())[-1] == "cut.jpeg"


@contextmanager
def started(inbox: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as it runs until Ctrl-C, and the first line that it says."""
    command = [sys.executable, str(ROOT / "scripts/triage_pict.py"), str(inbox), *options]
    heeding = "import os,signal,sys; signal.signal(signal.SIGINT, signal.default_int_handler); " \
              f"os.execv(sys.executable, {command!r})"  # a shell's background job would ignore Ctrl-C
    with subprocess.Popen([sys.executable, "-c", heeding], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            try:
                # Python loses an interrupt that comes while the collector calls back, as JAX has it do.
                until(lambda: process.send_signal(signal.SIGINT) or _ended(process))
            finally:
                process.kill()


def _ended(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        return False
    return True


def until(true: Callable[[], object], seconds: float = 90) -> None:
    last = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < last, "it took too long"
        time.sleep(0.1)


def test_the_served_page_ends_with_ctrl_c_and_leaves_the_worklist(inbox: Path, options: list[str],
                                                                 tmp_path: Path) -> None:
    served = ("-o", str(tmp_path / "out"), "--serve", "0", "--lang", "en")
    with started(inbox, *options, *served) as (_, said):
        address = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert address is not None
        until(lambda: "4 films wait to be read" in urlopen(address[0]).read().decode())
        assert "cut.jpeg" in urlopen(address[0]).read().decode()
    assert (tmp_path / "out/worklist.html").is_file()


def test_a_film_that_comes_over_the_network_is_in_the_worklist(options: list[str], tmp_path: Path,
                                                               dicom_film: Callable[..., bytes]) -> None:
    pydicom, pynetdicom = pytest.importorskip("pydicom"), pytest.importorskip("pynetdicom")
    film = pydicom.dcmread(BytesIO(dicom_film(np.arange(1024, dtype=np.uint16).reshape(32, 32),
                                              PatientName="Rosa^Luna")))
    node = (*options, "-o", str(tmp_path / "out"), "--listen", "0", "--watch", "0.2")
    with started(tmp_path / "hospital", *node) as (_, said):
        port = int(said.rstrip(".\n").rpartition(":")[2])
        client = pynetdicom.AE()
        client.add_requested_context(film.SOPClassUID, film.file_meta.TransferSyntaxUID)
        sending = client.associate("127.0.0.1", port, ae_title="PNEUMO_TF")
        assert sending.send_c_store(film).Status == 0
        sending.release()
        table = tmp_path / "out/worklist.csv"
        until(lambda: table.is_file() and film.SOPInstanceUID in table.read_text())
    answers = list((tmp_path / "hospital/answers").rglob("*.json"))
    assert [path.stem for path in answers] == [film.SOPInstanceUID]
    assert "Rosa" not in (tmp_path / "out/worklist.html").read_text()
