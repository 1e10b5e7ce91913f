"""What every command does the same way: parse, act, and say a mistake in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from pneumo_tf.errors import PneumoError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, like every other error of ours."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}. See {self.prog} --help.\n")


def build(prog: str, description: str, *, epilog: str = "") -> Parser:
    """A parser that shows each option's default."""
    return Parser(prog=prog, description=description, epilog=epilog,
                  formatter_class=argparse.ArgumentDefaultsHelpFormatter)


def run(parser: Parser, act: Callable[[argparse.Namespace], None], argv: Sequence[str] | None, *,
        to_go_on: str = "run the same command again to go on") -> int:
    """Parse `argv`, act, and turn a PneumoError into one line on standard error and exit code 2.

    Args:
        parser: Of the command.
        act: What it does.
        argv: What was typed behind its name.
        to_go_on: What to do after an interruption, in words.
    """
    options = parser.parse_args(argv)
    try:
        act(options)
    except PneumoError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; {to_go_on}.", file=sys.stderr)
        return 130
    return 0


def whole_number(*, at_least: int) -> Callable[[str], int]:
    """An argparse type: a whole number with a lower bound, whose error names the bound."""

    def parse(text: str) -> int:
        rule = f"a whole number of at least {at_least} is needed. Received: {text}"
        try:
            value = int(text)
        except ValueError as failure:
            raise argparse.ArgumentTypeError(rule) from failure
        if value < at_least:
            raise argparse.ArgumentTypeError(rule)
        return value

    return parse


def fraction(text: str) -> float:
    """An argparse type: a number strictly between 0 and 1."""
    return _number(text, below=1, rule="a number between 0 and 1 (neither included)")


def positive_number(text: str) -> float:
    """An argparse type: a finite number above 0."""
    return _number(text, below=float("inf"), rule="a number above 0")


def _number(text: str, *, below: float, rule: str) -> float:
    message = f"{rule} is needed. Received: {text}"
    try:
        value = float(text)
    except ValueError as failure:
        raise argparse.ArgumentTypeError(message) from failure
    if not 0 < value < below:
        raise argparse.ArgumentTypeError(message)
    return value
