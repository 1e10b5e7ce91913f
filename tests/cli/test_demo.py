"""The demo is the pipeline itself on synthetic films."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_ends_with_figures_and_the_path_of_a_report(tmp_path: Path, printed_commands) -> None:
    finished = subprocess.run(
        [sys.executable, "scripts/demo.py", "--output", str(tmp_path / "demo"), "--films", "40", "--patients",
         "30", "--weights", "none", "--epochs", "3"], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    for command in ("prepare_pict.py", "get_labels.py", "binary_class.py"):
        assert f"$ python scripts/{command}" in finished.stdout
    *_, following = printed_commands.check(finished.stdout)  # whatever they name exists by now
    assert finished.stdout.count("Next: ") == 1
    assert following.startswith("scripts/evaluate_model.py --run ")
    report = Path(finished.stdout.rpartition("Report: ")[2].splitlines()[0])
    assert report.is_file()
    assert json.loads((report.parent / "run.json").read_text())["phantoms"] is True
    assert "sensitivity" in finished.stdout


def test_a_demo_without_weights_fails_with_the_commands_own_word(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "scripts/demo.py", "--output", str(tmp_path / "demo"), "--films", "24", "--patients",
         "24", "--weights", "gone.pth"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert finished.stderr.count("\n") == 1
    assert "gone.pth" in finished.stderr
