"""One study: labelled films in, a run folder with model, predictions, figures and report out.

The library's door to what `binary_class.py` does. Data flows one way: films -> cohort with a split -> pixels
-> trained classifier -> figures -> report. The test films are scored once, after everything is fixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from pneumo_tf.cohort import Cohort, table_sha256
from pneumo_tf.data.audit import audit, check_classes, check_two_classes
from pneumo_tf.data.dicom import DicomFilm
from pneumo_tf.data.labels import load_cohort, unprepared
from pneumo_tf.data.near_duplicates import near_duplicates
from pneumo_tf.data.preparation.record import read_prepared
from pneumo_tf.data.splits import SPLITS, leaked_patients, split_cohort, split_hash
from pneumo_tf.evaluation.calibration.choice import choose_calibrator, cross_fitted
from pneumo_tf.evaluation.dossier import dossier
from pneumo_tf.evaluation.operating_point import STRESSED, choose
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.language import say
from pneumo_tf.progress import announce
from pneumo_tf.report.page import write_report
from pneumo_tf.runs.export import export_model
from pneumo_tf.runs.folder import HISTORY, METRICS, PREDICTIONS, RUN, RUNS, SPLIT, publish
from pneumo_tf.runs.unfinished import unfinished_run
from pneumo_tf.storage import make_folder, write_csv, write_json
from pneumo_tf.studies.minutes import fit_minutes
from pneumo_tf.studies.plan import Plan, StudyOptions, plain, settle
from pneumo_tf.studies.reference import keep_reference
from pneumo_tf.studies.validation_stress import stress_validation
from pneumo_tf.training.machine import StageRecorder, package_versions
from pneumo_tf.training.pixels import INTERPOLATION, Pixels
from pneumo_tf.training.task import Task, Trained


def run_study(options: StudyOptions) -> Path:
    """Train, evaluate, report and export.

    Returns:
        The run's folder.

    Raises:
        PneumoError: Anything that the person who started it can mend; the folders are then as before, but
            for a run that was finished and then got no report: it is kept, and nothing of it is published.
    """
    plan, stages = settle(options), StageRecorder()
    plan = plan if options.resume else fit_minutes(plan)
    keras.utils.set_random_seed(options.seed)
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{plan.recipe_name}-{plan.backbones}"
    runs = make_folder(options.output / RUNS)
    with unfinished_run(runs, name, options.to_json(), resume=options.resume) as unfinished:
        plan = plan.at(unfinished.note("pace", plan.pace and asdict(plan.pace)))
        run, labels_sha256 = runs / unfinished.folder.name, table_sha256(options.labels)
        task = replace(build_task(plan, stages), checkpoint=unfinished.checkpoint)
        unfinished.confirm_split(split_hash(task.cohort))
        trained = plan.recipe.train(task)
        with unfinished.finishing(run) as folder:
            announce("Export")
            with stages.measure("export"):
                export_model(trained.model, folder)
            _write_run(plan, task, trained, folder, name=run.name, labels_sha256=labels_sha256)
    try:
        write_report(run, lang=options.lang)
        if options.publish:
            publish(run, options.output)
    except BaseException as failure:
        failure.add_note(f"The model and its record are kept in {run}.")
        raise
    return run


def build_task(plan: Plan, stages: StageRecorder) -> Task:
    """Read, audit, decode and split the films of a study.

    Raises:
        PneumoError: Films, labels or the cache can't be used.
    """
    options = plan.options
    if options.backbone is None and plan.backbones != plan.recipe.backbone:
        say(f"Backbone: {plan.backbones}, whose weights are on this machine; those of the recipe's own, "
            f"{plan.recipe.backbone}, aren't.", aside=True)
    announce("Audit")
    with stages.measure("labels and audit"):
        cohort = audit(read_cohort(options), options.films)
    with stages.measure("decoding"):
        cohort, pixels = plan.decode(cohort)
        check_classes(cohort)
    if len(cohort.classes) == 2:
        first, second = cohort.classes
        say(f"Looking for {options.positive_class(cohort.classes)} among the classes {first} and {second}.")
    for step in cohort.history:
        if step.dropped or step.noted:
            say("\n".join(step.lines()))
    return plan.task(*_split(options, cohort, pixels), stages)


def read_cohort(options: StudyOptions) -> Cohort:
    """The films of a study with their labels, and all that can be told to be wrong before a film is read.

    Raises:
        PneumoError: Films and labels don't fit, or the class to be found isn't known.
    """
    cohort = load_cohort(options.labels, options.films, extension=options.extension,
                         patients=options.patients)
    if dicom := [film for film in cohort if film.facts.get("format") == DicomFilm.format and not film.source]:
        raise unprepared(len(dicom))
    check_two_classes(cohort)
    options.positive_class(cohort.classes)
    return cohort


def _split(options: StudyOptions, cohort: Cohort, pixels: Pixels) -> tuple[Cohort, Pixels]:
    """The split, and the pixels of the films that are still in it."""
    row_of = {radiograph.id: row for row, radiograph in enumerate(cohort)}
    seed = options.seed if options.split_seed is None else options.split_seed
    cohort = split_cohort(cohort, test_fraction=options.test_fraction, by=options.split_by, seed=seed,
                          validation_fraction=options.validation_fraction, keep_test=options.keep_test,
                          positive=options.positive_class(cohort.classes))
    if options.split_by == "patient" and leaked_patients(cohort):
        raise AssertionError("a patient on two sides of a split by patient")
    rows = np.array([row_of[name] for name in cohort.ids], dtype=int)
    return cohort, pixels.at(rows)


def _write_run(plan: Plan, task: Task, trained: Trained, folder: Path, *, name: str,
              labels_sha256: str) -> None:
    """Everything but the model and the report: the record, the split, the predictions, the figures.

    Args:
        name: Of the run.
        labels_sha256: Of the labels table as it was read.
    """
    options, cohort = plan.options, task.cohort
    positive = options.positive_class(task.classes)
    everything = Scores.of_cohort(cohort, trained.scores, positive)
    scores = {split: everything.take(task.rows(split)) for split in SPLITS}
    # Training films count only as a head scored them that never saw their patient.
    unseen = trained.scores.copy()
    for row, values in trained.held_out.items():
        unseen[row] = values
    held_out = Scores.of_cohort(cohort, unseen, positive, rows=list(trained.held_out)) \
        if trained.held_out else None
    judged = Scores.of_cohort(cohort, unseen, positive, rows=[*task.rows("validation"), *trained.held_out])
    announce("Stress")
    with task.stages.measure("stress"):
        stress = stress_validation(task, trained, positive, patient=plan.rule.startswith(STRESSED))
    point = choose(judged, rule=plan.rule, stressed=stress.scores)
    cohort.write_csv(folder / SPLIT)
    write_csv(folder / HISTORY, pd.DataFrame(trained.history))
    predictions = everything.to_predictions([film.split for film in cohort], point.threshold)
    write_csv(folder / PREDICTIONS, predictions)
    announce("Figures")
    with task.stages.measure("figures"):
        compared = cross_fitted(judged, seed=options.seed)
        calibrator = choose_calibrator(options.calibration, judged, compared)
        metrics = dossier(scores, point.threshold, calibrator=calibrator, cohort=cohort, films=_films(task),
                          held_out=held_out, prevalences=options.prevalences, seed=options.seed)
        metrics["validation"]["calibrators"] = compared
        metrics["near_duplicates"] = near_duplicates(cohort, _films(task))
        metrics["stress"] = stress.to_json(point.threshold, seed=options.seed)
        write_json(folder / METRICS, metrics)
    announce("Reference")
    with task.stages.measure("reference"):
        reference = keep_reference(task, trained, folder)
    seen = {"cross_validated_films": len(trained.held_out)}
    write_json(folder / RUN, {
        "name": name, **_record(plan, task, trained), "positive": positive,
        "data": {"films": str(options.films.absolute()), "labels": str(options.labels.absolute()),
                 "labels_sha256": labels_sha256}, "reference": reference,
        "operating_point": {**asdict(point), **seen,
                            "perturbations": list(stress.perturbed) if point.stressed_films else []},
        "calibration": {**calibrator.to_json(), **seen}})


def _films(task: Task) -> Iterator[np.ndarray]:
    """uint8 (H, W, C) each, in the cohort's order; one in memory at a time."""
    return (task.pixels.film(row) for row in range(len(task.cohort)))


