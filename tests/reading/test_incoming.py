"""What came in: every film once, in the same order, whatever else lies there."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.reading.incoming import LIST, Incoming, find_given, opened


def all_of(*typed: str | Path, listed: Sequence[str] | None = None) -> list[Incoming]:
    with opened(find_given([str(word) for word in typed]), listed=listed) as films:
        return list(films)


def ids_of(*typed: str | Path, listed: Sequence[str] | None = None) -> list[str]:
    return [film.id for film in all_of(*typed, listed=listed)]


@pytest.fixture
def clinic(tmp_path: Path, film_bytes: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Films in two folders, with what lies about in folders of films; a person stands beside it."""
    folder = tmp_path / "clinic"
    for name in ("b/2.png", "b/10.png", "a/1.jpeg", "film"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(film_bytes(90, seed=len(name)))
    (folder / "a/._1.jpeg").write_bytes(b"shadow")
    (folder / ".DS_Store").write_bytes(b"litter")
    (folder / "prepared.json").write_text("{}")
    (folder / "manifest.csv").write_text("id,clase\n")
    (folder / "letter.txt").write_text("Dear doctor")
    (folder / "scan.pdf").write_text("%PDF")
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_folder_gives_its_films_in_one_order_and_passes_over_the_rest(clinic: Path) -> None:
    passed: list[str] = []
    with opened(find_given(["clinic"]), pass_over=passed.append) as films:
        assert [film.id for film in films] == ["a/1.jpeg", "b/10.png", "b/2.png", "film", "scan.pdf"]
    assert passed == ["letter.txt"]


def test_several_things_are_told_apart_by_what_was_typed(clinic: Path) -> None:
    assert ids_of("clinic/a/", "clinic/b", "clinic/film") == \
        ["clinic/a/1.jpeg", "clinic/b/10.png", "clinic/b/2.png", "clinic/film"]


def test_a_pattern_is_all_that_fits_it(clinic: Path) -> None:
    assert ids_of("clinic/*/*.png") == ["clinic/b/10.png", "clinic/b/2.png"]
    assert ids_of("clinic/**/1.jpeg") == ["clinic/a/1.jpeg"]
    with pytest.raises(FilmError, match=r"fit the pattern\. Received: clinic/\*\.bmp"):
        find_given(["clinic/*.bmp"])


def test_a_file_with_signs_of_patterns_is_that_file(clinic: Path, film_bytes: Callable[..., bytes]) -> None:
    Path("film[1].png").write_bytes(film_bytes(90))
    assert ids_of("film[1].png") == ["film[1].png"]


def test_what_does_not_exist_is_a_mistake_and_near_names_are_told(clinic: Path) -> None:
    with pytest.raises(FilmError, match=r"Did you mean clinic\?"):
        find_given(["clinc"])


def test_an_archive_gives_its_films_without_being_unpacked(clinic: Path) -> None:
    with zipfile.ZipFile("films.zip", "w") as archive:
        for name in ("a/1.jpeg", "film", "letter.txt", "__MACOSX/._1.jpeg"):
            archive.writestr(name, (clinic / name).read_bytes() if (clinic / name).is_file() else b"")
    with opened(find_given(["films.zip"])) as films:
        found = {film.id: film.read() for film in films}
    assert found == {name: (clinic / name).read_bytes() for name in ("a/1.jpeg", "film")}


def test_an_archive_of_prepared_films_is_refused(clinic: Path) -> None:
    with zipfile.ZipFile("films.zip", "w") as archive:
        archive.write(clinic / "prepared.json", "films/prepared.json")
    with pytest.raises(FilmError, match=r"must lie in their folder.*Unpack it"):
        all_of("films.zip")


def test_a_list_names_films_line_by_line_and_each_counts_once(clinic: Path) -> None:
    lines = ["clinic/film\n", "\n", "clinic/gone.png\r\n", "clinic/film\n", "clinic/letter.txt"]
    films = all_of(LIST, listed=lines)
    assert [(film.id, film.trouble) for film in films] == [
        ("clinic/film", ""), ("clinic/gone.png", "can't be opened (No such file or directory)"),
        ("clinic/letter.txt", "")]
    with pytest.raises(OptionError, match="must come alone"):
        find_given([LIST, "clinic"])


@pytest.mark.parametrize("packed", [False, True])
def test_no_film_is_lost_to_another_that_claims_to_be_the_same_instance(
        packed: bool, dicom_film: Callable[..., bytes], tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    for name, level in (("IM1", 50), ("IM2", 200), ("IM3", 90)):
        uid = "1.2.3" if name != "IM3" else "1.2.4"
        (folder / name).write_bytes(dicom_film(np.full((40, 40), level, np.uint8), SOPInstanceUID=uid))
    if packed:
        with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
            for path in sorted(folder.iterdir()):
                archive.write(path, path.name)
    ids = ["1.2.3", "1.2.3 (2)", "1.2.4"]
    with opened(find_given([str(tmp_path / "export.zip" if packed else folder)])) as films:
        found = [(film.id, film.read()) for film in films]
    assert [name for name, _ in found] == ids
    assert len({content for _, content in found}) == 3
    assert ids_of(folder, folder) == ids


def test_what_cannot_be_opened_is_an_incoming_film_in_trouble(clinic: Path) -> None:
    (clinic / "loop.png").symlink_to("loop.png")
    (clinic / "b/up").symlink_to("..", target_is_directory=True)
    os.mkfifo(clinic / "pipe.png")
    troubles = {film.id: film.trouble for film in all_of("clinic") if film.trouble}
    assert troubles == {"loop.png": "can't be opened (Too many levels of symbolic links)",
                        "pipe.png": "not a regular file"}


def test_a_closed_folder_costs_none_of_the_others(clinic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listdir = os.listdir

    def closed(path: Path) -> list[str]:
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr("pneumo_tf.data.sources.os.listdir", closed)
    films = {film.id: film.trouble for film in all_of("clinic")}
    assert films["a/"] == "can't be opened (Permission denied)"
    assert "b/2.png" in films


def test_names_show_what_they_hold(clinic: Path, film_bytes: Callable[..., bytes]) -> None:
    names = ["two\nlines.png", "right\u202eleft.png", "Año.png", os.fsdecode(b"latin-\xf1.png")]
    for name in names:
        (clinic / "b" / name).write_bytes(film_bytes(90))
    assert set(ids_of("clinic/b")) == {"10.png", "2.png", "Año.png", r"two\nlines.png",
                                       r"right\u202eleft.png", r"latin-\xf1.png"}


def test_a_dicom_film_is_called_by_its_instance(clinic: Path, dicom_film: Callable[..., bytes]) -> None:
    pytest.importorskip("pydicom")
    grey = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    for number, name in enumerate(("GARCIA^MARIA.dcm", "IM000001", "copy.dcm")):
        uid = f"1.2.3.{min(number, 1)}"  # the copy is the same instance
        (clinic / "b" / name).write_bytes(dicom_film(grey, SOPInstanceUID=uid, StudyInstanceUID="1.2.3",
                                                     SeriesInstanceUID="1.2.3"))
    assert ids_of("clinic/b") == ["10.png", "2.png", "1.2.3.0", "1.2.3.1"]
