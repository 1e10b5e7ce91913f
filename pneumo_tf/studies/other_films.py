"""Films from elsewhere, scored with a run's own operating point and calibrator: does it hold there?

Writes `external/<name>/{predictions.csv, metrics.json, report.html}` into the run's folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.labels import load_cohort
from pneumo_tf.errors import FilmError, LabelError
from pneumo_tf.evaluation.benefit import decision_curve
from pneumo_tf.evaluation.external import drop
from pneumo_tf.evaluation.metrics import evaluate
from pneumo_tf.evaluation.recalibration import REPEATS, check_labelled, recalibration
from pneumo_tf.evaluation.reliability import reliability
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.places import folder_name
from pneumo_tf.progress import progress_bar
from pneumo_tf.report.external import write_external_report
from pneumo_tf.runs.folder import RunFolder, read_run
from pneumo_tf.runs.predictor import Predictor, fix_as, predictor_of, recorded_scores
from pneumo_tf.storage import make_folder, replacing, write_json
from pneumo_tf.training.engine import AUTO

FOLDER = "external"
FEWEST = 10


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """Films from elsewhere, and how they are evaluated.

    Attributes:
        films: Folder of films: originals, which are prepared as the run's were, or films prepared likewise.
        labels: Their table.
        name: Of the evaluation; empty takes the folder's.
        extension: Of the films; None for any image.
        recalibrate: How many labelled films from there are imagined to be had; None for none.
        engine: "keras", "openvino", or "auto" for what suits the machine.
        threads: Of the processor; None takes all cores.
        seed: Of everything random.
        resamples: Behind each interval.
        lang: Of the report.
        command: What was typed, to be repeated.
    """

    films: Path
    labels: Path
    name: str = ""
    extension: str | None = None
    recalibrate: int | None = None
    engine: str = AUTO
    threads: int | None = None
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
        FilmError: Fewer than 10 films, or one that is unreadable or was prepared in another way.
        LabelError: Classes that the run doesn't know, or labels that don't fit the films.
        ScoreError: More films for recalibration than there are.
        StorageError: The run's folder can't be written to.
    """
    run, place = read_run(folder), folder / FOLDER / _name(elsewhere)
    cohort = known_films(run, elsewhere)
    if elsewhere.recalibrate is not None:
        check_labelled(cohort.labels, run.classes, elsewhere.recalibrate)
    make_folder(place)
    predictor = predictor_of(run, engine=elsewhere.engine, threads=elsewhere.threads)
    files = [elsewhere.films / film.file for film in cohort]
    with progress_bar("Films from elsewhere", len(files)) as advance:
        scores = _scores(run, cohort, predictor.scores(files, advance=advance))
    write_json(place / "metrics.json", _metrics(run, cohort, scores, predictor, elsewhere))
    with replacing(place / "predictions.csv") as temporary:
        _predictions(cohort, scores, predictor).to_csv(temporary, index=False)
    return write_external_report(place, run, cohort, lang=elsewhere.lang)


def known_films(run: RunFolder, elsewhere: Elsewhere) -> Cohort:
    """The films with their labels, without copies.

    Raises:
        LabelError: A class that the run doesn't know.
        FilmError: Fewer than 10 films, or one film under two labels.
    """
    cohort = load_cohort(elsewhere.labels, elsewhere.films, extension=elsewhere.extension)
    if strangers := sorted(set(cohort.classes) - set(run.classes)):
        raise LabelError("Films from elsewhere must be of the run's classes.",
                         received=f"{', '.join(strangers)}, where the run has {', '.join(run.classes)}",
                         remedy="Rename the classes in the labels table, or leave these films out.")
    cohort = _without_copies(cohort, elsewhere.films)
    if len(cohort) < FEWEST:
        raise FilmError(f"An evaluation elsewhere needs at least {FEWEST} films.",
                        received=f"{len(cohort)} in {elsewhere.films}", remedy="Add films.")
    return cohort


