"""Films from elsewhere, scored with a run's own operating point and calibrator: does it hold there?

Writes `external/<name>/{predictions.csv, metrics.json, report.html}` into the run's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.cohort import Cohort, Radiograph, table_sha256
from pneumo_tf.data.audit import file_sha256
from pneumo_tf.data.labels import load_cohort
from pneumo_tf.data.near_duplicates import find_known
from pneumo_tf.data.patients import folded
from pneumo_tf.errors import FilmError, LabelError
from pneumo_tf.evaluation.benefit import decision_curve
from pneumo_tf.evaluation.external_validation import REPEATS, check_labelled, drop, recalibration
from pneumo_tf.evaluation.metrics import evaluate
from pneumo_tf.evaluation.reliability import reliability
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.language import say
from pneumo_tf.names import fold
from pneumo_tf.places import folder_name
from pneumo_tf.progress import announce, progress_bar
from pneumo_tf.report.page import write_external_report
from pneumo_tf.runs.folder import EXTERNAL, METRICS, PREDICTIONS, RunFolder, read_run
from pneumo_tf.runs.predictor import Film, FilmReader, Predictor, predictor_of
from pneumo_tf.storage import make_folder, write_csv, write_json
from pneumo_tf.training.engine import AUTO
from pneumo_tf.training.trunk import ahead

FEWEST = 10


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """Films from elsewhere, and how they are evaluated.

    Attributes:
        films: Folder of films: originals, which are prepared as the run's were, or films prepared likewise.
        labels: Their table.
        name: Of the evaluation; empty takes the folder's.
        extension: Of the films; None for any image.
        patients: Column of the table that tells the patients, as `load_cohort` takes it.
        recalibrate: How many labelled films from there are imagined to be had; None for none.
        engine: "keras", "openvino", or "auto" for what suits the machine.
        threads: Of the processor; None takes all cores.
        replace: Take the place of the last evaluation of these films under this name.
        allow_known: Go on where the run knows some of the films: the report then says so first.
        seed: Of everything random.
        resamples: Behind each interval.
        lang: Of the report.
        command: What was typed, to be repeated.
    """

    films: Path
    labels: Path
    name: str = ""
    extension: str | None = None
    patients: str | None = None
    recalibrate: int | None = None
    engine: str = AUTO
    threads: int | None = None
    replace: bool = False
    allow_known: bool = False
    seed: int = 42
    resamples: int = 1000
    lang: str = "en"
    command: Sequence[str] = ()


def evaluate_elsewhere(folder: Path, elsewhere: Elsewhere) -> Path:
    """Evaluate a finished run on films from elsewhere.

    Args:
        folder: The run's.
        elsewhere: The films.

    Returns:
        The report.

    Raises:
        RunError: The folder is no finished run.
        FilmError: Fewer than 10 films, one that is unreadable or was prepared in another way, or films that
            the run knows already.
        LabelError: Classes that the run doesn't know, or labels that don't fit the films.
        ScoreError: More films for recalibration than there are.
        StorageError: The run's folder can't be written to.
    """
    name = folder_name(elsewhere.name.strip() or elsewhere.films.resolve().name, what="an evaluation")
    run, labels_sha256 = read_run(folder), table_sha256(elsewhere.labels)
    cohort = known_films(run, elsewhere)
    if elsewhere.recalibrate is not None:
        check_labelled(cohort.labels, run.classes, elsewhere.recalibrate)
    make_folder(folder)
    predictor, overlap, scores = score_films(
        run, cohort, elsewhere,
        remedy="Leave them out, or add --allow-known to see figures that are too good.")
    place = _place(run, name, elsewhere)
    announce("Figures")
    write_json(place / METRICS, {
        "name": place.name, "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "films_folder": str(elsewhere.films.absolute()), "labels": str(elsewhere.labels.absolute()),
        "labels_sha256": labels_sha256, "command": list(elsewhere.command), "seed": elsewhere.seed,
        "resamples": elsewhere.resamples, "overlap": overlap,
        **_figures(run, scores, predictor, elsewhere)})
    predictions = scores.to_predictions("test", predictor.threshold)
    if scores.is_binary:
        predictions["probability"] = predictor.calibrator.apply(scores).positive_scores
    write_csv(place / PREDICTIONS, predictions)
    return write_external_report(place, run, cohort, lang=elsewhere.lang)


def score_films(run: RunFolder, cohort: Cohort, elsewhere: Elsewhere, *,
                remedy: str) -> tuple[Predictor, dict[str, Any], Scores]:
    """What a run says of films from elsewhere, as of `known_films`.

    Args:
        remedy: What to do about films that the run knows.

    Returns:
        The run's predictor, what `find_overlap` found, and the uncalibrated scores.

    Raises:
        FilmError: One is unreadable or was prepared in another way, or the run knows some of them.
    """
    predictor = predictor_of(run, engine=elsewhere.engine, threads=elsewhere.threads)
    predictor = replace(predictor, read=replace(predictor.read, takes_blank=False))
    overlap = find_overlap(run, cohort, elsewhere.films, predictor.read, workers=predictor.workers)
    if overlap["films"] and not elsewhere.allow_known:
        raise FilmError(
            "Films from elsewhere must be new to the run.",
            received=f"{overlap['films']} of {len(cohort)} that it knows ({overlap['copies']} byte for byte, "
                     f"{overlap['alike']} by their looks), e.g. {overlap['example']}", remedy=remedy)
    files = [elsewhere.films / film.file for film in cohort]
    with progress_bar("Films from elsewhere", len(files)) as advance:
        values = predictor.scores(files, advance=advance)
    return predictor, overlap, Scores.of_cohort(cohort, values, run.positive, classes=run.classes)


def _place(run: RunFolder, name: str, elsewhere: Elsewhere) -> Path:
    """The folder of an evaluation: no other's, but for the one of the same films that is to be replaced."""
    place = wanted = run.path / EXTERNAL / name
    for number in count(2):
        before = run.record(f"{EXTERNAL}/{place.name}/{METRICS}")
        if not before:
            break
        if elsewhere.replace and before.get("films_folder") == str(elsewhere.films.absolute()):
            say(f"The evaluation in {place} is replaced.", aside=True)
            break
        place = wanted.with_name(f"{name}-{number}")
    if place != wanted:
        say(f"{wanted} holds an evaluation that stays: this one goes into {place}.", aside=True)
    return make_folder(place)


