"""Films and their classes are read from the folders people have, and mistakes are told in one line."""

import json
import os
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from pneumo_tf.cohort import Cohort, Dropped, Radiograph, Step
from pneumo_tf.data.labels import load_cohort, read_folder
from pneumo_tf.data.listing import find_films
from pneumo_tf.errors import FilmError, LabelError, OptionError


def put(folder: Path, *names: str) -> Path:
    """Empty files: labels never open a film."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A prepared folder of three films with its manifest and the record of its preparation."""
    folder = put(tmp_path / "clasificacion", "NORMAL-1.jpeg", "PNEUMONIA-1.jpeg", "PNEUMONIA-2.jpeg")
    Cohort((
        Radiograph("NORMAL-1", "NORMAL", file="NORMAL-1.jpeg", patient="IM-0115", origin="train",
                   source="train/NORMAL/IM-0115-0001.jpeg", sha256="aa", facts={"width": "900", "mode": "L"}),
        Radiograph("PNEUMONIA-1", "PNEUMONIA", file="PNEUMONIA-1.jpeg", patient="bacteria-12",
                   subtype="bacteria", origin="test", source="test/PNEUMONIA/person12_bacteria_45.jpeg",
                   sha256="bb", facts={"width": "1200", "mode": "RGB"}),
        Radiograph("PNEUMONIA-2", "PNEUMONIA", file="PNEUMONIA-2.jpeg"),
    )).write_csv(folder / "manifest.csv")
    (folder / "prepared.json").write_text(json.dumps({
        "source": "archive.zip", "fingerprint": "f", "labels": ["NORMAL"], "options": {},
        "found": 5, "kept": 3,
        "dropped": [{"file": "x.jpeg", "reason": "unreadable"}],
        "steps": [{"stage": "found", "kept": 4, "dropped": [{"file": "x.jpeg", "reason": "unreadable"}]},
                  {"stage": "prepared", "kept": 3, "dropped": []}]}))
    return folder


class TestFindFilms:
    def test_every_image_extension_in_either_case_is_a_film(self, tmp_path: Path) -> None:
        names = ["a.jpeg", "b.jpg", "c.png", "d.bmp", "e.tif", "f.tiff", "g.JPG", "h.Png", "i.DCM"]
        put(tmp_path, *names, "notes.txt", "Thumbs.db", "film.nii")
        films, others = find_films(tmp_path)
        assert films == names
        assert others == (Dropped("film.nii", "image format that isn't read: export it as PNG"),
                          Dropped("notes.txt", "not an image file"),
                          Dropped("Thumbs.db", "system or hidden file"))

    def test_the_litter_of_archives_is_no_film(self, tmp_path: Path) -> None:
        put(tmp_path, "A/x.jpeg", "A/._x.jpeg", "__MACOSX/A/x.jpeg", ".hidden/x.jpeg", "A/.DS_Store")
        assert find_films(tmp_path)[0] == ["A/x.jpeg"]

    def test_linked_class_folders_are_entered(self, tmp_path: Path) -> None:
        put(tmp_path / "elsewhere", "x.jpeg")
        (tmp_path / "films").mkdir()
        (tmp_path / "films/NORMAL").symlink_to(tmp_path / "elsewhere")
        assert find_films(tmp_path / "films")[0] == ["NORMAL/x.jpeg"]

    def test_a_folder_named_like_an_image_is_no_film(self, tmp_path: Path) -> None:
        put(tmp_path, "scan.png/x.jpeg")
        assert find_films(tmp_path)[0] == ["scan.png/x.jpeg"]

    def test_numbers_are_ordered_as_numbers(self, tmp_path: Path) -> None:
        put(tmp_path, "A-10.png", "A-2.png", "A-1.png", "B-1.png")
        assert [Path(film).stem for film in find_films(tmp_path)[0]] == ["A-1", "A-2", "A-10", "B-1"]

    def test_what_would_be_waited_for_for_ever_is_refused(self, tmp_path: Path) -> None:
        os.mkfifo(put(tmp_path, "a.png") / "pipe.png")
        with pytest.raises(FilmError, match=r"pipe\.png \(not a regular file\)"):
            find_films(tmp_path)

    def test_an_empty_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FilmError, match=r"at least one image.*prepare_pict\.py"):
            find_films(put(tmp_path, "notes.txt"))

    def test_an_archive_is_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FilmError, match=r"archive\.zip, which is no folder.*prepare_pict\.py"):
            find_films(put(tmp_path, "archive.zip") / "archive.zip")


