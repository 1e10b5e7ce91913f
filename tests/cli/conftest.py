"""A person in a project with a small run, who makes mistakes and types what a command printed."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from pneumo_tf import places

ROOT = Path(__file__).resolve().parents[2]
_PRINTED = re.compile(r"python (scripts/(\w+)\.py.*)$", re.MULTILINE)
_READ = ("path", "labels", "run", "source")  # options that name what must exist


class PrintedCommands:
    """The command lines in what a command printed."""

    def check(self, text: str) -> list[str]:
        """Each opens a door, is accepted by the real parser, and names what exists; the lines in order."""
        lines = _PRINTED.findall(text)
        for line, name in lines:
            assert (ROOT / f"scripts/{name}.py").is_file()
            typed = import_module(f"pneumo_tf.cli.{name}").build_parser().parse_args(shlex.split(line)[1:])
            for option in _READ:
                value = getattr(typed, option, None)
                assert value is None or Path(value).exists(), f"{line}: no {option} {value}"
        return [line for line, _ in lines]


@pytest.fixture
def printed_commands() -> PrintedCommands:
    return PrintedCommands()


@pytest.fixture
def run(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run in a project root of its own, and a person standing in it."""
    shutil.copytree(small_run, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "project_root", lambda: tmp_path)
    return tmp_path / "model/runs/small"


@pytest.fixture
def refused(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line that the command of the test's module says to a mistake."""
    def refuse(*arguments: object) -> str:
        assert request.module.main([str(argument) for argument in arguments]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    return refuse
