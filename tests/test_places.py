"""A path that a person typed is looked up here, then in the project."""

from pathlib import Path

import pytest

from pneumo_tf import places
from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.places import folder_name


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder beside a project of its own."""
    monkeypatch.setattr(places, "project_root", lambda: tmp_path / "project")
    for name in ("project", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def find(path: str | Path) -> Path:
    return places.find_existing(path, what="folder", remedy="Make it.", error=FilmError)


def test_the_current_folder_comes_first(here: Path) -> None:
    (here / "films").mkdir()
    (here.parent / "project/films").mkdir()
    assert find("films") == here / "films"


def test_the_project_comes_second(here: Path) -> None:
    (here.parent / "project/films").mkdir()
    assert find("films") == here.parent / "project/films"


def test_an_absolute_path_is_only_itself(here: Path) -> None:
    assert find(here) == here
    with pytest.raises(FilmError, match=r"nothing, not found at \S+here/nothing\. Make it\."):
        find(here / "nothing")


def test_both_places_are_named_when_nothing_is_found(here: Path) -> None:
    with pytest.raises(FilmError) as caught:
        find("films")
    assert str(caught.value) == (
        f"The folder must exist. Received: films, found neither at {here / 'films'} nor "
        f"{here.parent / 'project/films'}. Make it.")


def test_one_place_is_named_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here.parent / "project")
    with pytest.raises(FilmError, match=r"films, not found at \S+project/films\. Make it\."):
        find("films")


def test_a_tilde_is_the_home_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    assert find("~") == here
    assert places.output_path("~/x.csv", default="y.csv") == here / "x.csv"


def test_outputs_go_where_typed_or_into_the_project(here: Path) -> None:
    assert places.output_path("out/x.csv", default="labels/labels.csv") == here / "out/x.csv"
    assert places.output_path(None, default="labels/labels.csv") == here.parent / "project/labels/labels.csv"


def test_the_project_is_the_checkout_that_the_package_lies_in() -> None:
    assert (places.project_root() / "pneumo_tf/places.py").samefile(places.__file__)


@pytest.mark.parametrize("name", ["..", ".", ".hidden", "a/b", "a\\b", "C:", "two\nlines", "nul\0", " ", ""])
def test_a_name_that_would_lead_to_another_folder_is_no_folders(name: str) -> None:
    with pytest.raises(OptionError, match=r"The name of a comparison must do as a folder's"):
        folder_name(name, what="a comparison")


def test_a_name_in_any_language_does_as_a_folders() -> None:
    assert folder_name(" clínica 2 ", what="an evaluation") == "clínica 2"
