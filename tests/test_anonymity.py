"""A hospital's folder of DICOM films goes through every command, and nobody's name comes out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pneumo_tf import places
from pneumo_tf.cli import (
    binary_class,
    evaluate_model,
    explain_pict,
    get_labels,
    predict_pict,
    prepare_pict,
    triage_pict,
)
from pneumo_tf.data.labels import load_cohort
from pneumo_tf.data.preparation.record import read_prepared
from pneumo_tf.runs.folder import read_run
from pneumo_tf.studies.originals import find_originals

FAST = ("--recipe", "fast", "--backbone", "efficientnet_lite0", "--weights", "none", "--image-size", "32")
# The first letters of every personal attribute; the patient's number follows.
PERSONAL = {"PatientName": "Zubizarreta^Eufrosina", "PatientID": "HC7788", "OtherPatientIDs": "DNI5544",
            "PatientBirthDate": "1931", "PatientBirthName": "Quisquilla", "PatientAddress": "Bacalao",
            "PatientTelephoneNumbers": "+34915557", "PatientMotherBirthName": "Gorrionera",
            "OtherPatientNames": "Tarabilla", "PatientComments": "Cojera", "MilitaryRank": "Alferez",
            "MedicalRecordLocator": "Anaquel", "AccessionNumber": "ACC3322", "StudyID": "EST9911",
            "StudyDescription": "Motivo", "ReferringPhysicianName": "Matasanos", "OperatorsName": "Pulgarin",
            "PerformingPhysicianName": "Galeno", "InstitutionName": "Hospicio", "StationName": "SALA77",
            "RequestingPhysician": "Hipocras", "InsurancePlanIdentification": "POL6655"}
CLASSES = ("NORMAL", "PNEUMONIA")


def person(number: int) -> dict[str, str]:
    return {name: f"{value}{1000 + number}" for name, value in PERSONAL.items()}


@pytest.fixture(scope="module")
def export(phantom_films: Path, dicom_film: Callable[..., bytes],
           tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films each of 9 made-up patients of either class, in folders that are called after them."""
    place = tmp_path_factory.mktemp("hospital") / "export"
    films = [path for label in CLASSES for path in sorted(phantom_films.glob(f"*/{label}/*"))[:18]]
    for number, path in enumerate(films, start=1):
        whose = person(number // 2)
        folder = place / path.parent.name / f"{PERSONAL['PatientName']}_{whose['PatientBirthDate']}" / "ST000"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.asarray(Image.open(path).convert("L"))
        (folder / f"IM{number:06}").write_bytes(dicom_film(
            pixels, StudyInstanceUID=f"1.2.3.{number // 2}", SOPInstanceUID=f"1.2.3.4.{number}", **whose))
    whole = (folder / f"IM{number:06}").read_bytes()
    (folder / "IM_Zubizarreta_cut").write_bytes(whole[:-5000])
    (folder / "IM_Zubizarreta_damaged").write_bytes(whole[:200])
    (folder / "IM_Zubizarreta_colour.dcm").write_bytes(whole.replace(b"MONOCHROME2 ", b"RGB         "))
    (folder / "Zubizarreta.xml").write_bytes(b"<xml>")
    (place / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    return place


@pytest.fixture(scope="module")
def project(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the commands leave of that export, with `said.txt`, all that they said; a person stands in it.

    The films that are evaluated and explained are the hospital's as they came.
    """
    root, said = tmp_path_factory.mktemp("project"), StringIO()
    films, labels = root.parent / "elsewhere", root / "all.csv"
    for path in export.rglob("IM0*"):
        (films / path.relative_to(export)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, films / path.relative_to(export))
    rows = [f"1.2.3.4.{number},{CLASSES[number > 18]}\n" for number in range(1, 37)]
    labels.write_text("id,clase\n" + "".join(rows))
    film = next(films.rglob("IM000001"))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(root)
        patch.setattr(places, "project_root", lambda: root)
        assert prepare_pict.main(["--source", str(export), "--workers", "1"]) == 0
        assert get_labels.main([]) == 0
        assert binary_class.main(["-e", "2", "-p", "clasificacion", *FAST]) == 0
        assert evaluate_model.main(["-p", str(films), "-l", str(labels), "--allow-known"]) == 0
        assert explain_pict.main([str(film), "--methods", "gradcam"]) == 0
        assert predict_pict.main([str(export), "-o", "answers.csv", "--explain"]) == 1
        assert predict_pict.main([str(film)]) in (0, 1)
        assert triage_pict.main([str(export), "-o", "worklist", "--explain", "3"]) == 0
        (root / "said.txt").write_text(said.getvalue())
        yield root


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        yield str(path.relative_to(folder)), path.read_bytes() if path.is_file() else b""


def assert_nobody_is_named(folder: Path, said: str = "") -> None:
    words = [part.encode() for value in PERSONAL.values() for part in re.split(r"\^", value) if len(part) > 4]
    words += [person(number)[name].encode() for number in range(1, 19)
              for name in ("PatientBirthDate", "PatientID")]
    for name, content in [("the terminal", said.encode()), *everything(folder)]:
        for word in words:
            assert word not in name.encode(), (word, name)
            assert word not in content, (word, name)


def test_every_command_keeps_the_patients_to_itself(project: Path) -> None:
    assert (project / "model/report.html").is_file()
    assert list((project / "model/runs").glob("*/external/elsewhere/report.html"))
    assert list(project.rglob("1.2.3.4.*/panel.png"))
    assert len((project / "said.txt").read_text()) > 1000
    tables = [pd.read_csv(project / name) for name in ("answers.csv", "worklist/worklist.csv")]
    assert len(tables[0]) == len(tables[1]) > 36
    assert_nobody_is_named(project)


def test_the_records_call_films_by_their_instances(project: Path) -> None:
    manifest = pd.read_csv(project / "clasificacion/manifest.csv")
    assert set(manifest["source"]) == {f"1.2.3.4.{number}" for number in range(1, 37)}
    assert set(manifest["format"]) == {"DICOM"}


def test_what_was_left_out_is_told_without_its_path(project: Path) -> None:
    prepared = read_prepared(project / "clasificacion")
    assert prepared is not None
    told = [(film.file, film.reason) for step in prepared.steps for film in step.dropped]
    assert ("a file beside DICOM films", "not an image file") in told
    assert ("a file beside DICOM films", "DICOM directory, whose films are files of their own") in told
    assert ("1.2.3.4.36", "truncated or damaged image") in told
    assert ("1.2.3.4.36", "DICOM in colour, where a film is grey") in told
    assert any(re.fullmatch(r"sha256-[0-9a-f]{16}", file) for file, _ in told)


def test_films_of_one_patient_share_a_key_that_tells_nothing(project: Path) -> None:
    manifest = pd.read_csv(project / "clasificacion/manifest.csv")
    number = manifest["source"].str.removeprefix("1.2.3.4.").astype(int)
    assert (manifest.groupby(number // 2)["patient"].nunique() == 1).all()
    assert manifest["patient"].nunique() == (number // 2).nunique()
    assert manifest["patient"].str.fullmatch(r"patient-[0-9a-f]{16}").all()


def test_no_patient_is_on_two_sides_of_the_split(project: Path) -> None:
    run = read_run(next((project / "model/runs").glob("2*")))
    sides = pd.DataFrame([(film.patient, film.split) for film in run.cohort], columns=["patient", "split"])
    assert (sides.groupby("patient")["split"].nunique() == 1).all()


def test_the_originals_of_a_run_are_found_again(export: Path, project: Path) -> None:
    run = read_run(next((project / "model/runs").glob("2*")))
    assert find_originals(run, run.cohort.radiographs, named=export) == export


def test_another_preparation_in_the_project_gives_a_patient_the_same_key_and_another_project_another(
        export: Path, project: Path, tmp_path: Path) -> None:
    def keys(target: Path) -> pd.Series:
        assert prepare_pict.main(["--source", str(export), "--target", str(target), "--workers", "1"]) == 0
        return pd.read_csv(target / "manifest.csv").set_index("source")["patient"]

    ours = pd.read_csv(project / "clasificacion/manifest.csv").set_index("source")["patient"]
    assert (keys(project / "again") == ours).all()
    assert not set(keys(tmp_path / "films")) & set(ours)
    assert (project / "patients.salt").stat().st_mode & 0o777 == 0o600


def test_hashed_instances_are_no_uids(export: Path, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = project / "hashed"
    assert prepare_pict.main(["--source", str(export), "--target", str(target), "--anonymous"]) == 0
    said = "".join(capfd.readouterr())
    assert_nobody_is_named(target, said)
    records = [(target / name).read_text() for name in ("manifest.csv", "prepared.json")]
    assert "1.2.3.4" not in "".join([said, *records])


def test_films_as_they_came_are_neither_labelled_nor_learnt_from(
        export: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = project / "raw.csv"
    pd.DataFrame([(f"IM{number:06}", CLASSES[number > 18]) for number in range(1, 37)],
                 columns=["id", "clase"]).to_csv(labels, index=False)
    whole = project / "whole"
    for path in export.rglob("IM0*"):
        (whole / path.parent.parent.parent.name).mkdir(parents=True, exist_ok=True)
        (whole / path.parent.parent.parent.name / path.name).symlink_to(path)
    assert get_labels.main(["-p", str(whole)]) == 2
    assert binary_class.main(["-p", str(whole), "-l", str(labels), *FAST]) == 2
    said = capsys.readouterr().err
    assert said.count("DICOM films must be prepared before they are labelled or learnt from.") == 2


def test_without_a_patient_the_study_is_the_key(dicom_film: Callable[..., bytes], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    told = [{"PatientID": "7", "StudyInstanceUID": "1.1"}, {"PatientID": "007", "StudyInstanceUID": "1.2"},
            {"StudyInstanceUID": "1.3"}, {"StudyInstanceUID": "1.3"}, {"StudyInstanceUID": "1.4"}]
    for number, attributes in enumerate(told):
        (tmp_path / f"films/IM{number}").parent.mkdir(exist_ok=True)
        (tmp_path / f"films/IM{number}").write_bytes(dicom_film(pixels, **attributes))
    table = tmp_path / "labels.csv"
    table.write_text("id,clase\n" + "".join(f"IM{number},NORMAL\n" for number in range(5)))
    keys = load_cohort(table, tmp_path / "films", extension=None).patients
    assert [key.partition("-")[0] for key in keys] == ["patient", "patient", "study", "study", "study"]
    assert keys[0] == keys[1]
    assert keys[2] == keys[3] != keys[4]
    assert not (tmp_path / "patients.salt").exists()
