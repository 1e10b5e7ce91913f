"""Films from elsewhere, scored with a run's own operating point and calibrator: does it hold there?

Writes `external/<name>/{predictions.csv, metrics.json, report.html}` into the run's folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pneumo_tf.cohort import Cohort, Radiograph, table_sha256
from pneumo_tf.data.audit import file_sha256
from pneumo_tf.data.labels import load_cohort
from pneumo_tf.data.patients import folded
from pneumo_tf.errors import FilmError, LabelError
from pneumo_tf.evaluation.benefit import decision_curve
from pneumo_tf.evaluation.external_validation import REPEATS, check_labelled, drop, recalibration
from pneumo_tf.evaluation.metrics import evaluate
from pneumo_tf.evaluation.reliability import reliability
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.places import folder_name
from pneumo_tf.progress import progress_bar
from pneumo_tf.report.page import write_external_report
from pneumo_tf.runs.folder import EXTERNAL, METRICS, PREDICTIONS, RunFolder, read_run
from pneumo_tf.runs.predictor import Predictor, predictor_of
from pneumo_tf.storage import make_folder, replacing, write_json
from pneumo_tf.training.engine import AUTO

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
    name = folder_name(elsewhere.name.strip() or elsewhere.films.resolve().name, what="an evaluation")
    run, place = read_run(folder), folder / EXTERNAL / name
    labels_sha256, cohort = table_sha256(elsewhere.labels), known_films(run, elsewhere)
    if elsewhere.recalibrate is not None:
        check_labelled(cohort.labels, run.classes, elsewhere.recalibrate)
    overlap = _overlap(run, cohort, elsewhere.films)
    make_folder(place)
    predictor = predictor_of(run, engine=elsewhere.engine, threads=elsewhere.threads)
    predictor = replace(predictor, read=replace(predictor.read, takes_blank=False))
    files = [elsewhere.films / film.file for film in cohort]
    with progress_bar("Films from elsewhere", len(files)) as advance:
        scores = Scores.of_cohort(cohort, predictor.scores(files, advance=advance), run.positive,
                                  classes=run.classes)
    write_json(place / METRICS, {
        "name": name, "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "films_folder": str(elsewhere.films.absolute()), "labels": str(elsewhere.labels.absolute()),
        "labels_sha256": labels_sha256, "command": list(elsewhere.command), "seed": elsewhere.seed,
        "resamples": elsewhere.resamples, "overlap": overlap,
        **_figures(run, scores, predictor, elsewhere)})
    predictions = scores.to_predictions("test", predictor.threshold)
    if scores.is_binary:
        predictions["probability"] = predictor.calibrator.apply(scores).positive_scores
    with replacing(place / PREDICTIONS) as temporary:
        predictions.to_csv(temporary, index=False)
    return write_external_report(place, run, cohort, lang=elsewhere.lang)


def known_films(run: RunFolder, elsewhere: Elsewhere) -> Cohort:
    """The films with their labels, without copies.

    Raises:
        LabelError: A class that the run doesn't know.
        FilmError: Fewer than 10 films, or one film under two labels.
    """
    cohort = load_cohort(elsewhere.labels, elsewhere.films, extension=elsewhere.extension,
                         patients=elsewhere.patients)
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


def _overlap(run: RunFolder, cohort: Cohort, films: Path) -> dict[str, Any]:
    """How many films and patients the run knows already, and how many films of the run can't be compared.

    Films are compared by their bytes and by those of their originals, as far as these were kept.
    """
    own = [_hashes(film, run.film_path(film.file)) for film in run.cohort]
    known, uncompared = set().union(*own), sum(not hashes for hashes in own)
    again = sum(bool(_hashes(film, films / film.file) & known) for film in cohort)
    return {"films": again if known else None, "uncompared": uncompared,
            "patients": len(set(map(folded, cohort.patients)) & set(map(folded, run.cohort.patients)) - {""})}


def _hashes(film: Radiograph, path: Path | None) -> set[str]:
    """SHA-256 of a film's original and of its file, where they are known."""
    return {film.sha256, file_sha256(path) if path else ""} - {""}