def _name(elsewhere: Elsewhere) -> str:
    return folder_name(elsewhere.name or elsewhere.films.resolve().name, what="an evaluation")


def _without_copies(cohort: Cohort, films: Path) -> Cohort:
    """The first of each group of identical originals; the hashes are noted on the way."""
    cohort = cohort.with_column("sha256", [film.sha256 or _sha256(films / film.file) for film in cohort])
    first = {film.sha256: film for film in reversed(cohort.radiographs)}
    if twins := [film for film in cohort if first[film.sha256].label != film.label]:
        raise FilmError("A film must have one label.",
                        received=f"the same bytes in {first[twins[0].sha256].file} and {twins[0].file}",
                        remedy="Delete the one that is wrong.")
    return cohort.keep(lambda film: first[film.sha256] is film, stage="unique films",
                       reason="byte-identical copy")


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as failure:
        raise FilmError("Every film must be a readable file.", received=f"{path} ({failure.strerror})",
                        remedy="Replace it or leave it out.") from failure


def _scores(run: RunFolder, cohort: Cohort, values: np.ndarray) -> Scores:
    labels = np.array([run.classes.index(label) for label in cohort.labels])
    return Scores(tuple(run.classes), run.positive, cohort.ids, labels, values, np.array(cohort.patients))


def _metrics(run: RunFolder, cohort: Cohort, scores: Scores, predictor: Predictor,
             elsewhere: Elsewhere) -> dict[str, Any]:
    """All that metrics.json holds."""
    calibrated, threshold, seed = predictor.calibrator.apply, predictor.threshold, elsewhere.seed
    content: dict[str, Any] = {
        **_facts(run, cohort, elsewhere),
        "test": evaluate(scores, threshold, seed=seed, resamples=elsewhere.resamples),
        "drop": drop(recorded_scores(run, "test"), scores, threshold, calibrated=calibrated, seed=seed,
                     resamples=elsewhere.resamples)}
    if scores.is_binary:
        probabilities = calibrated(scores)
        content["test"]["calibration"] = {
            stage: reliability(judged, seed=seed, resamples=elsewhere.resamples)
            for stage, judged in (("before", scores), ("after", probabilities))}
        content["test"]["decision_curve"] = decision_curve(probabilities)
    if elsewhere.recalibrate is not None and threshold is not None:
        content["recalibration"] = recalibration(scores, elsewhere.recalibrate, threshold=threshold,
                                                 calibrated=calibrated, fix=fix_as(run), repeats=REPEATS,
                                                 seed=seed)
    return content


def _facts(run: RunFolder, cohort: Cohort, elsewhere: Elsewhere) -> dict[str, Any]:
    """Where the films are from, and how many of them the run knows already."""
    known = {"films": {film.sha256 for film in run.cohort}, "patients": set(run.cohort.patients)}
    return {"name": _name(elsewhere), "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "films_folder": str(elsewhere.films.absolute()), "labels": str(elsewhere.labels.absolute()),
            "labels_sha256": _sha256(elsewhere.labels), "command": list(elsewhere.command),
            "seed": elsewhere.seed, "resamples": elsewhere.resamples,
            "overlap": {"films": sum(film.sha256 in known["films"] for film in cohort),
                        "patients": len({film.patient for film in cohort} & known["patients"] - {""})}}


def _predictions(cohort: Cohort, scores: Scores, predictor: Predictor) -> pd.DataFrame:
    """As a run's predictions.csv, and of two classes the positive's probability by the run's calibrator."""
    called = [scores.classes[index] for index in scores.predicted(predictor.threshold)]
    columns = {f"p_{name}": scores.values[:, index] for index, name in enumerate(scores.classes)}
    if scores.is_binary:
        columns["probability"] = predictor.calibrator.apply(scores).positive_scores
    return pd.DataFrame({"id": cohort.ids, "patient": cohort.patients, "split": "test",
                         "label": cohort.labels, "predicted": called, **columns})
