"""A few of the kills of benchmarks/reliability/kills.py; the others need a night."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_a_preparation_killed_anywhere_goes_on_and_ends_as_if_it_hadnt_been(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/reliability/kills.py"), "--kills", "8", "--only", "prepare",
         "labels", "--place", str(tmp_path / "kills")], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    rows = re.findall(r"^\| (prepare|labels) \| [\d.]+ s \| (\d+) \| \d+ \| (\d+) \| (\d+) \|$",
                      finished.stdout, re.MULTILINE)
    assert [(name, kills, faults) for name, kills, faults, _ in rows] == [("prepare", "4", "0"),
                                                                        ("labels", "4", "0")]
