"""Which of the films that were found may be used: one of each group of copies, of one label, readable."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from pneumo_tf.cohort import Cohort, Dropped, Radiograph, Step
from pneumo_tf.data.audit import shallower
from pneumo_tf.data.listing import Film, Listing, natural_order, printable
from pneumo_tf.data.patients import hashed, patient_of, read_patient
from pneumo_tf.data.preparation.tasks import Filtered, Inspection
from pneumo_tf.errors import FilmError
from pneumo_tf.names import refuse_twins

FOUND, READABLE, UNIQUE = "found in source", "readable films", "unique films"
COPY = "byte-identical copy"


@dataclass(frozen=True)
class Inspected:
    """A listing with what the bytes of its films told.

    Attributes:
        salt: Of the patients' keys; empty where no film is DICOM.
        anonymous: Whether the instances of DICOM films are hashed too.
    """

    listing: Listing
    inspections: Mapping[str, Inspection]
    salt: bytes = b""
    anonymous: bool = False

    @property
    def has_dicom(self) -> bool:
        return any(seen.identity for seen in self.inspections.values())

    def named(self, file: str) -> str:
        """What a file is called in every record and message.

        A DICOM film is called by its instance, and what lies beside such films isn't named.
        """
        seen = self.inspections.get(file)
        if seen is None or seen.identity is None:
            is_film = seen is not None and not seen.trouble
            return printable(file) if is_film or not self.has_dicom else "a file beside DICOM films"
        instance = seen.identity.instance
        return f"film-{hashed(instance, self.salt)}" if self.anonymous else instance

    @cached_property
    def firsts(self) -> dict[str, str]:
        """For each hash the file that stands for its copies: the outermost, then the first in order."""
        firsts: dict[str, str] = {}
        for film in sorted(self.listing.films, key=lambda film: _outermost_first(film.file)):
            firsts.setdefault(self.inspections[film.file].sha256, film.file)
        return firsts

    @property
    def depth(self) -> int | None:
        """Bits of grey that all films of more than 8 are scaled from; None where there are none."""
        return max((seen.depth for seen in self.inspections.values() if seen.depth), default=None)

    def cohort(self) -> Cohort:
        """All films by the name of their file, not yet numbered."""
        films = [self._radiograph(film) for film in self.listing.films]
        others = tuple(Dropped(self.named(file), reason) for file, reason in self.listing.others.items())
        return Cohort(tuple(films), (Step(FOUND, len(films), others),))

    def _radiograph(self, film: Film) -> Radiograph:
        seen = self.inspections[film.file]
        patient = read_patient(PurePosixPath(film.file).name, film.label)
        key = patient_of(seen.identity, self.salt) if seen.identity else patient.key
        return Radiograph(id=film.file, label=film.label, patient=key, subtype=patient.subtype,
                          origin=film.origin, source=self.named(film.file), sha256=seen.sha256,
                          facts=seen.facts)

    def fingerprint(self) -> str:
        """Hash of the names and bytes of all films."""
        lines = sorted(f"{printable(file)}\t{seen.sha256}\n" for file, seen in self.inspections.items())
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def readable(self, filtered: Mapping[str, Filtered]) -> Cohort:
        """The films without trouble, with the facts of their frames; what is odd about some is noted.

        Args:
            filtered: What became of each film, by its hash.

        Raises:
            FilmError: No film of some class is left.
        """
        films = self.cohort()
        films = replace(films, radiographs=tuple(
            replace(film, facts={**film.facts, **filtered[film.sha256].framing}) for film in films))
        dropped = {film.id: Dropped(film.source, self.inspections[film.id].trouble or became.trouble)
                   for film in films if (became := filtered[film.sha256]).trouble}
        depths = {film.source: self.inspections[film.id].depth for film in films if film.id not in dropped}
        readable = _without(films, dropped, READABLE, noted=(
            *shallower(depths),
            *(Dropped(film.source, filtered[film.sha256].note) for film in films
              if filtered[film.sha256].note)))
        for label in films.classes:
            if label not in readable.classes:
                example = next(dropped[film.id] for film in films if film.label == label)
                raise FilmError("Every class must have a readable film.",
                                received=f"none of {films.labels.count(label)} {label} films, "
                                         f"e.g. {example.file}: {example.reason}",
                                remedy="Download or export them again.")
        return readable

    def without_copies(self, films: Cohort) -> Cohort:
        """The films that stand for their copies; each copy is noted with the film it equals."""
        copies = {film.id: Dropped(f"{film.source} = {self.named(self.firsts[film.sha256])}", COPY)
                  for film in films if self.firsts[film.sha256] != film.id}
        return _without(films, copies, UNIQUE)


def refuse_without_classes(listing: Listing, source: Path, name: str) -> None:
    """Make sure that there are films, of two classes unless one is named.

    Raises:
        FilmError: No films, no class folders, or one class only.
        LabelError: Two classes that look alike.
    """
    if not listing.films:
        raise _nothing_found(listing, source)
    refuse_twins(listing.labels)
    if len(listing.labels) < 2 and not name:
        label = listing.labels[0]
        raise FilmError("A source of films needs at least two class folders, or a class name.",
                        received=f"{source} with {label} alone",
                        remedy=f"Name the folder above it, or prepare class by class with --name {label}.")


def refuse_two_labels(films: Inspected, prepared: Sequence[Radiograph]) -> None:
    """Make sure that no film stands under two labels, here or among the `prepared` of another class.

    Raises:
        FilmError: Such a film; the message names both files.
    """
    seen = {film.sha256: (film.label, film.source) for film in prepared}
    pairs: dict[str, tuple[Film, str, str]] = {}
    for film in sorted(films.listing.films, key=lambda film: _outermost_first(film.file)):
        inspection, name = films.inspections[film.file], films.named(film.file)
        label, first = seen.setdefault(inspection.sha256, (film.label, name))
        if label != film.label and not inspection.trouble:
            pairs.setdefault(inspection.sha256, (film, first, label))
    if pairs:
        film, first, label = next(iter(pairs.values()))
        second = films.named(film.file)
        more = f", and {len(pairs) - 1} more such pairs" if len(pairs) > 1 else ""
        out = "take the other file out of its folder" if films.inspections[film.file].identity else \
            f"leave the other file out, e.g. --exclude '*{PurePosixPath(second).name}'"
        raise FilmError("The same film must not stand under two labels.",
                        received=f"{first} and {second}, byte for byte the same, as {label} and "
                                 f"{film.label}{more}",
                        remedy=f"Find out which label is right and {out}.")


def _nothing_found(listing: Listing, source: Path) -> FilmError:
    without_class = sum(reason == "not in a class folder" for reason in listing.others.values())
    if without_class:
        return FilmError("A source of films needs a folder for each class, or a class name.",
                         received=f"{source} with {without_class} films and no class folder",
                         remedy="Name the folder above, or add --name, e.g. --name NORMAL.")
    reasons = sorted(set(listing.others.values()))
    what = f"{len(listing.others)} files, none a film: {', '.join(reasons)}" if reasons else "no files"
    return FilmError("A source must hold films.", received=f"{source} with {what}",
                     remedy="Name the folder or .zip with the class folders.")


def _outermost_first(file: str) -> tuple[Any, ...]:
    return file.count("/"), natural_order(file)


def _without(films: Cohort, dropped: Mapping[str, Dropped], stage: str, *,
             noted: tuple[Dropped, ...] = ()) -> Cohort:
    kept = tuple(film for film in films if film.id not in dropped)
    return Cohort(kept, (*films.history, Step(stage, len(kept), tuple(dropped.values()), noted)))