class TestClassFolders:
    def test_the_folder_is_the_class_and_the_name_tells_the_patient(self, tmp_path: Path) -> None:
        put(tmp_path, "normal/IM-0115-0001.jpeg", "pneumonia/person12_bacteria_45.jpeg")
        assert read_folder(tmp_path).radiographs == (
            Radiograph("IM-0115-0001", "normal", file="normal/IM-0115-0001.jpeg", patient="IM-0115"),
            Radiograph("person12_bacteria_45", "pneumonia", file="pneumonia/person12_bacteria_45.jpeg",
                       patient="bacteria-12", subtype="bacteria"))

    def test_the_tree_of_the_public_archive_tells_the_origin(self, tmp_path: Path) -> None:
        put(tmp_path, "chest_xray/train/NORMAL/a.jpeg", "chest_xray/test/NORMAL/b.jpeg",
            "chest_xray/val/PNEUMONIA/c.jpeg")
        told = {film.id: (film.label, film.origin) for film in read_folder(tmp_path)}
        assert told == {"a": ("NORMAL", "train"), "b": ("NORMAL", "test"), "c": ("PNEUMONIA", "val")}

    def test_stems_that_collide_become_paths_and_others_stay_short(self, tmp_path: Path) -> None:
        put(tmp_path, "A/1.png", "B/1.png", "B/2.png", "A/3.png", "A/3.jpeg")
        assert read_folder(tmp_path).ids == ["A/1", "A/3.jpeg", "A/3.png", "B/1", "2"]

    def test_films_beside_the_class_folders_are_refused(self, tmp_path: Path) -> None:
        put(tmp_path, "NORMAL/a.jpeg", "NORMAL/b.jpeg", "stray.jpeg")
        with pytest.raises(LabelError, match=r"1 of 3 outside, e\.g\. stray\.jpeg"):
            read_folder(tmp_path)

    def test_train_and_test_are_no_classes(self, tmp_path: Path) -> None:
        put(tmp_path, "train/a.jpeg", "test/b.jpeg")
        with pytest.raises(LabelError, match=r"2 of 2 untold"):
            read_folder(tmp_path)

    def test_classes_that_differ_only_in_case_are_refused(self, tmp_path: Path) -> None:
        put(tmp_path, "train/NORMAL/a.jpeg", "test/Normal/b.jpeg")
        with pytest.raises(LabelError, match="'Normal' and 'NORMAL'"):
            read_folder(tmp_path)


    @pytest.mark.parametrize("other", [unicodedata.normalize("NFD", "NEUMONÍA"), "NEUMONÍA\u200b"])
    def test_one_class_in_two_unicode_forms_is_one(self, tmp_path: Path, other: str) -> None:
        put(tmp_path, "NORMAL/a.png", "NEUMONÍA/b.png", f"{other}/c.png")
        cohort = read_folder(tmp_path)
        assert cohort.classes == ["NEUMONÍA", "NORMAL"]
        assert all((tmp_path / film.file).is_file() for film in cohort)

    def test_what_is_not_used_is_in_the_history_with_its_reason(self, tmp_path: Path) -> None:
        put(tmp_path, "NORMAL/a.png", "ILL/b.webp", "ILL/c.jp2", "ILL/d.nii", "ILL/e.heic", "ILL/notes.txt")
        step, = read_folder(tmp_path).history
        assert (step.stage, step.kept) == ("found in the folder", 3)
        assert {dropped.file: dropped.reason for dropped in step.dropped} == {
            "ILL/d.nii": "image format that isn't read: export it as PNG",
            "ILL/e.heic": "image format that isn't read: export it as PNG",
            "ILL/notes.txt": "not an image file"}
        assert step.lines()[0] == "found in the folder: 3"
        assert "  dropped 1: not an image file, e.g. ILL/notes.txt" in step.lines()


