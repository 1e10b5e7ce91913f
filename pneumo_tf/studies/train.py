"""One study: labelled films in, a run folder with model, predictions, figures and report out.

The library's door to what `binary_class.py` does. Data flows one way: films -> cohort with a split -> pixels
-> trained classifier -> figures -> report. The test films are scored once, after everything is fixed.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import keras
import numpy as np

from pneumo_tf.cohort import Cohort, table_sha256
from pneumo_tf.data.audit import audit, check_classes
from pneumo_tf.data.labels import load_cohort
from pneumo_tf.data.splits import leaked_patients, split_cohort, split_hash
from pneumo_tf.report.page import write_report
from pneumo_tf.runs.export import export_model
from pneumo_tf.runs.folder import RUNS, publish
from pneumo_tf.runs.unfinished import unfinished_run
from pneumo_tf.storage import make_folder, replacing
from pneumo_tf.studies.minutes import fit_minutes
from pneumo_tf.studies.plan import Plan, StudyOptions, settle
from pneumo_tf.studies.record import write_run
from pneumo_tf.training.machine import StageRecorder
from pneumo_tf.training.pixels import Pixels
from pneumo_tf.training.task import Task


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
        with replacing(run) as folder:
            folder.mkdir()
            with stages.measure("export"):
                export_model(trained.model, folder)
            write_run(plan, task, trained, folder, name=run.name, labels_sha256=labels_sha256)
    with ExitStack() as on_failure:
        on_failure.callback(print, f"The model and its record are kept in {run}.", file=sys.stderr)
        write_report(run, lang=options.lang)
        publish(run, options.output)
        on_failure.pop_all()
    return run


def build_task(plan: Plan, stages: StageRecorder) -> Task:
    """Read, audit, decode and split the films of a study.

    Raises:
        PneumoError: Films, labels or the cache can't be used.
    """
    options = plan.options
    with stages.measure("labels and audit"):
        cohort = audit(load_cohort(options.labels, options.films, extension=options.extension),
                       options.films)
        options.positive_class(cohort.classes)
    with stages.measure("decoding"):
        cohort, pixels = plan.decode(cohort)
        check_classes(cohort)
    return plan.task(*_split(options, cohort, pixels), stages)


def _split(options: StudyOptions, cohort: Cohort, pixels: Pixels) -> tuple[Cohort, Pixels]:
    """The split, and the pixels of the films that are still in it."""
    row_of = {radiograph.id: row for row, radiograph in enumerate(cohort)}
    seed = options.seed if options.split_seed is None else options.split_seed
    cohort = split_cohort(cohort, test_fraction=options.test_fraction, by=options.split_by, seed=seed,
                          validation_fraction=options.validation_fraction, keep_test=options.keep_test)
    if options.split_by == "patient" and leaked_patients(cohort):
        raise AssertionError("a patient on two sides of a split by patient")
    rows = np.array([row_of[name] for name in cohort.ids], dtype=int)
    return cohort, replace(pixels, positions=pixels.positions[rows])
