"""Answers as DICOM objects: valid by three validators, and what a reader finds in them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom import Dataset

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.dicom import read_header
from pneumo_tf.data.images import read_film
from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.dicom_out import captioned, inherited, sentences, write_capture, write_report
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import RunFolder

CALLED = Answer("1.2.3", call="PNEUMONIA", probability=0.8732, score=0.7454, threshold=0.5436)
ANSWERS = {
    "called ill": CALLED,
    "refused": Answer("1.2.3", refusal="no_lungs", reason="No se encontraron pulmones: ¿es una pierna?")}
# As hospitals write them: an age without unit, a date with hyphens, a sex in words, a number too long.
SOURCE = {"PatientID": "HC-7788", "PatientName": "Muñoz^Íñigo", "PatientAge": "62",
          "PatientBirthDate": "1964-05-31", "PatientSex": "male", "AccessionNumber": "12345678901234567890",
          "StudyDate": "20260102", "StudyTime": "about noon", "SpecificCharacterSet": "ISO_IR 192",
          "ReferringPhysicianName": "Gómez^Ana", "StudyDescription": "Tórax PA", "Manufacturer": "Rayos SA"}
FILM = np.tile(np.arange(256, dtype=np.uint8), (200, 1))


def run_of(*classes: str) -> RunFolder:
    facts = {"name": "20261125-sturdy", "classes": list(classes), "positive": classes[-1],
             "versions": {"pneumo_tf": "0.1.0"}}
    return RunFolder(Path(), facts, {}, pd.DataFrame(), Cohort(()), pd.DataFrame())


RUN = run_of("NORMAL", "PNEUMONIA")
LONG = "una clase con un nombre más largo que los sesenta y cuatro signos que un código puede tener"
REPORTS = {  # pixelmed takes five seconds for each
    "called ill": (CALLED, RUN, "en"),
    "refused": (ANSWERS["refused"], RUN, "es"),
    "of a class with a long name, with a caution": (replace(CALLED, call=LONG, reason="Sus vistas difieren"),
                                                    run_of("benigno", LONG), "es")}


@pytest.fixture(scope="module")
def source(dicom_film: Callable[..., bytes]) -> Dataset:
    return read_header(BytesIO(dicom_film(FILM, **SOURCE)))


def saved(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def picture() -> np.ndarray:
    return np.repeat(FILM[..., None], 3, axis=2)


def measured(report: Dataset) -> dict[str, float]:
    """What the report measures, by its name."""
    found: dict[str, float] = {}

    def collect(item: Dataset, _: Any) -> None:
        if item.get("ValueType") == "NUM":
            value = item.MeasuredValueSequence[0].NumericValue
            found[item.ConceptNameCodeSequence[0].CodeMeaning] = float(value)

    report.walk(collect)
    return found


@pytest.mark.parametrize(("answer", "run", "lang"), REPORTS.values(), ids=REPORTS)
def test_a_report_is_valid_by_three_validators(answer: Answer, run: RunFolder, lang: str, source: Dataset,
                                               tmp_path: Path, program: Callable[..., str]) -> None:
    path = saved(write_report(answer, source, run, language(lang)), tmp_path / "sr.dcm")
    said = {each: program(each, path) for each in ("dciodvfy", "dsrdump", "DicomSRValidator")}
    assert [line for line in said["dciodvfy"].splitlines() if line.startswith("Error")] == []
    assert "Comprehensive3DSR" in said["dciodvfy"]
    assert [line for line in said["dsrdump"].splitlines() if line.startswith("E:")] == []
    assert "Imaging Measurement Report" in said["dsrdump"]
    assert "Error" not in said["DicomSRValidator"]
    assert "Found Root Template TID_1500" in said["DicomSRValidator"]
    assert "Root Template Validation Complete" in said["DicomSRValidator"]


def test_the_validators_see_what_is_wrong(source: Dataset, tmp_path: Path,
                                          program: Callable[..., str]) -> None:
    report = write_report(CALLED, source, RUN, language("en"))
    del report.StudyInstanceUID
    report.ContentSequence[-1].ContentSequence[0].ContentSequence[0].RelationshipType = "INFERRED FROM"
    path = saved(report, tmp_path / "sr.dcm")
    assert "Error" in program("dciodvfy", path)
    assert "Error" in program("DicomSRValidator", path)


def test_of_several_classes_the_called_one_is_reported(source: Dataset) -> None:
    answer = Answer("x", call="viral", probability=0.6, score=0.5)
    report = write_report(answer, source, run_of("bacterial", "normal", "viral"), language("en"))
    assert measured(report) == {"Probability": 0.6, "Score before calibration": 0.5}
    assert "Viral pneumonia" in str(report)


def test_the_call_is_shown_by_a_browser(source: Dataset, tmp_path: Path, program: Callable[..., str]) -> None:
    path = saved(write_report(CALLED, source, RUN, language("es")), tmp_path / "sr.dcm")
    page = program("dsr2html", path)
    for word in ("Pneumonia", "0.8732", "0.5436", "PNEUMONIA: la probabilidad de PNEUMONIA es 87,3",
                 "Lectura automática para investigación, no para diagnóstico", "20261125-sturdy"):
        assert word in page, word


class TestReport:
    def test_the_call_is_measured_with_its_threshold(self, source: Dataset) -> None:
        report = write_report(CALLED, source, RUN, language("en"))
        assert measured(report) == {"Probability": 0.8732, "Score before calibration": 0.7454,
                                    "Threshold Value": 0.5436}

    def test_a_refusal_has_no_probability_but_its_reason(self, source: Dataset) -> None:
        report = write_report(ANSWERS["refused"], source, RUN, language("es"))
        assert measured(report) == {"Film refused, not answered": 1}
        group = report.ContentSequence[-1].ContentSequence[0]
        texts = [item.get("TextValue") for item in group.ContentSequence[2].ContentSequence]
        assert "Sin respuesta: No se encontraron pulmones: ¿es una pierna?" in texts

    def test_it_belongs_to_the_film_s_study_and_names_it_as_evidence(self, source: Dataset) -> None:
        report = write_report(CALLED, source, RUN, language("en"))
        evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
        assert report.StudyInstanceUID == evidence.StudyInstanceUID == source.StudyInstanceUID
        assert evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == \
            source.SOPInstanceUID

    def test_it_is_marked_as_no_diagnosis(self, source: Dataset) -> None:
        report = write_report(CALLED, source, RUN, language("en"))
        assert (report.ContentQualification, report.VerificationFlag) == ("RESEARCH", "UNVERIFIED")
        assert report.SeriesDescription == "pneumo_tf, not for diagnosis"

    def test_the_run_is_contributing_equipment(self, source: Dataset) -> None:
        makers = {item.Manufacturer for item in
                  write_report(CALLED, source, RUN, language("en")).ContributingEquipmentSequence}
        assert {"pneumo_tf", "Rayos SA"} <= makers

    def test_what_is_written_again_has_the_same_uids_and_another_run_or_language_others(
            self, source: Dataset) -> None:
        def uid(run: RunFolder, lang: str) -> str:
            return write_report(CALLED, source, run, language(lang)).SOPInstanceUID

        other = replace(RUN, facts=RUN.facts | {"name": "20261126-fast"})
        assert uid(RUN, "en") == uid(RUN, "en")
        assert len({uid(RUN, "en"), uid(RUN, "es"), uid(other, "en")}) == 3

    def test_the_source_stays_as_it_is(self, source: Dataset) -> None:
        before = source.to_json()
        write_report(CALLED, source, RUN, language("en"))
        assert source.to_json() == before


class TestInherited:
    def test_what_can_be_put_right_is_and_the_rest_is_left_out(self, source: Dataset) -> None:
        film = inherited(source)
        assert (film.PatientAge, film.PatientBirthDate, film.PatientSex) == ("062Y", "19640531", "M")
        assert (film.AccessionNumber, film.StudyTime, film.PatientName) == ("", "", "Muñoz^Íñigo")

    @pytest.mark.parametrize(("age", "valid"), [("62", "062Y"), ("3m", "003M"), ("062Y", "062Y"),
                                                ("about 60", None), ("1234", None)])
    def test_ages(self, age: str, valid: str | None, dicom_film: Callable[..., bytes]) -> None:
        film = inherited(read_header(BytesIO(dicom_film(FILM, PatientAge=age))))
        assert film.get("PatientAge") == valid

    def test_a_film_of_no_study_has_no_report(self, dicom_film: Callable[..., bytes]) -> None:
        header = read_header(BytesIO(dicom_film(FILM, StudyInstanceUID=None)))
        with pytest.raises(FilmError, match="without a valid StudyInstanceUID"):
            write_report(CALLED, header, RUN, language("en"))


@pytest.mark.parametrize("lang", ["en", "es"])
@pytest.mark.parametrize("name", ["called ill", "refused"])
def test_a_capture_is_valid(name: str, lang: str, source: Dataset, tmp_path: Path,
                            program: Callable[..., str]) -> None:
    capture = write_capture(ANSWERS[name], picture(), source, RUN, language(lang))
    said = program("dciodvfy", saved(capture, tmp_path / "sc.dcm"))
    assert "SCImage" in said
    assert [line for line in said.splitlines() if line.startswith("Error")] == []


def test_a_capture_shows_film_and_words_and_is_no_film_itself(source: Dataset, tmp_path: Path) -> None:
    capture = write_capture(CALLED, picture(), source, RUN, language("en"))
    path = saved(capture, tmp_path / "sc.dcm")
    shown = pydicom.dcmread(path).pixel_array
    drawn = np.asarray(captioned(picture(), sentences(CALLED, RUN, language("en"))))
    assert (shown == drawn).all()
    assert (shown[-60:] > 200).any()  # the words, below the film
    with pytest.raises(FilmError, match="DICOM of another kind"):
        read_film(path.read_bytes())


def test_what_was_lossy_stays_lossy(dicom_film: Callable[..., bytes]) -> None:
    header = read_header(BytesIO(dicom_film(FILM, LossyImageCompression="01")))
    assert write_capture(CALLED, picture(), header, RUN, language("en")).LossyImageCompression == "01"


def test_accents_are_drawn_and_long_reasons_wrapped() -> None:
    plain, accented = (captioned(picture(), [line]) for line in ("Neumonia", "Neumonía"))
    assert plain.tobytes() != accented.tobytes()
    assert captioned(picture(), ["word " * 40]).height > plain.height
    assert len({captioned(picture(), [sign]).tobytes() for sign in "áéíóúüñ¿¡"}) == 9  # no boxes


@pytest.mark.parametrize("size", [(40, 30), (30, 2000), (3000, 2000)])
def test_pictures_of_any_size_can_be_looked_at(size: tuple[int, int]) -> None:
    drawn = captioned(np.zeros((*size, 3), np.uint8), ["Not for diagnosis"])
    assert 512 <= drawn.width <= 1024
    assert drawn.height <= 1200


def test_without_the_library_it_is_said_how_to_get_it(source: Dataset,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(OptionError, match=r"pip install 'pneumo_tf\[dicom\]'"):
        write_report(CALLED, source, RUN, language("en"))