class TestPlainFolder:
    def test_the_class_stands_before_the_first_hyphen(self, tmp_path: Path) -> None:
        put(tmp_path, "NORMAL-1.jpeg", "PNEUMONIA-2-b.jpeg")
        cohort = read_folder(tmp_path)
        assert list(zip(cohort.ids, cohort.labels, strict=True)) == [
            ("NORMAL-1", "NORMAL"), ("PNEUMONIA-2-b", "PNEUMONIA")]
        assert set(cohort.patients) == {""}

    @pytest.mark.parametrize("name", ["IM-0115-0001.jpeg", "NORMAL2-IM-0117-0001.jpeg",
                                      "person12_bacteria_45.jpeg"])
    def test_original_names_tell_no_class(self, tmp_path: Path, name: str) -> None:
        put(tmp_path, "NORMAL-1.jpeg", name)
        with pytest.raises(LabelError, match=rf"1 of 2 untold, e\.g\. {re.escape(name)}.*one folder"):
            read_folder(tmp_path)

    @pytest.mark.parametrize("name", ["film.jpeg", "-1.jpeg"])
    def test_a_name_without_class_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(LabelError, match="1 of 1 untold"):
            read_folder(put(tmp_path, name))


class TestPreparedFolder:
    def test_everything_the_manifest_knows_is_kept(self, prepared: Path) -> None:
        cohort = read_folder(prepared)
        assert cohort.radiographs == Cohort.read_csv(prepared / "manifest.csv").radiographs
        assert cohort.patients == ["IM-0115", "bacteria-12", ""]

    def test_the_history_of_the_preparation_is_restored(self, prepared: Path) -> None:
        assert read_folder(prepared).history == (
            Step("found", 4, (Dropped("x.jpeg", "unreadable"),)), Step("prepared", 3))

    def test_a_film_the_manifest_does_not_know_is_refused(self, prepared: Path) -> None:
        with pytest.raises(LabelError, match=r"with 2 unknown, e\.g\. NORMAL-7\.jpeg"):
            read_folder(put(prepared, "NORMAL-7.jpeg", "NORMAL-8.jpeg"))

    def test_a_film_that_is_gone_is_named(self, prepared: Path) -> None:
        (prepared / "PNEUMONIA-1.jpeg").unlink()
        with pytest.raises(FilmError, match=r"without 1 of 3, e\.g\. PNEUMONIA-1\.jpeg"):
            read_folder(prepared)

    @pytest.mark.parametrize("text", ["{", "[]", '{"steps": [{"stage": "x"}]}', '{"steps": 3}'])
    def test_a_broken_record_of_the_preparation_is_refused(self, prepared: Path, text: str) -> None:
        (prepared / "prepared.json").write_text(text)
        with pytest.raises(FilmError, match=r"prepared\.json.*prepare the films again"):
            read_folder(prepared)


