"""Work in several processes: its order, its processes, and what a death in the family leads to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from functools import partial
from pathlib import Path

import pytest

from pneumo_tf.data.preparation.tasks import inspect_film
from pneumo_tf.data.sources import Zip
from pneumo_tf.processes import in_processes

SCRIPT = """
import os, signal, sys, time
from pneumo_tf.errors import PneumoError
from pneumo_tf.processes import in_processes

# A shell's background jobs ignore it, and so would this process if the tests are one.
signal.signal(signal.SIGINT, signal.default_int_handler)

def die(item):
    os.kill(os.getpid(), signal.SIGKILL)

def wait(item):
    time.sleep(0.02)
    return os.getpid()

try:
    pids = in_processes(die if sys.argv[1] == "worker" else wait, range(99), workers=2, description="")
    print(*set(pids), flush=True)
    in_processes(wait, range(999), workers=2, description="")
except PneumoError as error:
    print(error)
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "script.py").write_text(SCRIPT)
    return [sys.executable, str(tmp_path / "script.py")]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}


def alive(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_results_come_in_the_order_of_the_items_from_several_processes() -> None:
    assert in_processes(abs, range(-99, 0), workers=2, description="") == list(range(99, 0, -1))


def test_little_work_stays_in_this_process() -> None:
    assert in_processes(lambda _: os.getpid(), range(3), workers=2, description="") == [os.getpid()] * 3


def test_each_archive_is_the_one_that_was_opened_whatever_lay_under_its_path_before(tmp_path: Path) -> None:
    path, names = tmp_path / "films.zip", [f"{number}.png" for number in range(40)]
    for content in (b"first", b"second"):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, content)
        with Zip(path) as source:
            here = [inspect_film(name, source=source) for name in names]
            there = in_processes(partial(inspect_film, source=source), names, workers=2, description="")
        assert there == here


def test_a_process_that_the_system_kills_is_said_in_one_line(command: list[str]) -> None:
    said = subprocess.run([*command, "worker"], env=ENVIRONMENT, capture_output=True, text=True, timeout=60,
                          check=True)
    assert said.stdout.startswith("Every process must live until the work is done.")
    assert said.stdout.count("\n") == 1


def test_ctrl_c_ends_every_process_and_only_the_command_speaks(command: list[str]) -> None:
    with subprocess.Popen([*command, "none"], env=ENVIRONMENT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        processes = [int(pid) for pid in process.stdout.readline().split()]
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert said.count("Traceback") == 1
    assert said.endswith("KeyboardInterrupt\n")
    assert processes
    assert not any(map(alive, processes))
