"""Films -> Cohort: a prepared folder, class folders or a plain folder, and a labels table with its films.

A film's id is the stem of its file. Where two films share a stem, their ids are their paths within the
folder without the extension (`NORMAL/film-1`), and where these are shared too, with it.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pneumo_tf.cohort import Cohort, Dropped, Radiograph, Step
from pneumo_tf.data.dicom import DicomFilm, Identity, identify
from pneumo_tf.data.images import SUFFIXES
from pneumo_tf.data.listing import ORIGINS, find_films, natural_order
from pneumo_tf.data.patients import (
    SALT,
    patient_of,
    read_patient,
    read_salt,
    with_one_key_each,
    with_patients_told,
)
from pneumo_tf.data.preparation.record import MANIFEST, RECORD, read_prepared
from pneumo_tf.data.shards import is_file, open_file
from pneumo_tf.errors import FilmError, LabelError, OptionError
from pneumo_tf.names import clean, refuse_twins

STAGE = "found in the folder"
_FROM_MANIFEST = ("patient", "subtype", "origin", "source", "sha256")
_AGAIN = "Run get_labels.py on that folder again"


def read_folder(folder: Path, *, patients: str | None = None) -> Cohort:
    """The films of a prepared folder, of class folders, or of a plain folder of `CLASS-n` files.

    A prepared folder (`manifest.csv` inside) keeps everything its manifest knows. In class folders a
    film's class is the folder it lies in, and its origin a folder `train`, `test` or `val` above. In a
    plain folder the class is the text before the first hyphen of the name.

    Args:
        patients: Column of the manifest that tells the patients, as `with_patients_told` takes it.

    Raises:
        FilmError: No folder, no films, or a film of the manifest that is gone.
        LabelError: A film whose class can't be told, or one that the manifest doesn't know; a column that
            seems to tell patients and isn't read.
    """
    files, others = find_films(folder)
    if (folder / MANIFEST).is_file():
        return _listing_left_out(_from_manifest(folder, files, patients), others)
    films = [Path(file) for file in files]
    if dicom := [film for film in films if _identity(folder / film)]:
        raise unprepared(len(dicom))
    loose = [film for film in films if film.parent == Path()]
    if loose and len(loose) < len(films):
        raise LabelError("Films must lie either all in class folders or all in one plain folder.",
                         received=f"{folder} with {len(loose)} of {len(films)} outside, e.g. {loose[0]}",
                         remedy="Move these into the folder of their class.")
    label_of = _label_in_name if loose else _label_of_folder
    labels = _told(films, label_of)
    refuse_twins(labels)
    named = zip(_unique_ids(films), labels, films, strict=True)
    cohort = Cohort(tuple(_radiograph(film, name, label) for name, label, film in named))
    return with_one_key_each(_listing_left_out(cohort, others))


def unprepared(films: int) -> FilmError:
    """What is said of DICOM films in a table that names files: a hospital's are called after patients."""
    return FilmError("DICOM films must be prepared before they are labelled or learnt from.",
                     received=f"{films} DICOM films as they came",
                     remedy="Prepare them with prepare_pict.py, which hashes the patients.")


def _identity(path: Path) -> Identity | None:
    """Whose film a file holds where it is DICOM; a file that can't be read is found out by others."""
    try:
        with open_file(path) as file:
            return identify(file)
    except OSError:
        return None


def _listing_left_out(cohort: Cohort, others: Iterable[Dropped]) -> Cohort:
    """The history says which files of the folder aren't used."""
    left = tuple(other for other in others if other.file not in (MANIFEST, RECORD))
    return cohort.with_step(Step(STAGE, len(cohort), left)) if left else cohort


def _told(films: list[Path], label_of: Callable[[Path], str]) -> list[str]:
    labels = [label_of(film) for film in films]
    if untold := [film for film, label in zip(films, labels, strict=True) if not label]:
        raise LabelError("A film's class must be told by the folder it lies in, or by a name like NORMAL-1.",
                         received=f"{len(untold)} of {len(films)} untold, e.g. {untold[0]}",
                         remedy="Put the films into one folder for each class, or prepare them "
                                "with prepare_pict.py.")
    return labels


def _label_of_folder(film: Path) -> str:
    return "" if film.parent.name.lower() in ORIGINS else clean(film.parent.name)


