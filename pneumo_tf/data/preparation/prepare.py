"""Films as they were found -> a folder of films that share one mode, one canvas and one encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.listing import Listing, list_films
from pneumo_tf.data.preparation.filters import FilterOptions
from pneumo_tf.data.preparation.record import Part
from pneumo_tf.data.preparation.sifting import Inspected, refuse_two_labels, refuse_without_classes
from pneumo_tf.data.preparation.target import Target
from pneumo_tf.data.preparation.workers import Crew, Track, crew, develop, inspect, untracked
from pneumo_tf.data.sources import open_source
from pneumo_tf.errors import OptionError, PneumoError, StorageError


@dataclass(frozen=True)
class PrepareOptions:
    """What to prepare, and how.

    Attributes:
        filters: What is done to the pixels.
        per_class: Films of each class, whole patients as far as they fit; None for all.
        seed: Of the choice of patients.
        name: The class of all films, for a source that is one folder of one class.
        exclude: Patterns of files to leave out.
        folders: Only these top folders of the source; empty for all.

    Raises:
        OptionError: A name that can't be a class and the start of a file name.
    """

    filters: FilterOptions = field(default_factory=FilterOptions)
    per_class: int | None = None
    seed: int = 42
    name: str = ""
    exclude: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.name and not self.label) or set(self.name) & set("/\\:") or self.label.startswith("."):
            raise OptionError("A class name must do as the start of a file name.", received=repr(self.name),
                              remedy="Name it with letters, e.g. --name NORMAL.")

    @property
    def label(self) -> str:
        """The name as a class: in upper case."""
        return self.name.strip().upper()

    def to_json(self) -> dict[str, Any]:
        """The options as JSON holds them, the filters' among them; a seed only where it decides anything."""
        return {**self.filters.to_json(), "per_class": self.per_class,
                "seed": self.seed if self.per_class else None, "name": self.label,
                "exclude": list(self.exclude), "folders": list(self.folders)}


def prepare(source: Path, target: Path, options: PrepareOptions | None = None, *, workers: int = 1,
            force: bool = False, track: Track = untracked, tell: Callable[[str], None] = print) -> Cohort:
    """Filter every film of `source` into `target`, with a manifest and a record of what was left out.

    The same call again goes on where it was interrupted; finished, it does nothing. The pixels don't depend
    on `workers`.

    Args:
        source: A folder or .zip of class folders; with `options.name`, of films of one class.
        target: Folder for `<CLASS>-<n>.jpeg`, `manifest.csv` and `prepared.json`; made where missing.
        options: What to prepare, and how; the tutorial's by default.
        workers: Processes. More than one needs the `if __name__ == "__main__":` of a script around it.
        force: Replace another preparation, or files named like ours.
        track: Shows progress.
        tell: Says what the caller may want to know: that films were ready or waiting already.

    Returns:
        All films of `target`, with the history of what was found and dropped.

    Raises:
        FilmError: No films, no classes, a film under two labels, a source that can't be trusted.
        OptionError: Options that contradict each other or what `target` holds.
        StorageError: `target` can't be written to, or holds something else and `force` is off.
    """
    options = options or PrepareOptions()
    if source.resolve() == target.resolve():
        raise OptionError("The prepared films must lie elsewhere than their originals.", received=str(target),
                          remedy="Name another --target.")
    with open_source(source) as opened:
        listing = list_films(opened.entries(without=target), name=options.label, exclude=options.exclude,
                             folders=options.folders)
        refuse_without_classes(listing, source, options.label)
        with crew(opened, workers=workers, films=len(listing.films), track=track) as hands:
            films = _inspected(hands, listing)
            part = Part(source.name or source.resolve().name, films.fingerprint(), options.to_json(),
                        tuple(listing.labels))
            place = Target(target, part, name=options.label)
            return _prepare_into(place, films, hands, options=options, force=force, tell=tell)


def _prepare_into(place: Target, films: Inspected, hands: Crew, *, options: PrepareOptions, force: bool,
                  tell: Callable[[str], None]) -> Cohort:
    if place.is_finished() and not force:
        tell(f"Already prepared: {place.path} holds these films with these options. Nothing was done.")
        return place.read()
    refuse_two_labels(films, place.other_films)
    place.claim(force=force)
    try:
        cohort = _chosen(films.without_copies(_readable(films, place, hands)), options)
    except PneumoError as failure:
        if not isinstance(failure, StorageError):  # then what is done can be gone on from
            place.abandon()
        raise
    return place.publish(_numbered(cohort))


def _inspected(hands: Crew, listing: Listing) -> Inspected:
    files = [film.file for film in listing.films]
    inspections = hands.map(inspect, files, description="Reading")
    return Inspected(listing, dict(zip(files, inspections, strict=True)))


def _readable(films: Inspected, place: Target, hands: Crew) -> Cohort:
    """Develop one of each group of copies; what can't be read is left out, with its copies."""
    trouble = {seen.sha256: seen.trouble for seen in films.inspections.values() if seen.trouble}
    firsts = [(file, sha256) for sha256, file in films.firsts.items() if sha256 not in trouble]
    task = partial(develop, folder=place.staging, filters=place.part.filters)
    reasons = hands.map(task, firsts, description="Filtering")
    trouble |= {sha256: reason for (_, sha256), reason in zip(firsts, reasons, strict=True) if reason}
    return films.readable(trouble)


def _chosen(cohort: Cohort, options: PrepareOptions) -> Cohort:
    if options.per_class is None:
        return cohort
    from pneumo_tf.data.balance import take_per_class  # brings scikit-learn, which is slow to import

    return take_per_class(cohort, options.per_class, seed=options.seed)


def _numbered(cohort: Cohort) -> Cohort:
    """The films class after class, named by their class and a number within it."""
    numbers: Counter[str] = Counter()
    films = []
    for film in sorted(cohort, key=lambda film: film.label):
        numbers[film.label] += 1
        name = f"{film.label}-{numbers[film.label]}"
        films.append(replace(film, id=name, file=f"{name}.jpeg"))
    return Cohort(tuple(films), cohort.history)
