"""Copies, contradictions and shortages are found before anything is learnt."""

import hashlib
from pathlib import Path

import pytest

from pneumo_tf.cohort import Cohort, Radiograph, Step
from pneumo_tf.data.audit import audit, check_two_classes
from pneumo_tf.errors import FilmError, LabelError


def films(folder: Path, rows: list[tuple[str, str, str, str]]) -> Cohort:
    """Rows of (id, label, patient, content of the file)."""
    folder.mkdir(exist_ok=True)
    for name, _, _, content in rows:
        (folder / f"{name}.png").write_text(content)
    return Cohort(tuple(Radiograph(name, label, file=f"{name}.png", patient=patient)
                        for name, label, patient, _ in rows))


def three_each(*labels: str) -> list[tuple[str, str, str, str]]:
    return [(f"{label}{n}", label, f"patient-{label}-{n}", f"pixels of {label}{n}")
            for label in labels for n in range(3)]


def test_sound_films_pass_unchanged(tmp_path: Path) -> None:
    cohort = films(tmp_path, three_each("A", "B"))
    found = audit(cohort, tmp_path)
    assert found.with_column("sha256", [""] * 6) == cohort.with_step(Step("unique after preparation", 6))


def test_films_of_plain_folders_carry_the_hash_of_their_file_into_their_table(tmp_path: Path) -> None:
    found = audit(films(tmp_path, three_each("A", "B")), tmp_path)
    hashes = [hashlib.sha256((tmp_path / film.file).read_bytes()).hexdigest() for film in found]
    assert [film.file_sha256 for film in found] == hashes
    assert list(found.to_frame()["sha256"]) == hashes


def test_the_table_of_prepared_films_keeps_the_hash_of_their_originals_or_none(tmp_path: Path) -> None:
    cohort = films(tmp_path, three_each("A", "B"))
    known = cohort.with_column("source", cohort.ids).with_column("sha256", ["original", *[""] * 5])
    found = audit(known, tmp_path)
    assert found.to_frame().equals(known.to_frame())
    assert all(film.file_sha256 for film in found)


def test_later_copies_of_a_class_are_dropped_and_noted(tmp_path: Path) -> None:
    copies = [("A8", "A", "other", "pixels of A1"), ("A9", "A", "", "pixels of A1")]
    found = audit(films(tmp_path, three_each("A", "B") + copies), tmp_path)
    assert found.ids == ["A0", "A1", "A2", "B0", "B1", "B2"]
    assert [film.file for film in found.history[-1].dropped] == ["A8.png", "A9.png"]
    assert found.history[-1].reasons() == {"copy of another film": 2}


def test_one_film_under_two_labels_stops_everything(tmp_path: Path) -> None:
    cohort = films(tmp_path, [*three_each("A", "B"), ("B9", "B", "", "pixels of A1")])
    with pytest.raises(FilmError, match=r"one label.*A1\.png as A and in B9\.png as B"):
        audit(cohort, tmp_path)


def test_films_without_patient_stand_for_one_each(tmp_path: Path) -> None:
    rows = [(name, label, "", pixels) for name, label, _, pixels in three_each("A", "B")]
    assert len(audit(films(tmp_path, rows), tmp_path)) == 6


def test_one_class_is_not_enough_and_no_film_is_read_to_see_it(tmp_path: Path) -> None:
    cohort = Cohort(tuple(Radiograph(f"{n}", "A", file="missing.png") for n in range(4)))
    with pytest.raises(LabelError, match=r"at least two classes\. Received: 4 films, all of class A\."):
        audit(cohort, tmp_path / "no such folder")
    with pytest.raises(LabelError, match="at least two classes"):
        check_two_classes(cohort)


def test_two_patients_are_too_few_for_three_splits(tmp_path: Path) -> None:
    rows = [*three_each("A"), *three_each("B")[:2], ("B7", "B", "patient-B-1", "another film of the second")]
    with pytest.raises(LabelError, match="class B with 2 of 3 patients"):
        audit(films(tmp_path, rows), tmp_path)


def test_patients_are_counted_again_after_copies_are_dropped(tmp_path: Path) -> None:
    rows = [*three_each("A"), *three_each("B")[:2], ("B7", "B", "third", "pixels of B0")]
    with pytest.raises(LabelError, match="class B with 2 of 3 patients"):
        audit(films(tmp_path, rows), tmp_path)


def test_a_film_that_is_gone_is_named(tmp_path: Path) -> None:
    cohort = films(tmp_path, three_each("A", "B"))
    (tmp_path / "B1.png").unlink()
    with pytest.raises(FilmError, match=r"B1\.png \(No such file or directory\)"):
        audit(cohort, tmp_path)
