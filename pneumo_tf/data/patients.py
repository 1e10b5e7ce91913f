"""File name -> patient, for the names of the Kermany chest films.

Source of the naming: Kermany, Zhang, Goldbaum, Mendeley Data rscbjbr9sj (2018).
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from pneumo_tf.cohort import Radiograph

_PNEUMONIA = re.compile(r"person(?P<number>\d+)_(?P<subtype>bacteria|virus)(?:_\d+){1,2}", re.IGNORECASE)
_NORMAL = re.compile(r"(?P<key>(?:NORMAL2-)?IM-\d+)(?:-\d+){1,2}", re.IGNORECASE)


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
        label: Class of the film. A film called NORMAL keeps its patient but has no subtype: a finer
            kind of pneumonia would contradict it.

    Returns:
        Two empty strings for any other name, such as `PNEUMONIA-17`, in which no patient is told.
    """
    stem = PurePosixPath(file_name.replace("\\", "/")).name.partition(".")[0]
    if found := _PNEUMONIA.fullmatch(stem):
        subtype = found["subtype"].lower()
        return Patient(f"{subtype}-{int(found['number'])}", "" if label.upper() == "NORMAL" else subtype)
    if found := _NORMAL.fullmatch(stem):
        return Patient(found["key"].upper(), "")
    return Patient("", "")


def owner(film: Radiograph) -> str:
    """The key of films that stay together: the patient's, or the film's own where no patient is known."""
    return f"patient {film.patient}" if film.patient else f"film {film.id}"
