"""Original films -> a folder of films that share one mode, one canvas and one encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.listing import Listing, list_films
from pneumo_tf.data.patients import read_salt
from pneumo_tf.data.preparation.filters import AUTO, FilterOptions
from pneumo_tf.data.preparation.record import Part
from pneumo_tf.data.preparation.sifting import Inspected, refuse_two_labels, refuse_without_classes
from pneumo_tf.data.preparation.target import Target
from pneumo_tf.data.preparation.tasks import (
    Filtered,
    filter_film,
    filter_shard,
    has_lungs,
    inspect_film,
    waiting_name,
)
from pneumo_tf.data.sources import Source, open_source
from pneumo_tf.data.splits import take_per_class
from pneumo_tf.errors import OptionError
from pneumo_tf.language import say
from pneumo_tf.names import clean
from pneumo_tf.processes import in_processes

_ASKED = 40  # films that are asked whether they show lungs
_NEARLY_ALL = 0.9


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
        anonymous: Hash the instances of DICOM films too, by which they are called in the records.
        shards: Films of a shard; None gives each film a file of its own.

    Raises:
        OptionError: A name that can't be a class and the start of a file name; shards of chosen films.
    """

    filters: FilterOptions = field(default_factory=FilterOptions)
    per_class: int | None = None
    seed: int = 42
    name: str = ""
    exclude: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    anonymous: bool = False
    shards: int | None = None

    def __post_init__(self) -> None:
        if (self.name and not self.label) or set(self.name) & set("/\\:") or self.label.startswith("."):
            raise OptionError("A class name must do as the start of a file name.", received=repr(self.name),
                              remedy="Name it with letters, e.g. --name NORMAL.")
        if self.shards and self.per_class:
            raise OptionError("Shards hold every film of a source.", received="a choice for each class",
                              remedy="Leave out --shards or --per-class.")

    @property
    def label(self) -> str:
        """The name as a class: in upper case."""
        return clean(self.name).upper()

    def to_json(self) -> dict[str, Any]:
        """The options as JSON holds them, the filters' among them; a seed only where it decides anything."""
        return {**self.filters.to_json(), "per_class": self.per_class,
                "seed": self.seed if self.per_class else None, "name": self.label,
                "exclude": list(self.exclude), "folders": list(self.folders),
                **({"anonymous": True} if self.anonymous else {}),
                **({"shards": self.shards} if self.shards else {})}


def prepare(source: Path, target: Path, options: PrepareOptions | None = None, *, workers: int = 1,
            force: bool = False, tell: Callable[[str], None] = say) -> Cohort:
    """Filter every film of `source` into `target`, with a manifest and a record of what was left out.

    The same call again goes on where it was interrupted; finished, it does nothing. The pixels don't depend
    on `workers`.

    Args:
        source: A folder or .zip of class folders; with `options.name`, of films of one class.
        target: Folder for `<CLASS>-<n>.jpeg`, `manifest.csv` and `prepared.json`; made where missing.
        options: The tutorial's by default.
        workers: Processes.
        force: Replace another preparation, or files named like ours.
        tell: Is given a sentence where the films were prepared already.

    Returns:
        All films of `target`, with the history of what was found and dropped.

    Raises:
        FilmError: No films, no classes, a film under two labels, a source that can't be trusted.
        OptionError: Options that contradict each other or what `target` holds.
        StorageError: `target` can't be written to, holds something else and `force` is off, or is being
            prepared into by another process.
        ProcessError: A process was killed; the same call goes on from there.
    """
    options = options or PrepareOptions()
    if source.resolve() == target.resolve():
        raise OptionError("The prepared films must lie elsewhere than their originals.", received=str(target),
                          remedy="Name another --target.")
    with open_source(source) as opened:
        listing = list_films(opened.entries(without=target), name=options.label, exclude=options.exclude,
                             folders=options.folders)
        refuse_without_classes(listing, source, options.label)
        films = _inspected(listing, opened, workers)
        if films.has_dicom:
            films = replace(films, salt=read_salt(target.absolute().parent), anonymous=options.anonymous)
        filters = replace(options.filters, depth=options.filters.depth or films.depth,
                          fit=_settled_fit(options.filters, films, opened, workers))
        options = replace(options, filters=filters)
        part = Part(source.name or source.resolve().name, films.fingerprint(), options.to_json(),
                    tuple(listing.labels))
        folder = Target(target, part, name=options.label)
        if folder.is_finished() and not force:
            folder.tidy()
            tell(f"Already prepared: {target} holds these films with these options. Nothing was done.")
            return folder.read()
        refuse_two_labels(films, folder.other_films)
        with folder.claimed(force=force):
            became, shard_of = _filtered(films, folder, opened, workers)
            cohort = _chosen(films.without_copies(films.readable(became)), options)
            return folder.publish(_numbered(cohort, shard_of))


