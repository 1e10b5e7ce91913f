"""What every command's test may ask of the commands that are printed."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

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