def known_films(run: RunFolder, elsewhere: Elsewhere) -> Cohort:
    """The films with their labels as the run spells them, without copies.

    Raises:
        LabelError: A class that the run doesn't know.
        FilmError: Fewer than 10 films, or one film under two labels.
    """
    announce("Audit")
    cohort = load_cohort(elsewhere.labels, elsewhere.films, extension=elsewhere.extension,
                         patients=elsewhere.patients, project=run.films_folder.parent)
    spelled = {fold(name): name for name in run.classes}
    cohort = Cohort(tuple(replace(film, label=spelled.get(fold(film.label), film.label)) for film in cohort),
                    cohort.history)
    if strangers := sorted(set(cohort.classes) - set(run.classes)):
        raise LabelError("Films from elsewhere must be of the run's classes.",
                         received=f"{', '.join(strangers)}, where the run has {', '.join(run.classes)}",
                         remedy="Rename the classes in the labels table, or leave these films out.")
    cohort = _without_copies(cohort, elsewhere.films)
    if len(cohort) < FEWEST:
        raise FilmError(f"An evaluation elsewhere needs at least {FEWEST} films.",
                        received=f"{len(cohort)} in {elsewhere.films}", remedy="Add films.")
    return cohort


def _without_copies(cohort: Cohort, films: Path) -> Cohort:
    """The first of each group of identical originals; the hashes are noted on the way."""
    cohort = cohort.with_column("sha256", [film.sha256 or file_sha256(films / film.file) for film in cohort])
    first = {film.sha256: film for film in reversed(cohort.radiographs)}
    if twins := [film for film in cohort if first[film.sha256].label != film.label]:
        raise FilmError("A film must have one label.",
                        received=f"the same bytes in {first[twins[0].sha256].file} and {twins[0].file}",
                        remedy="Delete the one that is wrong.")
    return cohort.keep(lambda film: first[film.sha256] is film, stage="unique films",
                       reason="byte-identical copy")


