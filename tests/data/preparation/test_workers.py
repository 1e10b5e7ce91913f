"""Workers that die, and workers whose parent dies; each tried in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """
import os, signal, sys
from multiprocessing import active_children
from pathlib import Path
from pneumo_tf.data.sources import open_source
from pneumo_tf.data.preparation.workers import crew, untracked
from pneumo_tf.errors import FilmError

def die(source, item):
    os.kill(os.getpid(), signal.SIGKILL)

def name(source, item):
    return item

if __name__ == "__main__":
    with open_source(Path(".")) as source, crew(source, workers=2, films=99, track=untracked) as hands:
        if sys.argv[1] == "worker":
            try:
                hands.map(die, [1, 2], description="")
            except FilmError as error:
                print(error)
        else:
            hands.map(name, list(range(99)), description="")
            print(*[child.pid for child in active_children()], flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
"""


def outcome(tmp_path: Path, who: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "script.py").write_text(SCRIPT)
    root = Path(__file__).resolve().parents[3]
    return subprocess.run([sys.executable, "script.py", who], cwd=tmp_path, text=True, timeout=60,
                          check=False, capture_output=True, env={**os.environ, "PYTHONPATH": str(root)})


def alive(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_worker_that_the_system_kills_is_said_in_one_line(tmp_path: Path) -> None:
    assert "Every worker must live until the films are done." in outcome(tmp_path, "worker").stdout


def test_no_worker_outlives_a_killed_command(tmp_path: Path) -> None:
    ended = outcome(tmp_path, "parent")
    workers = [int(process) for process in ended.stdout.split()]
    assert ended.returncode == -signal.SIGKILL
    assert workers
    patience = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < patience:
        time.sleep(0.1)
    assert not any(map(alive, workers))
