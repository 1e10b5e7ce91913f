"""What paths say: which files are films, of which class, from which split."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from pneumo_tf.data.listing import Listing, find_source, list_films, natural_order
from pneumo_tf.data.sources import Entry
from pneumo_tf.errors import FilmError, OptionError


def listed(*files: str, name: str = "", exclude: tuple[str, ...] = (),
           folders: tuple[str, ...] = ()) -> Listing:
    return list_films([Entry(file, 1) for file in files], name=name, exclude=exclude, folders=folders)


def labels(*files: str) -> dict[str, str]:
    return {film.file: film.label for film in listed(*files).films}


@pytest.mark.parametrize(("files", "expected"), [
    (("normal/a.jpeg", "pneumonia/b.jpeg"), ["NORMAL", "PNEUMONIA"]),
    (("chest_xray/train/NORMAL/a.jpeg", "chest_xray/test/PNEUMONIA/b.jpeg"), ["PNEUMONIA", "NORMAL"]),
    (("train/NORMAL/a.jpeg", "train/PNEUMONIA/b.jpeg"), ["NORMAL", "PNEUMONIA"]),
    (("benign/patient1/a.jpeg", "malignant/patient2/b.jpeg"), ["BENIGN", "MALIGNANT"]),
    (("bacterial/a.png", "normal/a.png", "viral/a.png"), ["BACTERIAL", "NORMAL", "VIRAL"]),
    (("pneumonia/normal/a.jpeg", "pneumonia/pneumonia/b.jpeg"), ["NORMAL", "PNEUMONIA"]),
    (("normal/a.jpeg",), ["NORMAL"]),
    (("windows\\normal\\a.jpeg", "windows\\pneumonia\\b.jpeg"), ["NORMAL", "PNEUMONIA"]),
])
def test_the_class_is_the_folder_that_is_neither_split_nor_wrapper(files: tuple[str, ...],
                                                                   expected: list[str]) -> None:
    assert list(labels(*files).values()) == expected


@pytest.mark.parametrize("other", [unicodedata.normalize("NFD", "NEUMONÍA"), "NEUMONÍA\u200b", "Neumonía "])
def test_a_class_is_one_however_its_folders_are_spelled(other: str) -> None:
    assert labels("NORMAL/a.png", "NEUMONÍA/b.png", f"{other}/c.png") == {
        "NORMAL/a.png": "NORMAL", "NEUMONÍA/b.png": "NEUMONÍA", f"{other}/c.png": "NEUMONÍA"}


@pytest.mark.parametrize("outer", ["chest_xray/", ""])
def test_a_nested_second_copy_has_the_classes_of_the_first(outer: str) -> None:
    files = [f"{outer}{inner}train/{label}/a.jpeg" for inner in ("", "chest_xray/")
             for label in ("NORMAL", "PNEUMONIA")]
    assert set(labels(*files).values()) == {"NORMAL", "PNEUMONIA"}


def test_a_nested_copy_without_splits_has_the_classes_of_the_first() -> None:
    files = [f"{outer}/{label}/a.jpeg" for outer in ("films", "films/films")
             for label in ("normal", "pneumonia")]
    assert set(labels(*files).values()) == {"NORMAL", "PNEUMONIA"}


def test_the_origin_is_the_split_folder() -> None:
    films = listed("x/train/NORMAL/a.jpg", "x/test/NORMAL/b.jpg", "x/val/PNEUMONIA/c.jpg",
                   "x/NORMAL/d.jpg").films
    assert {film.file[-5]: film.origin for film in films} == {"a": "train", "b": "test", "c": "val", "d": ""}


@pytest.mark.parametrize(("file", "reason"), [
    ("__MACOSX/normal/._a.jpeg", "macOS shadow file"),
    ("x/__MACOSX/normal/a.jpeg", "macOS shadow file"),
    ("normal/._a.jpeg", "macOS shadow file"),
    ("normal/.DS_Store", "system or hidden file"),
    ("normal/Thumbs.db", "system or hidden file"),
    (".git/normal/a.jpeg", "system or hidden file"),
    ("normal/readme.txt", "not an image file"),
    ("normal/a.heic", "image format that isn't read: export it as PNG"),
    ("normal/DICOMDIR", "DICOM directory, whose films are files of their own"),
    ("stray.jpeg", "not in a class folder"),
    ("train/stray.jpeg", "not in a class folder"),
])
def test_other_files_are_listed_with_their_reason(file: str, reason: str) -> None:
    assert listed("normal/z.jpeg", "pneumonia/z.JPG", file).others == {file: reason}


def test_a_name_makes_one_class_of_a_plain_folder() -> None:
    assert [(f.file, f.label) for f in listed("a.jpeg", "more/b.jpeg", name="NORMAL").films] == \
        [("a.jpeg", "NORMAL"), ("more/b.jpeg", "NORMAL")]


def test_a_name_for_a_source_with_classes_is_refused() -> None:
    with pytest.raises(FilmError, match="--name NORMAL and the class folders NORMAL, PNEUMONIA"):
        listed("normal/a.jpeg", "pneumonia/b.jpeg", name="NORMAL")


@pytest.mark.parametrize("pattern", ["*virus_9002*", "x/pneumonia/b_virus_9002.jpeg", "pneumonia",
                                     "x/pneumonia/"])
def test_exclude_fits_a_path_a_name_or_a_folder(pattern: str) -> None:
    listing = listed("x/normal/a.jpeg", "x/pneumonia/b_virus_9002.jpeg", exclude=(pattern,))
    assert listing.others == {"x/pneumonia/b_virus_9002.jpeg": "excluded by --exclude"}


def test_a_pattern_that_fits_nothing_is_a_mistake() -> None:
    with pytest.raises(OptionError, match=r"Received: \*tipo\*"):
        listed("normal/a.jpeg", exclude=("*tipo*",))


def test_only_the_folders_that_are_meant_are_listed() -> None:
    listing = listed("normal/a.jpeg", "pneumonia/b.jpeg", "docs/c.jpeg", folders=("normal", "pneumonia"))
    assert listing.labels == ["NORMAL", "PNEUMONIA"]
    assert not listing.others


def test_film_2_stands_before_film_10() -> None:
    assert sorted(["p10.jpeg", "p2.jpeg", "P1.jpeg"], key=natural_order) == ["P1.jpeg", "p2.jpeg", "p10.jpeg"]


def test_names_that_differ_in_case_or_zeros_alone_have_one_order_all_the_same() -> None:
    expected = ["P1.jpeg", "p01.jpeg", "p1.jpeg"]
    assert sorted(["p1.jpeg", "p01.jpeg", "P1.jpeg"], key=natural_order) == expected


def test_the_usual_folders_are_found_in_any_case(tmp_path: Path) -> None:
    for folder in ("Normal", "PNEUMONIA", "docs"):
        (tmp_path / folder).mkdir()
    assert find_source([tmp_path]) == (tmp_path, ("Normal", "PNEUMONIA"))


def test_the_usual_folders_are_found_in_spanish(tmp_path: Path) -> None:
    for folder in ("Neumonía", "normal"):
        (tmp_path / folder).mkdir()
    assert find_source([tmp_path]) == (tmp_path, ("Neumonía", "normal"))


def test_the_first_place_with_films_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for place in (first, second):
        (place / "chest_xray").mkdir(parents=True)
    (first / "chest_xray.zip").touch()
    assert find_source([first, second]) == (first / "chest_xray", ())


def test_both_kinds_in_one_place_must_be_told_apart(tmp_path: Path) -> None:
    for folder in ("normal", "pneumonia", "chest_xray"):
        (tmp_path / folder).mkdir()
    with pytest.raises(FilmError, match="normal, pneumonia and chest_xray in "):
        find_source([tmp_path])


def test_no_films_anywhere_names_what_and_where(tmp_path: Path) -> None:
    (tmp_path / "normal").mkdir()
    with pytest.raises(FilmError, match=r"normal/ with pneumonia/, .* or archive\.zip") as refusal:
        find_source([tmp_path])
    assert refusal.value.received == f"none in {tmp_path}"
