"""A path that a person typed is looked up here, then in the project."""

from pathlib import Path

import pytest

from pneumo_tf import places
from pneumo_tf.errors import FilmError, OptionError


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


@pytest.mark.parametrize(("typed", "meant"), [
    ("clasifcacion", "clasificacion"), ("labels/labels.scv", "labels/labels.csv"),
    ("lables/labels.cvs", "labels/labels.csv"), ("../project/clasificaciones", "../project/clasificacion"),
    ("nothing", ""), ("labels/labels.d", "")])
def test_a_mistyped_path_is_answered_with_the_one_that_was_meant(here: Path, typed: str, meant: str) -> None:
    (here.parent / "project/clasificacion").mkdir()
    (here / "labels").mkdir()
    (here / "labels/labels.csv").touch()
    with pytest.raises(FilmError) as caught:
        find(typed)
    assert (f"Did you mean {meant}? Make it." in str(caught.value)) is bool(meant)


@pytest.mark.parametrize("name", ["", " ", ".", "..", ".git", "a/b", "a\\b", "../up", "c:", "nul", "COM1.txt",
                                  "what?", "a\nb", "dot.", "x" * 101])
def test_a_name_that_isnt_one_folders_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="must do as a folder's"):
        places.folder_name(name, what="a comparison")


@pytest.mark.parametrize("name", ["clinic", "Clínica 2", "a.b", "console", "batch-size"])
def test_other_names_stay_as_they_are(name: str) -> None:
    assert places.folder_name(name, what="a comparison") == name
