"""A patient is read from the names of the Kermany films, and from no others."""

import pytest

from pneumo_tf.cohort import Radiograph
from pneumo_tf.data.patients import Patient, owner, read_patient


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
