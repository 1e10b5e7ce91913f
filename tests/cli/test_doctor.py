"""doctor.py looks, advises, and touches nothing."""

from __future__ import annotations

import json
import socket
from functools import partial
from pathlib import Path

import pytest

from pneumo_tf import places
from pneumo_tf.cli import doctor as command
from pneumo_tf.studies import doctor


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project on a machine whose network nobody may ask, with little time for the speed test."""

    def unreachable(*_: object) -> None:
        raise AssertionError("asked the network")

    root = tmp_path / "project"
    root.mkdir()
    for module in (places, doctor):
        monkeypatch.setattr(module, "project_root", lambda: root)
    monkeypatch.setattr(doctor, "_requirements", lambda: {"": ["numpy>=2.0"]})
    monkeypatch.setattr(doctor, "with_keras", partial(doctor.with_keras, 0.2))
    monkeypatch.setattr(socket.socket, "connect", unreachable)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return root


def test_it_answers_every_question_downloads_nothing_and_leaves_nothing(
        project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {finding["about"] for finding in findings} >= {
        "program", "packages", "processor", "weights", "browser", "model", "temporary", "GPU",
        "engines", "speed"}
    assert all(finding["remedy"] for finding in findings if finding["state"] != "ok")
    assert list(project.iterdir()) == []
    assert not (project.parent / "keras/models").exists()


def test_what_every_command_needs_and_isnt_there_is_exit_code_1(
        project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_requirements", lambda: {"": ["no-such-package>=1"]})
    assert command.main([]) == 1
    said = capsys.readouterr().out
    assert "missing  packages" in said
    assert "→ Run: pip install pneumo_tf" in said
    assert "GPU" not in said  # Keras isn't started where packages are missing


def test_a_keras_that_doesnt_start_is_missing_too(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "numpy")
    assert command.main([]) == 1
    said = capsys.readouterr().out
    assert "missing  Keras" in said
    assert "KERAS_BACKEND=tensorflow" in said
