"""Which films are explained, and where a phantom's lesion lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumo_tf.cohort import Radiograph
from pneumo_tf.data.images import in_mode, read_film_file
from pneumo_tf.errors import FilmError
from pneumo_tf.places import find_existing
from pneumo_tf.runs.folder import RunError, RunFolder


@dataclass(frozen=True)
class Chosen:
    """A film to be explained; what isn't known of it is empty.

    Attributes:
        name: Its id in the run, or its file's name.
        path: Its file.
        label: Its true class.
        source: Its original file, relative to the source that was prepared.
    """

    name: str
    path: Path
    label: str = ""
    source: str = ""


def worst_films(run: RunFolder, count: int) -> list[Chosen]:
    """The gravest errors among the test films, farthest from the threshold first; all where there are fewer.

    Raises:
        RunError: The run made no error.
        FilmError: A film is gone.
    """
    table = run.predictions
    table = table[(table["split"] == "test") & (table["label"] != table["predicted"])].copy()
    if table.empty:
        raise RunError("The worst errors need errors.", remedy="Name films instead.",
                       received=f"{run.path}, whose test films are all right")
    scores = table[[f"p_{name}" for name in run.classes]]
    shown = table[f"p_{run.positive}"] if run.is_binary else scores.max(axis=1)
    table["gravity"] = (shown - (run.threshold or 0.0)).abs()
    table = table.sort_values(["gravity", "id"], ascending=[False, True]).head(count)
    films = {film.id: film for film in run.cohort}
    return [_of_run(run, films[name]) for name in table["id"]]


def named_films(run: RunFolder, names: list[str]) -> list[Chosen]:
    """Films by their id in the run, or by the path of any image.

    Raises:
        FilmError: Neither exists.
    """
    films = {film.id: film for film in run.cohort}
    return [_of_run(run, films[name]) if name in films else _anywhere(name) for name in names]


def images(names: list[str]) -> list[Chosen]:
    """Images by their path, without a run.

    Raises:
        FilmError: One doesn't exist.
    """
    return [_anywhere(name) for name in names]


def read_lesion(folder: Path, film: Chosen, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Where a phantom's lesion lies on the film as the network sees it; None for films without one.

    Args:
        folder: The `masks` beside the phantoms.
        film: Prepared with its sides kept in proportion, or stretched; not padded.
        shape: Height and width.
    """
    path = folder / Path(film.source).with_suffix(".png")
    if not film.source or not path.is_file():
        return None
    mask = in_mode(read_film_file(path), "L")
    return np.asarray(mask.resize(shape[::-1], Image.Resampling.BILINEAR)) > 127


def _of_run(run: RunFolder, film: Radiograph) -> Chosen:
    path = run.film_path(film.file)
    if path is None:
        raise FilmError("A film must still be there to be explained.",
                        received=f"{film.id} ({film.file or 'no file'})",
                        remedy="Put the folder of films back where the run found it.")
    return Chosen(film.id, path, film.label, film.source)


def _anywhere(name: str) -> Chosen:
    path = find_existing(name, what="film", error=FilmError,
                         remedy="Name an id of the run's split.csv, or an image.")
    if path.is_dir():
        raise FilmError("A film must be a file.", received=f"{path}, a folder",
                        remedy="Name the films in it.")
    return Chosen(path.stem, path)