def _label_in_name(film: Path) -> str:
    # By the tutorial's rule IM-0115-0001 would be of a class "IM": names that tell a patient tell no class.
    told, hyphen, _ = clean(film.stem).partition("-")
    return told.strip() if hyphen and not read_patient(film.name, told).key else ""


def _unique_ids(films: list[Path]) -> list[str]:
    names = [clean(film.stem) for film in films]
    for longer in (lambda film: film.with_suffix("").as_posix(), Path.as_posix):
        times = Counter(names)
        pairs = zip(names, films, strict=True)
        names = [clean(longer(film)) if times[name] > 1 else name for name, film in pairs]
    return names


def _radiograph(film: Path, name: str, label: str) -> Radiograph:
    patient = read_patient(film.name, label)
    origins = [ORIGINS[part.lower()] for part in film.parts[:-1] if part.lower() in ORIGINS]
    return Radiograph(id=name, label=label, file=film.as_posix(), patient=patient.key,
                      subtype=patient.subtype, origin=origins[-1] if origins else "")


def _from_manifest(folder: Path, files: list[str], patients: str | None) -> Cohort:
    cohort = with_patients_told(Cohort.read_csv(folder / MANIFEST), patients)
    refuse_twins(cohort.labels)
    there = {clean(file): file for file in files}
    listed = [clean(film.file if film.file in there else Path(film.file).as_posix()) for film in cohort]
    if gone := [name for name in listed if name not in there]:
        raise FilmError("Every film of the manifest must be in its folder.",
                        received=f"{folder} without {len(gone)} of {len(listed)}, e.g. {gone[0]}",
                        remedy="Prepare the films again with prepare_pict.py.")
    if strangers := sorted(there.keys() - set(listed)):
        raise LabelError("Every image of a prepared folder must be in its manifest.",
                         received=f"{folder} with {len(strangers)} unknown, e.g. {strangers[0]}",
                         remedy="Prepare them with prepare_pict.py too, or move them elsewhere.")
    found = cohort.with_column("file", [there[name] for name in listed])
    return with_one_key_each(Cohort(found.radiographs, _history(folder)))


def _history(folder: Path) -> tuple[Step, ...]:
    """What the preparation of a folder dropped and why; nothing where it wasn't prepared here."""
    prepared = read_prepared(folder)
    return prepared.steps if prepared else ()


def load_cohort(labels_csv: Path, films_folder: Path, *, extension: str | None, patients: str | None = None,
                project: Path | None = None) -> Cohort:
    """The films of a labels table, each with its file in `films_folder` and what is known of its patient.

    They come in the order of their files, so that nothing hangs on the order of the table's rows. A film
    is found by its column `file` if there is one, else by its id, which may be a DICOM film's instance,
    and extension. What the table doesn't tell comes from the folder's manifest where the ids match, and
    patients at last from DICOM headers, hashed, or from the names; each patient gets one key. The history
    of a prepared folder is restored, and it says what else lies there.

    Args:
        labels_csv: A table that `Cohort.read_csv` accepts.
        films_folder: Folder that the files are relative to.
        extension: `.jpeg` or `jpeg`; None for any image.
        patients: Column of the table that tells the patients, as `with_patients_told` takes it.
        project: Folder with the salt of DICOM patients' keys; without it they hold for this cohort alone.

    Raises:
        LabelError: A label without a film, a film without a label, two films for one id, two spellings of a
            class, or a column that seems to tell patients and isn't read.
        FilmError: No folder, no films, a broken record of the preparation.
        OptionError: An extension that is no image's.
    """
    cohort = with_patients_told(Cohort.read_csv(labels_csv), patients)
    refuse_twins(cohort.labels)
    found, others = find_films(films_folder)
    films = {file: None for file in found if extension is None
             or Path(file).suffix.lower() == _suffix(extension)}  # a set that keeps the order
    others += tuple(Dropped(file, "another extension than --ext") for file in found if file not in films)
    known = _manifest_of(films_folder)
    dicom = {} if known else _identities(films, films_folder)
    named: dict[str, list[str]] = {}
    files = []
    for film in cohort:
        if film.file not in films:  # the names of a million films are a lot, and mostly not asked for
            named = named or _by_name(films, dicom)
        files.append(film.file if film.file in films else _locate(film, films_folder, named))
    _refuse_missing(cohort, files, films_folder)
    _refuse_unlabelled(sorted(films.keys() - set(files)), films_folder)
    located = _with_dicom_patients(cohort.with_column("file", files), dicom, project)
    complete = sorted((_complete(film, known.get(row.id)) for film, row in zip(located, cohort, strict=True)),
                      key=lambda film: natural_order(film.id))
    return with_one_key_each(_listing_left_out(Cohort(tuple(complete), _history(films_folder)), others))


