"""Commands parse, act, and say a mistake in one line."""

import argparse

import pytest

from pneumo_tf.cli import command
from pneumo_tf.errors import FilmError


def parser_with(**option: object) -> command.Parser:
    parser = command.build("film.py", "Look at films.")
    parser.add_argument("--value", **option)  # type: ignore[arg-type]
    return parser


def test_a_command_that_acts_leaves_with_zero() -> None:
    seen: list[argparse.Namespace] = []
    assert command.run(parser_with(default="x"), seen.append, []) == 0
    assert seen[0].value == "x"


def test_a_mistake_is_one_line_on_standard_error_and_two(capsys: pytest.CaptureFixture[str]) -> None:
    def act(_: argparse.Namespace) -> None:
        raise FilmError("Films must be films.", received="a\nletter", remedy="Look again.")

    assert command.run(parser_with(), act, []) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "", "film.py: error: Films must be films. Received: a letter. Look again.\n")


def test_an_interruption_tells_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def act(_: argparse.Namespace) -> None:
        raise KeyboardInterrupt

    assert command.run(parser_with(), act, []) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    def act(_: argparse.Namespace) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command.run(parser_with(), act, [])


def test_an_unknown_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(parser_with(), print, ["--colour"]) == 2
    assert capsys.readouterr().err == (
        "film.py: error: unrecognized arguments: --colour. See film.py --help.\n")


def test_help_shows_the_defaults() -> None:
    assert "(default: 7)" in parser_with(default=7, help="how many").format_help()
