"""What a shell completes is what the commands take."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pneumo_tf.cli.completion import main

ASK = """source {script}; COMP_WORDS=({typed}); COMP_CWORD={last}
_shtab_pneumo_tf pneumo-tf {words}; echo "${{COMPREPLY[@]}}" """


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash on this machine")
@pytest.mark.parametrize(("typed", "completed"), [
    ("pneumo-tf pre", {"predict_pict", "prepare_pict"}), ("pneumo-tf predict_pict --vi", {"--views"}),
    ("pneumo-tf triage_pict --lang ''", {"en", "es"}), ("pneumo-tf binary_class --cali", {"--calibration"})])
def test_bash_completes_commands_options_and_values(typed: str, completed: set[str], tmp_path: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    words = typed.split()
    ask = ASK.format(script=tmp_path / "script", typed=typed, last=len(words) - 1,
                     words=f"{words[-1]} {words[-2]}")
    said = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False)
    assert set(said.stdout.split()) == completed


def test_without_shtab_the_remedy_is_a_command(monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["zsh"]) == 2
    assert "pip install 'pneumo_tf[completion]'" in capsys.readouterr().err
