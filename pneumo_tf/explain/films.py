"""Explain films: choose them, explain each by several methods, and keep pictures and figures in a folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumo_tf.cohort import Radiograph
from pneumo_tf.data.dicom import identify
from pneumo_tf.data.images import in_mode, read_film_file
from pneumo_tf.data.preparation.lungs import lungs_mask
from pneumo_tf.errors import FilmError, OptionError, choose_from
from pneumo_tf.explain.methods import Explainer, Finding, check_methods
from pneumo_tf.explain.pictures import write_pictures
from pneumo_tf.explain.superpixels import Film
from pneumo_tf.places import find_existing
from pneumo_tf.report.sections.explanations import sentence
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import EXPLANATIONS_RECORD, PANEL, RunError, RunFolder
from pneumo_tf.storage import make_folder, read_json, write_json


@dataclass(frozen=True)
class Chosen:
    """A film to be explained; what isn't known of it is empty.

    Attributes:
        name: Its id in the run, or its file's name without ending; a DICOM film's instance UID.
        path: Its file; None where a film of the run is gone.
        origin: What tells it from every other film: its run and id, or its file's path, or instance UID.
        label: Its true class.
        source: Its original file, relative to the source that was prepared.
    """

    name: str
    path: Path | None
    origin: str = ""
    label: str = ""
    source: str = ""


def choose_films(names: Sequence[str], *, run: RunFolder | None, worst: int = 0) -> list[Chosen]:
    """The films to be explained, each once: by ids in the run or paths of images.

    After them come so many of the worst errors among the run's test films.

    Raises:
        FilmError: Neither an id nor a file.
        RunError: The gravest errors of a run that made none.
    """
    films = {} if run is None else {film.id: film for film in run.cohort}
    chosen = [_of_run(run, films[name]) if run and name in films else _by_path(run, name) for name in names]
    if run is not None and worst:
        chosen += [_of_run(run, films[name]) for name in _worst(run, worst)]
    return list({film.origin: film for film in chosen}.values())


def _worst(run: RunFolder, count: int) -> list[str]:
    """Ids of the wrong test films, farthest from the threshold first; all where there are fewer."""
    table = run.predictions
    table = table[(table["split"] == "test") & (table["label"] != table["predicted"])].copy()
    if table.empty:
        raise RunError("The worst errors need errors.", remedy="Name films instead.",
                       received=f"{run.path}, whose test films are all right")
    scores = table[[f"p_{name}" for name in run.classes]]
    shown = table[f"p_{run.positive}"] if run.is_binary else scores.max(axis=1)
    table["gravity"] = (shown - (run.threshold or 0.0)).abs()
    return list(table.sort_values(["gravity", "id"], ascending=[False, True]).head(count)["id"])


def _of_run(run: RunFolder, film: Radiograph) -> Chosen:
    return Chosen(film.id, run.film_path(film.file), f"{run.name}/{film.id}", film.label, film.source)


def _by_path(run: RunFolder | None, name: str) -> Chosen:
    """An image by its path: a film of the run where it is one, else never under the id of one."""
    path = find_existing(name, what="film", error=FilmError,
                         remedy="Name an id of the run's split.csv, or an image.")
    if path.is_dir():
        raise FilmError("A film must be a file.", received=f"{path}, a folder",
                        remedy="Name the films in it.")
    with path.open("rb") as file:
        identity = identify(file)
    chosen = Chosen(identity.instance, path, identity.instance) if identity else \
        Chosen(path.stem, path, str(path.resolve()))
    if run is None:
        return chosen
    for film in run.cohort:
        known = run.film_path(film.file) if Path(film.file).name == path.resolve().name else None
        if known is not None and known.resolve() == path.resolve():
            return _of_run(run, film)
    ids = {_folder_of(film.id).casefold() for film in run.cohort}
    return _told_apart(chosen) if _folder_of(chosen.name).casefold() in ids else chosen


def read_lesion(folder: Path, film: Chosen, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The mask of a phantom's lesion on the film that the network is given; None for films without one.

    The folder is the `masks` beside the phantoms. The film was prepared with its sides kept in proportion, or
    stretched; not padded.
    """
    path = folder / Path(film.source).with_suffix(".png")
    if not film.source or not path.is_file():
        return None
    mask = in_mode(read_film_file(path), "L").resize(shape[::-1], Image.Resampling.BILINEAR)
    return np.asarray(mask) > 127


def find_lungs(film: Film) -> NDArray[np.bool_] | None:
    """Where the lungs lie on a film as the network is given it, uint8 (H, W, 3), whole or cut to its lungs.

    What is lung on one side counts on the other too: a lobe that is white with disease isn't seen as lung,
    and there of all places a map may well point.

    Returns:
        bool (H, W); None where no plausible lungs are found.
    """
    lungs = lungs_mask(film[..., 0])
    if lungs is None:
        return None
    columns = np.flatnonzero(lungs.any(axis=0))
    between = np.s_[:, columns[0] : columns[-1] + 1]
    lungs[between] = lungs[between] | lungs[between][:, ::-1]
    return np.asarray(Image.fromarray(lungs).resize(film.shape[1::-1], Image.Resampling.NEAREST))


