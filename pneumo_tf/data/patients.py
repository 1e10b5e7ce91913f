"""Who a film is of: told by a column of a labels table, or by the name of a Kermany file; one key for each.

Source of the naming: Kermany, Zhang, Goldbaum, Mendeley Data rscbjbr9sj (2018).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import NamedTuple

from pneumo_tf.cohort import Cohort, Dropped, Radiograph, Step
from pneumo_tf.errors import LabelError, choose_from
from pneumo_tf.names import fold, is_healthy

STAGE, RESPELLED = "one key for each patient", "another spelling of a patient"
_PNEUMONIA = re.compile(r"person(?P<number>\d+)_(?P<subtype>bacteria|virus)(?:_\d+){1,2}", re.IGNORECASE)
_NORMAL = re.compile(r"(?P<key>(?:NORMAL2-)?IM-\d+)(?:-\d+){1,2}", re.IGNORECASE)
# A patient's name for a column, written together: a word for the patient, with or without one for the number.
_NUMBER = r"(?:ids?|identifier|identificador|n|no|nr|num|number|numero|code|codigo|cod|key|clave|name|" \
          r"nombre|uid|uuid|hash|index|de|del|la|el|the|of|clinic[oa]?)"
_PERSON = r"(?:patients?|pat|pts?|pid|pacientes?|pac|subjects?|subj|sujetos?|participant(?:e|s|es)?|" \
          r"persons?|personas?|individuals?|individuos?|cases?|casos?|mrn|medicalrecord|historias?|nhc|hc|" \
          r"expedientes?|child|nin[oa]|usuario|enfermo|dni)"
_PATIENT_COLUMN = re.compile(f"{_NUMBER}*{_PERSON}{_NUMBER}*")


class Patient(NamedTuple):
    """Grouping key and finer label; an empty string means unknown."""

    key: str
    subtype: str


def read_patient(file_name: str, label: str) -> Patient:
    """The patient that a Kermany file name tells of.

    Numbers restart for bacteria and virus, so a pneumonia key is (subtype, number): `bacteria-12`. A
    normal key is the prefix with the IM number: `IM-0115`, `NORMAL2-IM-0117`.

    Args:
        file_name: Name with or without folders and extension, in either letter case.
        label: Class of the film. A film of a healthy class keeps its patient but has no subtype: a finer
            kind of pneumonia would contradict it.

    Returns:
        Two empty strings for any other name, such as `PNEUMONIA-17`, in which no patient is told.
    """
    stem = PurePosixPath(file_name.replace("\\", "/")).name.partition(".")[0]
    if found := _PNEUMONIA.fullmatch(stem):
        subtype = found["subtype"].lower()
        return Patient(f"{subtype}-{int(found['number'])}", "" if is_healthy(label) else subtype)
    if found := _NORMAL.fullmatch(stem):
        return Patient(found["key"].upper(), "")
    return Patient("", "")


def owner(film: Radiograph) -> str:
    """The key of films that stay together: the patient's, or the film's own where no patient is known."""
    return f"patient {film.patient}" if film.patient else f"film {film.id}"


def folded(patient: str) -> str:
    """What all spellings of a patient's key have in common: `P 0007`, `p-7` and `P7.0` are one patient's.

    Case, accents, the Unicode form, leading zeros and a trailing `.0` tell no patients apart, nor do spaces
    and hyphens, except between two numbers.
    """
    key = re.sub(r"(?<=\d)\.0+$", "", fold(patient))
    key = re.sub(r"(?<!\d)0+(?=\d)", "", key)
    return re.sub(r"(?<!\d)[\s-]+|[\s-]+(?!\d)", "", key)


def with_one_key_each(cohort: Cohort) -> Cohort:
    """The cohort with one spelling of each patient's key, the first by name; what was respelled is noted."""
    first: dict[str, str] = {}
    for patient in sorted(set(cohort.patients) - {""}):
        first.setdefault(folded(patient), patient)
    key_of = {patient: first[folded(patient)] for patient in set(cohort.patients) - {""}} | {"": ""}
    respelled = [(old, new) for old, new in sorted(key_of.items()) if old != new]
    if not respelled:
        return cohort
    noted = tuple(Dropped(f"{old} = {new}", RESPELLED) for old, new in respelled)
    return cohort.with_column("patient", [key_of[patient] for patient in cohort.patients]) \
        .with_step(Step(STAGE, len(cohort), noted=noted))


def with_patients_told(cohort: Cohort, column: str | None) -> Cohort:
    """The cohort of a table with its patients from a column of it.

    Args:
        column: Its name; "" leaves other columns than `patient` unread; None does so too, unless one of them
            seems to tell the patients that `patient` doesn't.

    Raises:
        LabelError: No such column, or one that seems to tell patients and wasn't decided about.
    """
    columns = list(dict.fromkeys(name for film in cohort for name in film.facts))
    if column is None:
        if all(cohort.patients):
            return cohort
        _refuse_undecided(columns)
    if not column or column == "patient":
        return cohort
    named = [name for name in columns if name == column] or \
        [name for name in columns if fold(name) == fold(column)]
    if not named:
        raise LabelError("The column of patients must be one of the labels table.", received=column,
                         remedy=choose_from([*columns, "patient"], column))
    return Cohort(tuple(_told_by(film, named[0]) for film in cohort), cohort.history)


def _refuse_undecided(columns: Iterable[str]) -> None:
    for name in columns:
        if _PATIENT_COLUMN.fullmatch(re.sub(r"[\W\d_]+", "", fold(name))):
            raise LabelError("It must be known which column tells the patients, or one patient's films may "
                             "end up in training and test.",
                             received=f"a labels table with the column {name!r}",
                             remedy=f"Add --patients {name!r}, or --no-patients if it tells something else.")


def _told_by(film: Radiograph, column: str) -> Radiograph:
    facts = {name: value for name, value in film.facts.items() if name != column}
    return replace(film, patient=film.facts.get(column, ""), facts=facts)
