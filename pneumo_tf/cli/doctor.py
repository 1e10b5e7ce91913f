"""doctor.py: what of this machine matters, and what to do where something is missing."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pneumo_tf.cli import command
from pneumo_tf.errors import PneumoError
from pneumo_tf.language import show, show_json, translated

if TYPE_CHECKING:
    from pneumo_tf.studies.doctor import Finding

_DESCRIPTION = ("Look at this machine: packages, processor, GPU, weights, folders, and a speed test of five "
                "seconds. Nothing is downloaded, and nothing stays on the disk.")
_EPILOG = "The exit code is 0, or 1 where something is missing that every command needs."
_WIDTH = 110


def build_parser() -> command.Parser:
    """The options of doctor.py."""
    return command.build("doctor.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Examine the machine; the exit code is 0, 1 where something needed is missing, or 2 after a mistake."""
    missing: list[Finding] = []
    code = command.run(build_parser(), lambda typed: act(typed, missing), argv)
    return code or int(bool(missing))


def act(typed: argparse.Namespace, missing: list[Finding]) -> str:
    """Examine the machine, and collect what is missing; what to do next."""
    from pneumo_tf.studies.doctor import State, on_this_machine

    findings = list(on_this_machine())
    if not any(finding.about == "packages" and finding.state is State.MISSING for finding in findings):
        findings += _computing()
    missing += [finding for finding in findings if finding.state is State.MISSING]
    show_json([finding.to_json() for finding in findings])
    for finding in findings:
        _show(finding)
    advice = sum(finding.state is State.ADVICE for finding in findings)
    show("")
    show(f"{len(missing)} missing, {advice} to think about, "
         f"{len(findings) - len(missing) - advice} in order.")
    return "" if missing else command.line("demo")


def _computing() -> list[Finding]:
    """What Keras computes on and how fast; why it can't where it doesn't start."""
    from pneumo_tf.studies.doctor import Finding, State, with_keras

    try:
        command.start_keras(None)
        return list(with_keras())
    except PneumoError as failure:
        return [Finding("Keras", State.MISSING, failure.received, failure.remedy)]


def _show(finding: Finding) -> None:
    head = f"{translated(finding.state.value):<8} {translated(finding.about):<14} "
    indent = " " * len(head)
    for text, first in ((finding.found, head), (finding.remedy, indent + "→ ")):
        if text:
            show(textwrap.fill(translated(text), _WIDTH, initial_indent=first, subsequent_indent=indent,
                                break_long_words=False, break_on_hyphens=False))