def _figures(run: RunFolder, scores: Scores, predictor: Predictor, elsewhere: Elsewhere) -> dict[str, Any]:
    calibrated, threshold, seed = predictor.calibrator.apply, predictor.threshold, elsewhere.seed
    content: dict[str, Any] = {
        "test": evaluate(scores, threshold, seed=seed, resamples=elsewhere.resamples),
        "drop": drop(run.scores("test"), scores, threshold, calibrated=calibrated, seed=seed,
                     resamples=elsewhere.resamples)}
    if scores.is_binary:
        probabilities = calibrated(scores)
        content["test"]["calibration"] = {
            stage: reliability(judged, seed=seed, resamples=elsewhere.resamples)
            for stage, judged in (("before", scores), ("after", probabilities))}
        content["test"]["decision_curve"] = decision_curve(probabilities)
    if elsewhere.recalibrate is not None and threshold is not None:
        content["recalibration"] = recalibration(scores, elsewhere.recalibrate, threshold=threshold,
                                                 calibrated=calibrated, fix=run.fix_threshold,
                                                 repeats=REPEATS, seed=seed)
    return content


def find_overlap(run: RunFolder, cohort: Cohort, films: Path, read: FilmReader, *,
                 workers: int = 1) -> dict[str, Any]:
    """Which of the films the run knows already: by their bytes, those of their originals, and their looks.

    Args:
        run: The run.
        cohort: The films.
        films: Their folder.
        read: A film's file to its pixels, as the run's network meets them.
        workers: Threads that read films.

    Returns:
        Numbers of `films` that are known (None where nothing could be compared), of them `copies` byte for
        byte and `alike` by their looks alone, with an `example`; of films of the run that are gone, of which
        copies that were saved again are not found (`unseen`), nor any where no hash was kept (`uncompared`);
        and of `patients` of the same name.
    """
    paths = [run.film_path(film.file) for film in run.cohort]
    own = [_hashes(film, path) for film, path in zip(run.cohort, paths, strict=True)]
    known, files = set().union(*own), [films / film.file for film in cohort]
    copies = np.array([bool(_hashes(film, file) & known) for film, file in zip(cohort, files, strict=True)])
    there = [path for path in paths if path is not None]
    alike = _look_known(files, there, read, workers=workers) & ~copies
    again = np.flatnonzero(copies | alike)
    return {"films": len(again) if known or there else None, "copies": int(copies.sum()),
            "alike": int(alike.sum()), "example": cohort.ids[again[0]] if len(again) else None,
            "unseen": len(paths) - len(there), "uncompared": sum(not hashes for hashes in own),
            "patients": len(set(map(folded, cohort.patients)) & set(map(folded, run.cohort.patients)) - {""})}


def _look_known(files: Sequence[Path], own: Sequence[Path], read: FilmReader, *,
                workers: int) -> NDArray[np.bool_]:
    """Which of the files look like a film of the run, where that can still be read."""
    def read_own(path: Path) -> Film:
        try:
            return read(path)
        except FilmError:
            return np.zeros((1, 1, 3), np.uint8)

    with ThreadPoolExecutor(workers) as pool, \
            progress_bar("Looking for known films", len(files) + len(own)) as advance:
        def films(make: Callable[[Path], Film], paths: Sequence[Path]) -> Iterator[Film]:
            for film in ahead(pool, make, paths, depth=2 * workers):
                advance(1)
                yield film

        return find_known(films(read, files), films(read_own, own))


def _hashes(film: Radiograph, path: Path | None) -> set[str]:
    """SHA-256 of a film's original and of its file, where they are known."""
    return {film.sha256, file_sha256(path) if path else ""} - {""}
