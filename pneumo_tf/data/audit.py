"""What must be known of films before anything is learnt from them: copies, contradictions, enough of each."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pneumo_tf.cohort import Cohort, Dropped, Radiograph
from pneumo_tf.data.patients import owner
from pneumo_tf.data.shards import open_file
from pneumo_tf.errors import FilmError, LabelError

STAGE = "unique after preparation"
_FEWEST_PATIENTS = 3  # one each for train, validation and test


def audit(cohort: Cohort, films_folder: Path) -> Cohort:
    """Check that a cohort can be split and learnt from, and leave out exact copies of films.

    Copies are told by the SHA-256 of the files in use; the first in the cohort's order stays. What is cheap
    to check is checked before any film is read.

    Returns:
        The films without copies, each with the hash of its file. It is the hash of the original too, unless
        the film was prepared from another file.

    Raises:
        LabelError: Fewer than two classes, or a class with fewer than three patients.
        FilmError: A film that can't be read, or one film under two labels.
    """
    check_classes(cohort)
    hashed = Cohort(tuple(_with_hash(film, films_folder) for film in cohort), cohort.history)
    first: dict[str, Radiograph] = {}
    for film in hashed:
        original = first.setdefault(film.file_sha256, film)
        if original.label != film.label:
            raise FilmError("A film must have one label.",
                            received=f"the same bytes in {original.file or original.id} as {original.label} "
                                     f"and in {film.file or film.id} as {film.label}",
                            remedy="Delete the one that is wrong and run get_labels.py again.")
    unique = hashed.keep(lambda film: first[film.file_sha256] is film, stage=STAGE,
                         reason="copy of another film")
    check_classes(unique)
    return unique


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


def shallower(depths: Mapping[str, int | None]) -> tuple[Dropped, ...]:
    """The files of films with clearly fewer bits of grey than the deepest, by whose scale all are read.

    A single bit less is a film without a bright spot.
    """
    deepest = max((depth for depth in depths.values() if depth), default=0)
    return tuple(Dropped(file, f"{depth} bits of grey, scaled as {deepest} like the others")
                 for file, depth in depths.items() if depth and depth < deepest - 1)


def _patients_per_class(cohort: Cohort) -> dict[str, int]:
    return dict(sorted(Counter(label for label, _ in {(f.label, owner(f)) for f in cohort}).items()))


def _with_hash(film: Radiograph, folder: Path) -> Radiograph:
    sha256 = file_sha256(folder / film.file)
    return replace(film, file_sha256=sha256, sha256=film.sha256 or ("" if film.source else sha256))


def file_sha256(path: Path) -> str:
    """SHA-256 of a film's file, hexadecimal.

    Raises:
        FilmError: It can't be read.
    """
    try:
        with open_file(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as failure:
        raise FilmError("Every film must be a readable file.", received=f"{path} ({failure.strerror})",
                        remedy="Prepare the films again, or delete its row in the labels table.") from failure
