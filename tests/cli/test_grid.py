"""Lists of values become commands of binary_class.py, and equal trainings have equal keys."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from pneumo_tf import places
from pneumo_tf.cli import binary_class, command
from pneumo_tf.cli.grid import Cell, add_row_options, expand
from pneumo_tf.errors import FilmError, LabelError, OptionError


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a folder of films and a labels table, and a person standing in it."""
    (tmp_path / "clasificacion").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/labels.csv").write_text("id,clase\na,NORMAL\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "project_root", lambda: tmp_path)
    return tmp_path


def grid(*typed: str) -> list[Cell]:
    parser = command.build("compare_runs.py", "")
    add_row_options(parser)
    return expand(parser.parse_args(typed))


def key(*typed: str) -> str:
    (cell,) = grid(*typed)
    return cell.key


def test_every_combination_comes_once_and_seeds_follow_each_other() -> None:
    cells = grid("--seed", "1,2", "--recipe", "fast,full", "--batch-size", "32,64,32")
    assert [cell.title for cell in cells] == [
        f"recipe {recipe} · batch-size {size} · seed {seed}"
        for recipe in ("fast", "full") for size in (32, 64) for seed in (1, 2)]


def test_each_cell_is_a_command_that_binary_class_reads_alike() -> None:
    (cell,) = grid("-e", "3", "--batch-size", "64", "--keep-test")
    words = shlex.split(cell.command("model/x y"))
    assert words[:2] == ["python", "scripts/binary_class.py"]
    typed = binary_class.build_parser().parse_args(words[2:])
    assert (typed.epochs, typed.batch_size, typed.keep_test, typed.output) == (3, 64, True, "model/x y")


def test_all_cells_share_the_split_whatever_their_seed() -> None:
    for cell in grid("--seed", "1,2,3"):
        assert cell.arguments[cell.arguments.index("--split-seed") + 1] == "42"
    (cell,) = grid("--split-seed", "7")
    assert cell.settings["split_seed"] == 7


def test_a_flag_keeps_its_sign() -> None:
    assert "--no-class-weights" in grid("--no-class-weights")[0].arguments
    assert "--class-weights" in grid("--class-weights")[0].arguments


def test_an_option_that_may_be_repeated_is_given_each_time() -> None:
    cells = grid("--phase", "head:1,head:2", "--phase", "all:3")
    assert [cell.settings["phases"] for cell in cells] == [["head:1", "all:3"], ["head:2", "all:3"]]


def test_the_name_holds_what_differs_and_nothing_else() -> None:
    first, second = grid("--batch-size", "32,64", "-e", "3")
    assert (first.name, second.name) == ("batch-size 32", "batch-size 64")
    assert grid("-e", "3")[0].name == ""


@pytest.mark.parametrize("other", [
    ("--batch-size", "32", "--engine", "auto"),    # the defaults
    ("-l", "labels/labels.csv", "-p", "./clasificacion/"),
    ("--split-seed", "42", "--seed", "42"),
    ("--cache", "elsewhere"),                      # it changes how fast, not what
])
def test_the_same_training_has_the_same_key_however_it_is_typed(other: tuple[str, ...]) -> None:
    assert key(*other) == key()


def test_the_order_of_options_is_irrelevant() -> None:
    assert key("-e", "3", "--recipe", "fast") == key("--recipe", "fast", "--epochs", "3")


@pytest.mark.parametrize("other", [("-e", "61"), ("--seed", "43"), ("--split-seed", "43"), ("--keep-test",),
                                   ("--recipe", "fast")])
def test_another_training_has_another_key(other: tuple[str, ...]) -> None:
    assert key(*other) != key()


def test_other_labels_in_the_same_file_are_another_training(project: Path) -> None:
    before = key()
    (project / "labels/labels.csv").write_text("id,clase\na,PNEUMONIA\n")
    assert key() != before


def test_cells_of_one_setting_differ_by_the_seed_alone() -> None:
    one, two, other, _ = grid("--batch-size", "32,64", "--seed", "1,2")
    assert one.setting == two.setting != other.setting
    assert one.key != two.key


def test_a_path_may_hold_a_comma(project: Path) -> None:
    (project / "films, mine").mkdir()
    assert grid("-p", "films, mine")[0].settings["path"] == str(project / "films, mine")


@pytest.mark.parametrize(("typed", "said"), [
    (("--batch-size", "32,,64"), "surplus comma"),
    (("--batch-size", "32,"), "surplus comma"),
    (("--batch-size", "32,none"), "at least 1 is needed. Received: none"),
    (("--batch-size", "32,0"), "--batch-size 0"),
    (("--test-fraction", "0.2,0.3"), "must share one split"),
    (("--split-seed", "1,2"), "must share one split"),
    (("--split-by", "film,patient"), "must share one split"),
])
def test_a_mistake_in_a_list_is_said_with_the_option(typed: tuple[str, ...], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        grid(*typed)


def test_missing_films_and_labels_are_said_before_anything_runs() -> None:
    with pytest.raises(FilmError, match="nowhere"):
        grid("-p", "nowhere")
    with pytest.raises(LabelError, match=r"nowhere\.csv"):
        grid("-l", "nowhere.csv")
    with pytest.raises(LabelError, match="readable"):
        grid("-l", "labels")
