import pytest

from pneumo_tf.cli.binary_class import build_parser
from pneumo_tf.cli.study_options import typed_options


def options_of(*typed):
    return build_parser().parse_args(typed)


@pytest.mark.parametrize(("typed", "rule"), [
    ((), "sensitivity>=0.95"), (("--sensitivity", "0.9"), "sensitivity>=0.9"),
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
def test_a_mistake_is_one_line_that_names_its_option(typed, capsys):
    with pytest.raises(SystemExit) as left:
        options_of(*typed)
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.count("\n") == 1
    assert f"argument {typed[-2] if typed[-2].startswith('--') else typed[0]}: " in said
    assert not said.rstrip().endswith("..")


def test_what_is_not_typed_is_left_to_the_study(tmp_path, monkeypatch):
    (tmp_path / "films").mkdir()
    (tmp_path / "labels.csv").write_text("id,clase\n")
    monkeypatch.chdir(tmp_path)
    given = typed_options(options_of("-p", "films", "-l", "labels.csv"))
    assert "prevalences" not in given
    assert given["calibration"] == "temperature"
    assert typed_options(options_of("-p", "films", "-l", "labels.csv", "--prevalence", "0.02", "0.4")
                         )["prevalences"] == [0.02, 0.4]