def audit_source(source: Path, *, workers: int = 1) -> Cohort:
    """What a source holds, nothing written: its readable films without copies, and why the others aren't.

    Raises:
        FilmError: No films, no classes, or a source that can't be trusted.
        ProcessError: A process was killed.
    """
    with open_source(source) as opened:
        listing = list_films(opened.entries())
        refuse_without_classes(listing, source, "")
        films = _inspected(listing, opened, workers)
        readable = films.readable({seen.sha256: Filtered() for seen in films.inspections.values()})
        return films.without_copies(readable)


def _inspected(listing: Listing, source: Source, workers: int) -> Inspected:
    files = [film.file for film in listing.films]
    inspections = in_processes(partial(inspect_film, source=source), files, workers=workers,
                               description="Reading")
    return Inspected(listing, dict(zip(files, inspections, strict=True)))


def _settled_fit(filters: FilterOptions, films: Inspected, source: Source, workers: int) -> str:
    """What "auto" stands for: the lungs where nearly all of some films, evenly spread, show them."""
    if filters.fit != AUTO:
        return filters.fit
    files = [file for file in films.firsts.values() if not films.inspections[file].trouble]
    some = files[:: max(1, len(files) // _ASKED)]
    if filters.color or not some:
        return "thumbnail"
    found = in_processes(partial(has_lungs, source=source), some, workers=workers,
                         description="Looking for lungs")
    return "lungs" if sum(found) >= _NEARLY_ALL * len(some) else "thumbnail"


def _filtered(films: Inspected, folder: Target, source: Source,
              workers: int) -> tuple[dict[str, Filtered], dict[str, str]]:
    """Filter one film of each group of copies; what became of it and its shard, if it has one, by hash."""
    trouble = {seen.sha256: Filtered(seen.trouble) for seen in films.inspections.values() if seen.trouble}
    firsts = [(file, sha256) for sha256, file in films.firsts.items() if sha256 not in trouble]
    shards = folder.shards(firsts)
    given: dict[str, Any] = {"source": source, "folder": folder.staging, "filters": folder.part.filters}
    if shards:
        parts = in_processes(partial(filter_shard, **given), shards, workers=workers, description="Filtering",
                             least=1)
        made = [found for part in parts for found in part]
    else:
        made = in_processes(partial(filter_film, **given), firsts, workers=workers, description="Filtering")
    shard_of = {sha256: name for name, part in shards for _, sha256 in part}
    return trouble | dict(zip((sha256 for _, sha256 in firsts), made, strict=True)), shard_of


def _chosen(cohort: Cohort, options: PrepareOptions) -> Cohort:
    return take_per_class(cohort, options.per_class, seed=options.seed) if options.per_class else cohort


def _numbered(cohort: Cohort, shard_of: Mapping[str, str]) -> Cohort:
    """The films class after class, named by their class and a number within it; a film of a shard has its
    file there.
    """
    numbers: Counter[str] = Counter()
    films = []
    for film in sorted(cohort, key=lambda film: film.label):
        numbers[film.label] += 1
        name = f"{film.label}-{numbers[film.label]}"
        shard = shard_of.get(film.sha256)
        file = f"{shard}/{waiting_name(film.sha256)}" if shard else f"{name}.jpeg"
        films.append(replace(film, id=name, file=file))
    return Cohort(tuple(films), cohort.history)
