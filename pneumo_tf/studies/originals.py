"""The films that a run's films were prepared from, where they can still be found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from pneumo_tf.cohort import Radiograph
from pneumo_tf.data.dicom import DicomFilm, identify
from pneumo_tf.data.images import read_film
from pneumo_tf.data.preparation.record import read_prepared
from pneumo_tf.data.sources import Source, open_source
from pneumo_tf.errors import FilmError
from pneumo_tf.places import project_root
from pneumo_tf.runs.folder import RunFolder


@dataclass(frozen=True)
class Originals:
    """A source that holds the originals of some films.

    Attributes:
        source: Open for as long as they are read.
        largest: Longer side, in pixels, that an original is reduced to before anything else is done with it.
            Full-size films would take minutes, and a network of a few hundred pixels sees no difference.
    """

    source: Source
    largest: int

    @cached_property
    def _instances(self) -> dict[str, str]:
        """Instance UID of each DICOM film -> its file."""
        found = {}
        for entry in self.source.entries():
            with self.source.open(entry.file) as file:
                if identity := identify(file):
                    found[identity.instance] = entry.file
        return found

    def _file(self, film: Radiograph) -> str:
        """The file of a film's original, which records call by its path, or DICOM by its instance."""
        is_dicom = film.facts.get("format") == DicomFilm.format
        return self._instances.get(film.source, film.source) if is_dicom else film.source

    def read(self, film: Radiograph) -> Image.Image:
        """The original of a film, as `images.read_film` gives it.

        Raises:
            FilmError: It is damaged.
        """
        original = read_film(self.source.read(self._file(film)))
        original.thumbnail((self.largest, self.largest), Image.Resampling.LANCZOS)
        return original

    def hold(self, films: Sequence[Radiograph]) -> bool:
        """Whether every film's original is there, and the first one's bytes are those that were prepared."""
        known = {entry.file for entry in self.source.entries()}
        first = films[0]
        return all(self._file(film) in known for film in films) and \
            hashlib.sha256(self.source.read(self._file(first))).hexdigest() == first.sha256


def find_originals(run: RunFolder, films: Sequence[Radiograph], *, named: Path | None) -> Path | None:
    """The folder or archive with the originals of a run's films; None where it is gone.

    Looked for under the name that `prepared.json` has, beside the prepared films, in the folders there, in
    the project and in the current folder.

    Args:
        films: That are asked for.
        named: Where a person says that they are.

    Raises:
        FilmError: They aren't where that person says.
    """
    prepared, home = read_prepared(run.films_folder), run.films_folder.parent
    names = [part.source for part in prepared.parts] if prepared else []
    places = [named] if named else [
        path for root in (home, project_root(), Path.cwd()) for name in names
        for path in (root / name, *sorted(root.glob(f"*/{name}")))]
    for place in places:
        if place.exists() and _holds(place, films):
            return place
    if named:
        raise FilmError("The originals must be those that the run's films were prepared from.",
                        received=str(named), remedy="Name the folder or .zip that prepare_pict.py was given.")
    return None


def _holds(place: Path, films: Sequence[Radiograph]) -> bool:
    try:
        with open_source(place) as source:
            return Originals(source, largest=1).hold(films)
    except (FilmError, OSError):  # another archive by this name
        return False
