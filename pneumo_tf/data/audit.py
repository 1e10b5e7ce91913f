"""What must be known of films before anything is learnt from them: copies, contradictions, enough of each."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.data.patients import owner
from pneumo_tf.errors import FilmError, LabelError

STAGE = "unique after preparation"
_FEWEST_PATIENTS = 3  # one each for train, validation and test


@dataclass(frozen=True)
class Audit:
    """The films that may be used, and what a report must say of them.

    Attributes:
        cohort: The films without exact copies; the history says which were dropped.
        films: Films of each class.
        patients: Patients of each class; a film whose patient is unknown counts as one.
        duplicates: Files of a dropped copy -> file of the film that stays.
        conflicting_patients: Patients with films of several classes -> these classes.
        films_without_patient: Number of films whose patient is unknown.
    """

    cohort: Cohort
    films: dict[str, int]
    patients: dict[str, int]
    duplicates: dict[str, str]
    conflicting_patients: dict[str, list[str]]
    films_without_patient: int

    def to_json(self) -> dict[str, Any]:
        """The facts without the films, as JSON types."""
        return {"films": self.films, "patients": self.patients, "duplicates": self.duplicates,
                "conflicting_patients": self.conflicting_patients,
                "films_without_patient": self.films_without_patient}


def audit(cohort: Cohort, films_folder: Path) -> Audit:
    """Check that a cohort can be split and learnt from, and leave out exact copies of films.

    Copies are found by the SHA-256 of the files in use; the first in the cohort's order stays. What is
    cheap to check is checked before any film is read.

    Raises:
        LabelError: Fewer than two classes, or a class with fewer than three patients.
        FilmError: A film that can't be read, or one film under two labels.
    """
    check_classes(cohort)
    duplicates = _duplicates(cohort, films_folder)
    unique = cohort.keep(lambda film: film.id not in duplicates, stage=STAGE, reason="copy of another film")
    check_classes(unique)
    return Audit(
        cohort=unique,
        films=dict(sorted(Counter(unique.labels).items())),
        patients=_patients_per_class(unique),
        duplicates={_name(film): duplicates[film.id] for film in cohort if film.id in duplicates},
        conflicting_patients=_conflicting_patients(unique),
        films_without_patient=sum(not film.patient for film in unique),
    )


def check_classes(cohort: Cohort) -> None:
    """Raise a LabelError unless there are two classes of three patients each."""
    check_two_classes(cohort)
    for label, count in _patients_per_class(cohort).items():
        if count < _FEWEST_PATIENTS:
            raise LabelError("Every class needs one patient each for train, validation and test.",
                             received=f"class {label} with {count} of {_FEWEST_PATIENTS} patients",
                             remedy="Add films of other patients to this class.")


def check_two_classes(cohort: Cohort) -> None:
    """Raise a LabelError where there is nothing to tell apart."""
    if len(cohort.classes) < 2:
        raise LabelError("A training needs at least two classes.",
                         received=f"{len(cohort)} films, all of class {' '.join(cohort.classes) or 'none'}",
                         remedy="Prepare the films of the other class with prepare_pict.py, then run "
                                "get_labels.py.")


def _patients_per_class(cohort: Cohort) -> dict[str, int]:
    return dict(sorted(Counter(label for label, _ in {(f.label, owner(f)) for f in cohort}).items()))


def _conflicting_patients(cohort: Cohort) -> dict[str, list[str]]:
    labels: dict[str, set[str]] = {}
    for film in cohort:
        labels.setdefault(film.patient, set()).add(film.label)
    return {patient: sorted(several) for patient, several in sorted(labels.items())
            if patient and len(several) > 1}


def _duplicates(cohort: Cohort, films_folder: Path) -> dict[str, str]:
    """Id of each later copy -> file of the film that it copies."""
    first: dict[str, Radiograph] = {}
    copies = {}
    for film in cohort:
        original = first.setdefault(_fingerprint(films_folder / film.file), film)
        if original.label != film.label:
            raise FilmError("A film must have one label.",
                            received=f"the same bytes in {_name(original)} as {original.label} and in "
                                     f"{_name(film)} as {film.label}",
                            remedy="Delete the one that is wrong and run get_labels.py again.")
        if original is not film:
            copies[film.id] = _name(original)
    return copies


def _fingerprint(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as failure:
        raise FilmError("Every film must be a readable file.", received=f"{path} ({failure.strerror})",
                        remedy="Prepare the films again, or delete its row in the labels table.") from failure


def _name(film: Radiograph) -> str:
    return film.file or film.id
