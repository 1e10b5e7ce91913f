"""A patient is read from the names of the Kermany films, and from no others."""

import pytest

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.data.patients import (
    Patient,
    folded,
    owner,
    read_patient,
    with_one_key_each,
    with_patients_told,
)
from pneumo_tf.errors import LabelError


@pytest.mark.parametrize(("name", "label", "key", "subtype"), [
    ("person12_bacteria_45.jpeg", "PNEUMONIA", "bacteria-12", "bacteria"),
    ("person12_virus_46.jpeg", "PNEUMONIA", "virus-12", "virus"),
    ("person1208_virus_2051_1.jpeg", "PNEUMONIA", "virus-1208", "virus"),  # a name that the real set has
    ("IM-0115-0001.jpeg", "NORMAL", "IM-0115", ""),
    ("NORMAL2-IM-0117-0001.jpeg", "NORMAL", "NORMAL2-IM-0117", ""),
    ("IM-0666-0001-0002.jpeg", "NORMAL", "IM-0666", ""),
    ("NORMAL2-IM-0666-0001-0002.jpeg", "NORMAL", "NORMAL2-IM-0666", ""),
    ("chest_xray/train/PNEUMONIA/person12_bacteria_45.jpeg", "PNEUMONIA", "bacteria-12", "bacteria"),
    (r"chest_xray\train\NORMAL\IM-0115-0001.JPG", "NORMAL", "IM-0115", ""),
    ("PERSON12_BACTERIA_45.JPEG", "PNEUMONIA", "bacteria-12", "bacteria"),
    ("person12_bacteria_45", "PNEUMONIA", "bacteria-12", "bacteria"),
])
def test_names_of_the_source_tell_patient_and_subtype(name: str, label: str, key: str, subtype: str) -> None:
    assert read_patient(name, label) == Patient(key, subtype)


@pytest.mark.parametrize("name", [
    "PNEUMONIA-17", "PNEUMONIA-17.jpeg", "NORMAL-1.jpeg", "radiografía niño 01.jpeg", "",
    "person12_fungus_1.jpeg", "superperson12_bacteria_45.jpeg", "IM-0115.jpeg", "NORMAL3-IM-0117-0001.jpeg",
    "IM-0115-0001 (1).jpeg", "person12_bacteria_45_copy.jpeg",
])
def test_other_names_tell_no_patient(name: str) -> None:
    assert read_patient(name, "PNEUMONIA") == Patient("", "")


def test_a_number_alone_is_no_patient_because_it_restarts_for_each_subtype() -> None:
    bacterial = read_patient("person12_bacteria_1.jpeg", "PNEUMONIA")
    assert bacterial.key != read_patient("person12_virus_1.jpeg", "PNEUMONIA").key


def test_a_film_relabelled_as_normal_keeps_its_patient_but_no_subtype() -> None:
    assert read_patient("person12_bacteria_45.jpeg", "NORMAL") == Patient("bacteria-12", "")


def test_a_film_without_patient_belongs_to_itself() -> None:
    alone, other = Radiograph("a", "NORMAL"), Radiograph("b", "NORMAL")
    assert owner(alone) != owner(other)


def test_a_film_is_never_mistaken_for_a_patient_of_the_same_name() -> None:
    assert owner(Radiograph("x", "NORMAL")) != owner(Radiograph("y", "NORMAL", patient="x"))


@pytest.mark.parametrize("spellings", [
    ("7", "0007", " 7", "7.0", "7\u200b", "７"), ("P7", "p7", "P 7", "P-007", "p_7", "P7.0"),
    ("José 1", "JOSE 01", "Jose\u0301 1"), ("IM-0115", "im-115", "IM 0115"), ("s01-p02", "S1 P2")])
def test_spellings_of_one_patient_fold_into_one(spellings: tuple[str, ...]) -> None:
    assert len({folded(spelling) for spelling in spellings}) == 1


@pytest.mark.parametrize(("one", "other"), [("1-23", "12-3"), ("1 1", "11"), ("10", "1"), ("100", "10"),
                                            ("bacteria-12", "virus-12"), ("IM-0115", "NORMAL2-IM-0115")])
def test_other_patients_stay_apart(one: str, other: str) -> None:
    assert folded(one) != folded(other)


def cohort_of(*patients: str) -> Cohort:
    return Cohort(tuple(Radiograph(f"f{n}", "NORMAL", patient=patient) for n, patient in enumerate(patients)))


def test_two_spellings_get_one_key_and_it_is_noted() -> None:
    cohort = with_one_key_each(cohort_of("7", "P2", "0007", "", "p2"))
    assert cohort.patients == ["0007", "P2", "0007", "", "P2"]
    assert [noted.file for noted in cohort.history[-1].noted] == ["7 = 0007", "p2 = P2"]
    assert with_one_key_each(cohort) == cohort


def test_keys_that_nobody_spelled_twice_stay_as_they_are() -> None:
    cohort = cohort_of("0007", "P-9", "")
    assert with_one_key_each(cohort) is cohort


def table_with(column: str, *, patient: str = "") -> Cohort:
    return Cohort((Radiograph("a", "NORMAL", patient=patient, facts={column: "0007", "width": "9"}),
                   Radiograph("b", "NORMAL", patient=patient)))


@pytest.mark.parametrize("column", [
    "Patient ID", "patientid", "PatientID", "PATIENT", "paciente", "id_paciente", "Número de paciente",
    "subject", "Sujeto", "case", "caso", "case_id", "mrn", "historia", "Nº Historia Clínica",
    "participant_id",
    "pid", "Paciente\u200b"])
def test_a_column_that_seems_to_tell_patients_is_decided_about(column: str) -> None:
    with pytest.raises(LabelError, match=r"--patients .*--no-patients") as stopped:
        with_patients_told(table_with(column), None)
    assert repr(column) in str(stopped.value)
    told = with_patients_told(table_with(column), column)
    assert told.patients == ["0007", ""]
    assert told.radiographs[0].facts == {"width": "9"}
    assert with_patients_told(table_with(column), "").patients == ["", ""]
    assert with_patients_told(table_with(column, patient="x"), None).patients == ["x", "x"]


@pytest.mark.parametrize("column", ["Patient Age", "patient_sex", "edad_paciente", "View Position", "study"])
def test_other_columns_are_left_alone(column: str) -> None:
    assert with_patients_told(table_with(column), None) == table_with(column)


def test_a_column_is_found_in_any_case_and_its_lack_is_said() -> None:
    assert with_patients_told(table_with("Patient ID"), "patient id").patients == ["0007", ""]
    with pytest.raises(LabelError, match=r"Received: pacient\..*Choose one of: .*Patient ID"):
        with_patients_told(table_with("Patient ID"), "pacient")
