"""A few of the kills of benchmarks/reliability/kills.py; the others need a night."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_what_is_killed_anywhere_goes_on_and_ends_as_if_it_hadnt_been(tmp_path: Path) -> None:
    results = tmp_path / "kills.json"
    finished = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/reliability/kills.py"), "--kills", "20", "--only", "prepare",
         "labels", "--place", str(tmp_path / "kills"), "--results", str(results)],
        capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    found = json.loads(results.read_text(encoding="utf-8"))
    assert {name: (tally["kills"], tally["faults"], tally["litter"]) for name, tally in found.items()} == {
        "prepare": (10, {}, 0), "labels": (10, {}, 0)}
