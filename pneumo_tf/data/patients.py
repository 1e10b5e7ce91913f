"""Who a film is of: told by a labels table's column, a DICOM header or a Kermany file's name; one key each.

Source of the naming: Kermany, Zhang, Goldbaum, Mendeley Data rscbjbr9sj (2018).
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pneumo_tf.cohort import Cohort, Dropped, Radiograph, Step
from pneumo_tf.data.dicom import Identity
from pneumo_tf.errors import LabelError, StorageError, choose_from
from pneumo_tf.names import fold, is_healthy
from pneumo_tf.storage import guarded

STAGE, RESPELLED = "one key for each patient", "another spelling of a patient"
SALT = "patients.salt"
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


def read_salt(folder: Path) -> bytes:
    """The secret of a project, kept in `folder` beside its prepared films; made where there is none.

    With it a patient has the same key in all of them. Nobody without it can try hospital numbers until one
    gives a key, so it lies outside the folder that may be passed on, and only its owner may read it.

    Raises:
        StorageError: It can't be written or isn't whole.
    """
    path = folder / SALT
    with guarded(path):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex())
        except FileExistsError:
            pass
        salt = path.read_text(encoding="utf-8").strip()
    if not re.fullmatch(r"[0-9a-f]{64}", salt):
        raise StorageError("The salt of the patients' keys must be as prepare_pict.py wrote it.",
                           received=str(path), remedy="Put the old one back; a new one gives all new keys.")
    return bytes.fromhex(salt)


def hashed(text: str, salt: bytes) -> str:
    """HMAC-SHA256 of a text under a salt, its first 64 bits, hexadecimal."""
    return hmac.new(salt, text.encode(), "sha256").hexdigest()[:16]


def patient_of(identity: Identity, salt: bytes) -> str:
    """A DICOM film's key: of its patient, or where that is blank of its study or series; "" without any."""
    told = {"patient": folded(identity.patient), "study": identity.study, "series": identity.series}
    return next((f"{kind}-{hashed(text, salt)}" for kind, text in told.items() if text), "")


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