def _record(plan: Plan, task: Task, trained: Trained) -> dict[str, Any]:
    """What is needed to repeat the run and to read its predictions."""
    options, cohort = plan.options, task.cohort
    unknown = cohort.patients.count("")
    return {
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": list(options.command), "classes": cohort.classes,
        "recipe": plan.recipe_name, "recipe_settings": plain(plan.recipe), "backbone": plan.backbones,
        "options": options.to_json(), "seed": options.seed, "split_by": options.split_by,
        "diverged_in_epoch": trained.diverged_in, "pace": plan.pace and asdict(plan.pace),
        "patients_known": unknown < len(cohort), "films_without_patient": unknown,
        "split_sha256": split_hash(cohort), "flow": [asdict(step) for step in cohort.history],
        "preparation": _preparation(options.films), "phantoms": options.synthetic,
        "input": {"height": plan.size, "width": plan.size, "color_mode": "rgb",
                  "interpolation": INTERPOLATION, "values": "0-255", "depth": task.pixels.depth},
        "weights": {"source": " + ".join(member.weights.source for member in plan.members),
                    "sha256": " + ".join(member.weights.sha256 for member in plan.members)},
        "versions": package_versions(), "device": task.device.to_json(), "engine": task.engine,
        "parameters": trained.model.count_params(), "stages": task.stages.to_json(),
    }


def _preparation(films: Path) -> dict[str, Any] | None:
    """What was done to the pixels before, so that new films can be given the same; None where unknown."""
    prepared = read_prepared(films)
    if prepared is None:
        return None
    return {"source": prepared.to_json()["source"], "options": prepared.filters.to_json()}