def _suffix(extension: str) -> str:
    suffix = "." + extension.strip().lstrip(".").lower()
    if suffix not in SUFFIXES:
        raise OptionError("The extension must be an image's.", received=extension or "no extension",
                          remedy=f"Use one of {', '.join(SUFFIXES)}.")
    return suffix


def _identities(films: Iterable[str], folder: Path) -> dict[str, Identity]:
    """Whose films those are that are DICOM."""
    found = ((file, _identity(folder / file)) for file in films)
    return {file: identity for file, identity in found if identity}


def _with_dicom_patients(cohort: Cohort, dicom: Mapping[str, Identity], project: Path | None) -> Cohort:
    """The cohort with the patients of its DICOM films, where the table doesn't tell them."""
    if not dicom:
        return cohort
    salt = read_salt(project) if project and (project / SALT).is_file() else secrets.token_bytes()
    return Cohort(tuple(
        replace(film, patient=film.patient or patient_of(dicom[film.file], salt),
                facts={"format": DicomFilm.format, **film.facts}) if film.file in dicom else film
        for film in cohort), cohort.history)


def _by_name(films: Iterable[str], dicom: Mapping[str, Identity]) -> dict[str, list[str]]:
    """Every name that an id may call a film by -> the films it calls."""
    named: dict[str, list[str]] = {}
    for path in films:
        film = Path(path)
        names = {clean(name) for name in (film.stem, film.name, film.with_suffix("").as_posix(), path)}
        for name in names | ({dicom[path].instance} if path in dicom else set()):
            named.setdefault(name, []).append(path)
    return named


def _locate(film: Radiograph, folder: Path, candidates: Mapping[str, list[str]]) -> str:
    """The film's file relative to `folder`, or an empty string."""
    if film.file:
        root = folder.absolute()
        path = root / film.file
        if is_file(path):
            return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
        # Spelled in another Unicode form than on the disk.
        alike = candidates.get(clean(film.file), [])
        return next((file for file in alike if clean(file) == clean(film.file)), "")
    files = candidates.get(film.id, [])
    if len(files) > 1:
        raise LabelError("An id must belong to one film.",
                         received=f"{film.id!r} in {folder}, which has {files[0]} and {files[1]}",
                         remedy=f"{_AGAIN}, name one extension, or delete one of them.")
    return files[0] if files else ""


def _refuse_missing(cohort: Cohort, files: list[str], folder: Path) -> None:
    missing = [film for film, file in zip(cohort, files, strict=True) if not file]
    if missing:
        name = missing[0].file or missing[0].id
        raise LabelError("Every label must have its film.",
                         received=f"{folder} without {len(missing)} of the {len(files)} films, e.g. {name}",
                         remedy=f"{_AGAIN}, or check the extension of the films.")


def _refuse_unlabelled(films: list[str], folder: Path) -> None:
    if films:
        raise LabelError("Every film must have its label.",
                         received=f"{folder} with {len(films)} not in the labels, e.g. {films[0]}",
                         remedy=f"{_AGAIN}, or delete these films.")


def _manifest_of(folder: Path) -> dict[str, Radiograph]:
    path = folder / MANIFEST
    return {film.id: film for film in Cohort.read_csv(path)} if path.is_file() else {}


def _complete(film: Radiograph, known: Radiograph | None) -> Radiograph:
    """Fill in what the labels table leaves blank: from the manifest, then the patient from the names."""
    if known is not None:
        told = {name: getattr(film, name) or getattr(known, name) for name in _FROM_MANIFEST}
        if known.label != film.label:  # relabelled by hand: the old finer label no longer holds
            told["subtype"] = film.subtype
        film = replace(film, facts={**known.facts, **film.facts}, **told)
    if film.patient:
        return film
    patients = (read_patient(name, film.label) for name in (film.id, film.file, film.source))
    key, subtype = next((patient for patient in patients if patient.key), ("", ""))
    return replace(film, patient=key, subtype=film.subtype or subtype)
