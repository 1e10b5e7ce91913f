"""Options are read as typed, refused with their bounds, and reach the study under one name."""

from collections.abc import Callable
from dataclasses import fields

import pytest

from pneumo_tf.__main__ import COMMANDS
from pneumo_tf.cli import command, options
from pneumo_tf.cli.binary_class import build_parser
from pneumo_tf.cli.command import UsageError
from pneumo_tf.cli.options import study_of
from pneumo_tf.errors import option_of
from pneumo_tf.studies.plan import StudyOptions


def options_of(*typed):
    return build_parser().parse_args(typed)


def parsed(parse: Callable[[str], object], text: str) -> object:
    parser = command.build("film.py", "Look at films.")
    parser.add_argument("--value", type=parse)
    return parser.parse_args([f"--value={text}"]).value


def refused(parse: Callable[[str], object], text: str) -> str:
    with pytest.raises(UsageError) as refusal:
        parsed(parse, text)
    return str(refusal.value)


@pytest.mark.parametrize(("typed", "rule"), [
    (("--operating-point", "stressed"), "stressed"), (("--operating-point", "stressed=0.9"), "stressed>=0.9"),
    (("--sensitivity", "0.9"), "sensitivity>=0.9"),
    (("--operating-point", "sensitivity=0.9"), "sensitivity>=0.9"),
    (("--operating-point", "youden"), "youden"),
    (("--operating-point", "specificity=0.8"), "specificity>=0.8"),
    (("--operating-point", "cost=10@0.02"), "cost=10@0.02")])
def test_the_operating_point_is_typed_long_or_short(typed, rule):
    assert options_of(*typed).operating_point == rule


@pytest.mark.parametrize("typed", [
    ("--operating-point", "youden", "--sensitivity", "0.9"), ("--operating-point", "best"),
    ("--sensitivity", "1.5"), ("--calibration", "magic"), ("--prevalence", "0"),
    ("--prevalence", "0.1", "2")])
def test_a_mistake_names_its_option(typed):
    with pytest.raises(UsageError) as refusal:
        options_of(*typed)
    said = str(refusal.value)
    assert f"argument {typed[-2] if typed[-2].startswith('--') else typed[0]}: " in said
    assert ".." not in said


def test_what_is_not_typed_is_left_to_the_study(tmp_path, monkeypatch):
    (tmp_path / "films").mkdir()
    (tmp_path / "labels.csv").write_text("id,clase\n")
    monkeypatch.chdir(tmp_path)
    study = study_of(options_of("-p", "films", "-l", "labels.csv"))
    usual = StudyOptions(films=study.films, labels=study.labels, output=study.output)
    assert study.prevalences == usual.prevalences
    assert study.image_size is None
    study = study_of(options_of("-p", "films", "-l", "labels.csv", "--prevalence", "0.02", "0.4"))
    assert study.prevalences == [0.02, 0.4]


def test_every_value_of_a_study_is_typed_by_the_option_that_messages_name():
    named = {name for action in build_parser()._actions for name in action.option_strings}
    values = {field.name for field in fields(StudyOptions)} - {"settings", "command"} | set(options.SETTINGS)
    assert {option_of(value) for value in values} <= named


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("12", 12), (" 3 ", 3)])
def test_whole_numbers_are_read(text: str, value: int) -> None:
    assert parsed(options.whole_number(at_least=0), text) == value


@pytest.mark.parametrize("text", ["-1", "--1", "1.5", "many", "", "1e3"])
def test_whole_numbers_name_their_bound(text: str) -> None:
    said = refused(options.whole_number(at_least=0), text)
    assert f"a whole number of at least 0 is needed. Received: {text}" in said


@pytest.mark.parametrize("text", ["0", "1", "-0.5", "nan", "inf", "half"])
def test_fractions_lie_strictly_between_none_and_all(text: str) -> None:
    assert "a number between 0 and 1" in refused(options.fraction, text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast"])
def test_positive_numbers_are_finite_and_above_zero(text: str) -> None:
    assert "a number above 0" in refused(options.positive_number, text)


def test_numbers_are_read_as_typed() -> None:
    assert parsed(options.fraction, "0.3") == 0.3
    assert parsed(options.positive_number, "1e-4") == 1e-4


PARSERS = {name: module.build_parser() for name, module in COMMANDS.items()}
NUMBERS = [(name, action) for name, parser in PARSERS.items() for action in parser._actions
           if action.option_strings and action.type not in (None, options._operating_point)]


@pytest.mark.parametrize("text", ["9" * 30, "9" * 5000, "-1", "nan", "inf", "-inf", "1e999", "", "0x10"])
@pytest.mark.parametrize(("name", "action"), NUMBERS, ids=lambda part: getattr(part, "dest", part))
def test_every_option_that_takes_a_number_is_bounded(name, action, text):
    """A new option with type=int or float fails here."""
    option = action.option_strings[-1]
    if text.isdecimal() and action.type is options.positive_number:
        pytest.skip("a large finite number may have a meaning")
    with pytest.raises(UsageError, match=f"argument .*{option}"):
        PARSERS[name].parse_args([f"{option}={text}"])


def test_seeds_are_those_that_numpy_and_keras_take():
    assert options_of("--seed", "4294967295").seed == 2**32 - 1
    for option in ("--seed", "--split-seed"):
        with pytest.raises(UsageError, match="at most 4294967295"):
            options_of(option, "4294967296")