def explain_films(explainer: Explainer, films: Sequence[Chosen], methods: Sequence[str], *, folder: Path,
                  words: Language, wanted: str | None = None, masks: Path | None = None,
                  advance: Callable[[int], None] = lambda _: None) -> list[dict[str, Any]]:
    """Explain films by several methods and write what they find.

    A film that can't be explained gets its reason in the record, and the others go on.

    Args:
        methods: Names from METHODS.
        folder: Gets a folder for each film and `explanations.json`; what it holds of other films stays.
        wanted: The class to explain; None takes the positive of two classes, of several the called one.
        masks: Folder with the masks of phantoms' lesions.
        advance: Told after each film.

    Returns:
        The records of the films, as `explanations.json` holds them; `error` says why one isn't explained.

    Raises:
        OptionError: A method, class or option of LIME that can't be used.
        StorageError: The folder can't be written to.
    """
    _check(explainer, methods, wanted)
    path = make_folder(folder) / EXPLANATIONS_RECORD
    before, records = _read_record(path), []
    for film in _distinct(films, before):
        facts = {"name": film.name, "origin": film.origin, "label": film.label,
                 "created": datetime.now().astimezone().isoformat(timespec="seconds")}
        try:
            explained = explain_one(explainer, film, methods, wanted=wanted, masks=masks)
            found = _written(explained, folder, words)
        except FilmError as failure:
            found = {"error": str(failure)}
        records.append({**facts, **found, "lime": asdict(explainer.options)})
        names = {record["name"] for record in records}
        # After every film, so that an interruption costs no more than the film at hand.
        write_json(path, {"films": [*records, *(each for each in before if each["name"] not in names)]})
        advance(1)
    return records


@dataclass(frozen=True)
class ExplainedFilm:
    """One film with what each method found on it.

    Attributes:
        film: The pixels that the network is given, uint8 (H, W, 3).
        findings: One for each method.
        record: What is kept of it, ready for JSON.
        lesion: Of a phantom, bool (H, W).
    """

    film: Film
    findings: list[Finding]
    record: dict[str, Any]
    lesion: NDArray[np.bool_] | None = None


def explain_one(explainer: Explainer, chosen: Chosen, methods: Sequence[str], *, wanted: str | None = None,
                masks: Path | None = None) -> ExplainedFilm:
    """Explain one film by several methods; arguments as of `explain_films`.

    Raises:
        FilmError: It is gone, or can't be explained.
        OptionError: A method, class or option of LIME that can't be used.
    """
    _check(explainer, methods, wanted)
    network = explainer.network
    if chosen.path is None:
        raise FilmError("A film must still be there to be explained.", received=chosen.name,
                        remedy="Put the folder of films back where the run found it.")
    film = network.read(chosen.path)
    called, scores = explainer.called(film)
    explained = network.classes.index(wanted or network.positive or network.classes[called])
    lesion = None if masks is None else read_lesion(masks, chosen, film.shape[:2])
    lungs = find_lungs(film) if network.shows_lungs else None
    findings = [explainer.explain(film, method, explained=explained, lesion=lesion, lungs=lungs)
                for method in methods]
    name = network.classes[explained]
    probability = None if network.probabilities is None else network.probabilities(scores[None])[0, explained]
    record = {"name": chosen.name, "label": chosen.label, "predicted": network.classes[called],
              "explained": name, "score": float(scores[explained]),
              "threshold": network.threshold if name == network.positive else None,
              "calibrated_probability": None if probability is None else float(probability),
              "panel": f"{_folder_of(chosen.name)}/{PANEL}",
              "methods": {each.method: {"verdict": each.verdict, **each.numbers} for each in findings}}
    if all(each.verdict == "blank" for each in findings):
        record["error"] = "all its pixels have one colour"
    return ExplainedFilm(film, findings, record, lesion)


def _check(explainer: Explainer, methods: Sequence[str], wanted: str | None) -> None:
    check_methods(methods)
    classes = explainer.network.classes
    if wanted is not None and wanted not in classes:
        raise OptionError("The class to explain must be one that the network knows.", received=wanted,
                          remedy=choose_from(classes[:20], wanted))


def _written(explained: ExplainedFilm, folder: Path, words: Language) -> dict[str, Any]:
    """The record of a film, once its pictures are in the folder."""
    record = explained.record
    write_pictures(folder / Path(record["panel"]).parent, explained.film, explained.findings, words=words,
                   title=sentence(record, words), explained=record["explained"], lesion=explained.lesion)
    return record


def _distinct(films: Sequence[Chosen], before: Sequence[dict[str, Any]]) -> list[Chosen]:
    """The films under names whose folders no other film has, of these and of those explained before."""
    owners = {_folder_of(record["name"]).casefold(): record.get("origin") for record in before}
    distinct = []
    for film in films:
        if owners.get(_folder_of(film.name).casefold(), film.origin) not in (film.origin, None):
            film = _told_apart(film)
        owners[_folder_of(film.name).casefold()] = film.origin
        distinct.append(film)
    return distinct


def _told_apart(film: Chosen) -> Chosen:
    """The film under its name and a hash of its origin."""
    return replace(film, name=f"{film.name}-{hashlib.sha256(film.origin.encode()).hexdigest()[:8]}")


def _folder_of(name: str) -> str:
    """A name as a folder that every disk takes."""
    return re.sub(r"[^\w.-]|^\.", "_", name)


def _read_record(path: Path) -> list[dict[str, Any]]:
    """The films that were explained before; none where the record is damaged or not one of ours."""
    try:
        return [film for film in read_json(path)["films"] if film["name"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
