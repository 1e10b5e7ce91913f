"""Commands parse, act, and say a mistake in one line."""

import argparse

import pytest

from pneumo_tf.cli import command
from pneumo_tf.errors import FilmError


def parser_with(**option: object) -> command.Parser:
    parser = command.build("film.py", "Look at films.")
    parser.add_argument("--value", **option)  # type: ignore[arg-type]
    return parser


def parsed(parse: object, text: str) -> object:
    return parser_with(type=parse).parse_args([f"--value={text}"]).value


def refused(parse: object, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="2"):
        parsed(parse, text)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


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
    with pytest.raises(SystemExit, match="2"):
        command.run(parser_with(), print, ["--colour"])
    assert capsys.readouterr().err == (
        "film.py: error: unrecognized arguments: --colour. See film.py --help.\n")


def test_help_shows_the_defaults() -> None:
    assert "(default: 7)" in parser_with(default=7, help="how many").format_help()


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("12", 12), (" 3 ", 3)])
def test_whole_numbers_are_read(text: str, value: int) -> None:
    assert parsed(command.whole_number(at_least=0), text) == value


@pytest.mark.parametrize("text", ["-1", "--1", "1.5", "many", "", "1e3"])
def test_whole_numbers_name_their_bound(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(command.whole_number(at_least=0), text, capsys)
    assert f"a whole number of at least 0 is needed. Received: {text}" in said


@pytest.mark.parametrize("text", ["0", "1", "-0.5", "nan", "inf", "half"])
def test_fractions_lie_strictly_between_none_and_all(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "a number between 0 and 1" in refused(command.fraction, text, capsys)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast"])
def test_positive_numbers_are_finite_and_above_zero(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "a number above 0" in refused(command.positive_number, text, capsys)


def test_numbers_are_read_as_typed() -> None:
    assert parsed(command.fraction, "0.3") == 0.3
    assert parsed(command.positive_number, "1e-4") == 1e-4
