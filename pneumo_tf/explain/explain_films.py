"""Explain films, and put pictures and numbers where a run keeps them: what explain_pict.py does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from pneumo_tf.errors import OptionError, choose_from
from pneumo_tf.explain.choosing import Chosen, read_lesion
from pneumo_tf.explain.gallery import FOLDER, RECORD, Explained, write_film
from pneumo_tf.explain.methods import Explainer, check_methods
from pneumo_tf.report.language import Language
from pneumo_tf.report.model_card import CARD
from pneumo_tf.report.page import PAGE, write_report
from pneumo_tf.storage import make_folder, replacing, write_json


def explain_films(explainer: Explainer, films: Sequence[Chosen], methods: Sequence[str], *, folder: Path,
                  words: Language, wanted: str | None = None, masks: Path | None = None,
                  advance: Callable[[int], None] = lambda _: None) -> list[dict[str, Any]]:
    """Explain films by several methods and write what they say.

    Args:
        explainer: The network and its options.
        films: The films.
        methods: Names from METHODS.
        folder: Gets a folder for each film and `explanations.json`; what it holds of other films stays.
        words: The language of titles and notes.
        wanted: The class to explain; None takes the one that each film is given.
        masks: Folder with the masks of phantoms' lesions.
        advance: Told after each method on each film.

    Returns:
        What is known of each film, as `explanations.json` holds it.

    Raises:
        PneumoError: A film, method or class that can't be used; the folder can't be written to.
    """
    check_methods(methods)
    classes = explainer.network.classes
    if wanted is not None and wanted not in classes:
        raise OptionError("The class to explain must be one that the network knows.", received=wanted,
                          remedy=choose_from(classes[:20], wanted))
    make_folder(folder)
    number = None if wanted is None else classes.index(wanted)
    records = [write_film(folder, _explained(explainer, chosen, methods, number=number, masks=masks,
                                             advance=advance), words) for chosen in films]
    _write_record(folder / RECORD, records, asdict(explainer.options))
    return records


def _explained(explainer: Explainer, chosen: Chosen, methods: Sequence[str], *, number: int | None,
               masks: Path | None, advance: Callable[[int], None]) -> Explained:
    """One film by every method."""
    film = explainer.network.read(chosen.path)
    given, scores = explainer.given(film)
    explained = given if number is None else number
    lesion = None if masks is None else read_lesion(masks, chosen, film.shape[:2])
    findings = []
    for method in methods:
        findings.append(explainer.explain(film, method, explained=explained, lesion=lesion))
        advance(1)
    classes = explainer.network.classes
    return Explained(chosen.name, film, label=chosen.label, predicted=classes[given],
                     explained=classes[explained], score=float(scores[explained]), findings=findings,
                     lesion=lesion)


def add_to_report(run: Path, *, lang: str) -> Path:
    """Write a run's report and model card anew; also beside the runs, where this run's lie.

    Returns:
        The report.
    """
    published = [name for name in (PAGE, CARD) if _is_copy(run.parents[1] / name, run / name)]
    report = write_report(run, lang=lang)
    for name in published:
        with replacing(run.parents[1] / name) as temporary:
            shutil.copyfile(run / name, temporary)
    return report


def _is_copy(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def explanations_folder(run: Path) -> Path:
    """Where a run keeps its explanations."""
    return run / FOLDER


def _write_record(path: Path, records: list[dict[str, Any]], options: dict[str, Any]) -> None:
    """The new films first, then those explained before."""
    names = {record["name"] for record in records}
    created = datetime.now().astimezone().isoformat(timespec="seconds")
    new = [{**record, "created": created, "lime": options} for record in records]
    write_json(path, {"films": [*new, *(film for film in _read_record(path) if film["name"] not in names)]})


def _read_record(path: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["films"])
    except (OSError, ValueError, KeyError, TypeError):
        return []  # none yet, or not ours: the pictures are made anew anyway