class TestLoadCohort:
    def test_a_table_typed_elsewhere_finds_films_whose_names_a_mac_wrote(self, tmp_path: Path) -> None:
        mac = unicodedata.normalize("NFD", "niño")
        put(tmp_path / "films", f"{mac}.png", "b.png")
        for text in ("id,clase\nniño,N\nb,P\n", "id,clase,file\nx,N,niño.png\nb,P,b.png\n"):
            cohort = load_cohort(table(tmp_path / "labels.csv", text), tmp_path / "films", extension=None)
            assert cohort.radiographs[1].file == f"{mac}.png"

    def test_films_of_another_extension_are_said_to_be_left_out(self, tmp_path: Path) -> None:
        put(tmp_path / "films", "a.png", "b.png", "c.tif", "notes.txt")
        labels = table(tmp_path / "labels.csv", "id,clase\na,N\nb,P\n")
        step, = load_cohort(labels, tmp_path / "films", extension=".png").history
        assert step.reasons() == {"not an image file": 1, "another extension than --ext": 1}

    def test_spellings_of_a_patient_become_one_key(self, tmp_path: Path) -> None:
        put(tmp_path / "films", "a.png", "b.png")
        labels = table(tmp_path / "labels.csv", "id,clase,patient\na,N,7\nb,P,0007\n")
        assert load_cohort(labels, tmp_path / "films", extension=None).patients == ["0007", "0007"]

    def test_a_column_of_patients_under_another_name_is_not_passed_over(self, tmp_path: Path) -> None:
        put(tmp_path / "films", "a.png", "b.png")
        labels = table(tmp_path / "labels.csv", "id,clase,Patient ID\na,N,7\nb,P,7.0\n")
        with pytest.raises(LabelError, match="'Patient ID'"):
            load_cohort(labels, tmp_path / "films", extension=None)
        told = load_cohort(labels, tmp_path / "films", extension=None, patients="Patient ID")
        assert told.patients == ["7", "7"]
        assert load_cohort(labels, tmp_path / "films", extension=None, patients="").patients == ["", ""]

    def test_what_get_labels_wrote_comes_back(self, prepared: Path, tmp_path: Path) -> None:
        written = read_folder(prepared)
        written.write_csv(tmp_path / "labels.csv")
        assert load_cohort(tmp_path / "labels.csv", prepared, extension=".jpeg") == written

    def test_ids_that_are_paths_come_back(self, tmp_path: Path) -> None:
        written = read_folder(put(tmp_path / "films", "A/1.png", "B/1.png", "A/3.png", "A/3.jpeg"))
        written.write_csv(tmp_path / "labels.csv")
        assert load_cohort(tmp_path / "labels.csv", tmp_path / "films", extension=None) == written

    def test_two_columns_on_a_prepared_folder_keep_patients(self, prepared: Path, tmp_path: Path) -> None:
        labels = table(tmp_path / "l.csv",
                       "id,clase\nPNEUMONIA-1,PNEUMONIA\nNORMAL-1,NORMAL\nPNEUMONIA-2,PNEUMONIA\n")
        cohort = load_cohort(labels, prepared, extension="jpeg")
        assert cohort.patients == ["IM-0115", "bacteria-12", ""]
        assert cohort.radiographs[0] == read_folder(prepared).radiographs[0]
        assert len(cohort.history) == 2

    def test_a_film_relabelled_by_hand_loses_its_subtype_only(self, prepared: Path, tmp_path: Path) -> None:
        labels = table(tmp_path / "l.csv",
                       "id,clase\nNORMAL-1,NORMAL\nPNEUMONIA-1,NORMAL\nPNEUMONIA-2,PNEUMONIA\n")
        film = load_cohort(labels, prepared, extension=None).radiographs[1]
        assert (film.label, film.patient, film.subtype) == ("NORMAL", "bacteria-12", "")

    def test_two_columns_alone_tell_patients_by_their_ids(self, tmp_path: Path) -> None:
        folder = put(tmp_path / "films", "person12_virus_45.JPEG", "other.jpeg")
        labels = table(tmp_path / "l.csv", "id;clase\nperson12_virus_45;PNEUMONIA\nother;NORMAL\n")
        cohort = load_cohort(labels, folder, extension=".jpeg")
        assert [(f.file, f.patient, f.subtype) for f in cohort] == [
            ("other.jpeg", "", ""), ("person12_virus_45.JPEG", "virus-12", "virus")]

    def test_films_come_in_the_order_of_their_files_whatever_that_of_the_rows(self, tmp_path: Path) -> None:
        folder, rows = put(tmp_path / "films", "a2.png", "a10.png", "B1.png"), ["a2,A", "a10,A", "B1,B"]
        for turned in (rows, rows[::-1]):
            labels = table(tmp_path / "l.csv", "\n".join(["id,clase", *turned]))
            assert load_cohort(labels, folder, extension=None).ids == ["a2", "a10", "B1"]

    def test_ids_may_carry_the_extension_and_films_lie_in_class_folders(self, tmp_path: Path) -> None:
        folder = put(tmp_path / "films", "A/x.png", "B/y.png")
        labels = table(tmp_path / "l.csv", "id,clase\nx.png,A\ny,B\n")
        assert [film.file for film in load_cohort(labels, folder, extension=None)] == ["A/x.png", "B/y.png"]

    def test_an_absolute_file_becomes_relative_to_the_folder(self, tmp_path: Path) -> None:
        folder = put(tmp_path / "films", "x.png")
        labels = table(tmp_path / "l.csv", f"id,clase,file\n1,A,{folder / 'x.png'}\n")
        assert [film.file for film in load_cohort(labels, folder, extension=None)] == ["x.png"]

    def test_other_extensions_are_left_alone_when_one_is_named(self, tmp_path: Path) -> None:
        folder = put(tmp_path / "films", "x.png", "x.jpeg", "z.jpeg")
        labels = table(tmp_path / "l.csv", "id,clase\nx,A\n")
        assert [film.file for film in load_cohort(labels, folder, extension="PNG")] == ["x.png"]

    @pytest.mark.parametrize("columns", ["id,clase\n{0},A\n{1},A\n{2},A\n",
                                         "id,clase,file\n{0},A,{0}.png\n{1},A,{1}.png\n{2},A,{2}.png\n"])
    def test_labels_without_films_are_counted_and_named(self, tmp_path: Path, columns: str) -> None:
        folder = put(tmp_path / "films", "here.png")
        labels = table(tmp_path / "l.csv", columns.format("here", "gone", "lost"))
        with pytest.raises(LabelError, match=r"without 2 of the 3 films, e\.g\. gone.*get_labels\.py"):
            load_cohort(labels, folder, extension=".png")

    def test_films_without_labels_are_counted_and_named(self, tmp_path: Path) -> None:
        folder = put(tmp_path / "films", "a.png", "b.png", "c.png")
        labels = table(tmp_path / "l.csv", "id,clase\na,A\n")
        with pytest.raises(LabelError, match=r"with 2 not in the labels, e\.g\. b\.png.*delete these"):
            load_cohort(labels, folder, extension=None)

    def test_an_id_of_two_films_is_refused(self, tmp_path: Path) -> None:
        folder = put(tmp_path / "films", "A/x.png", "B/x.png")
        labels = table(tmp_path / "l.csv", "id,clase\nx,A\n")
        with pytest.raises(LabelError, match=r"'x' in .* which has A/x\.png and B/x\.png"):
            load_cohort(labels, folder, extension=None)

    def test_an_extension_that_is_no_image_is_refused(self, prepared: Path, tmp_path: Path) -> None:
        labels = table(tmp_path / "l.csv", "id,clase\nNORMAL-1,NORMAL\n")
        with pytest.raises(OptionError, match=r"Received: docx\. Use one of .*\.jpeg"):
            load_cohort(labels, prepared, extension="docx")


def test_one_patient_keeps_its_films_together_through_renaming(prepared: Path) -> None:
    put(prepared, "PNEUMONIA-3.jpeg")
    first = Cohort.read_csv(prepared / "manifest.csv")
    again = Radiograph("PNEUMONIA-3", "PNEUMONIA", file="PNEUMONIA-3.jpeg", patient="bacteria-12")
    Cohort((*first.radiographs, again)).write_csv(prepared / "manifest.csv")
    assert Counter(read_folder(prepared).patients)["bacteria-12"] == 2
