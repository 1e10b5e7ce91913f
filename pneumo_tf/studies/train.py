"""One study: labelled films in, a run folder with model, predictions, figures and report out.

The library's door to what `binary_class.py` does. Data flows one way: films -> cohort with a split -> pixels
-> trained classifier -> figures -> report. The test films are scored once, after everything is fixed.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import keras
import numpy as np

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.audit import audit, check_classes
from pneumo_tf.data.labels import load_cohort
from pneumo_tf.data.splits import leaked_patients, split_cohort, split_hash
from pneumo_tf.report.page import write_report
from pneumo_tf.runs.export import export_model
from pneumo_tf.runs.folder import MODEL_CARD, REPORT
from pneumo_tf.runs.unfinished import unfinished_run
from pneumo_tf.storage import guarded, make_folder, replacing
from pneumo_tf.studies.plan import Plan, StudyOptions, settle
from pneumo_tf.studies.record import write_run
from pneumo_tf.training.cache import Cache
from pneumo_tf.training.device import describe_device
from pneumo_tf.training.pixels import Pixels, decode_cohort
from pneumo_tf.training.stages import StageRecorder
from pneumo_tf.training.task import Task

_PUBLISHED = ("model.json", "modelo.h5", "modelo.keras", REPORT, MODEL_CARD)


def run_study(options: StudyOptions) -> Path:
    """Train, evaluate, report and export.

    Returns:
        The run's folder.

    Raises:
        PneumoError: Anything that the person who started it can mend; the folders are then as before.
    """
    plan, stages = settle(options), StageRecorder()
    keras.utils.set_random_seed(options.seed)
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{plan.recipe_name}-{plan.backbones}"
    runs = make_folder(options.output / "runs")
    with unfinished_run(runs, name, options.to_json(), resume=options.resume) as unfinished:
        name = unfinished.folder.name
        task = replace(build_task(plan, stages), checkpoint=unfinished.checkpoint)
        unfinished.confirm_split(split_hash(task.cohort))
        labels_sha256 = hashlib.sha256(options.labels.read_bytes()).hexdigest()
        trained = plan.recipe.train(task)
        with replacing(runs / name) as folder, guarded(runs):
            folder.mkdir()
            with stages.measure("export"):
                export_model(trained.model, folder)
            write_run(plan, task, trained, folder, name=name, labels_sha256=labels_sha256)
            write_report(folder, lang=options.lang)
    _publish(runs / name, options.output)
    return runs / name


def build_task(plan: Plan, stages: StageRecorder) -> Task:
    """Read, audit, decode and split the films of a study.

    Raises:
        PneumoError: Films, labels or the cache can't be used.
    """
    options = plan.options
    with stages.measure("labels and audit"):
        cohort = audit(load_cohort(options.labels, options.films, extension=options.extension),
                       options.films).cohort
        options.positive_class(cohort.classes)
    cache = None if options.cache is None else Cache(options.cache)
    with stages.measure("decoding"):
        cohort, pixels = decode_cohort(cohort, options.films, size=plan.size, cache=cache,
                                       workers=plan.threads)
        check_classes(cohort)
    cohort, pixels = _split(options, cohort, pixels)
    return Task(cohort=cohort, pixels=pixels, members=plan.members, size=plan.size, epochs=options.epochs,
                batch_size=options.batch_size, seed=options.seed, threads=plan.threads,
                device=describe_device(), stages=stages, engine=plan.engine, cache=cache)


def _split(options: StudyOptions, cohort: Cohort, pixels: Pixels) -> tuple[Cohort, Pixels]:
    """The split, and the pixels of the films that are still in it."""
    row_of = {radiograph.id: row for row, radiograph in enumerate(cohort)}
    seed = options.seed if options.split_seed is None else options.split_seed
    cohort = split_cohort(cohort, test_fraction=options.test_fraction, by=options.split_by, seed=seed,
                          validation_fraction=options.validation_fraction, keep_test=options.keep_test)
    if options.split_by == "patient" and leaked_patients(cohort):
        raise AssertionError("a patient on two sides of a split by patient")
    rows = np.array([row_of[name] for name in cohort.ids], dtype=int)
    return cohort, replace(pixels, places=pixels.places[rows])


def _publish(run: Path, output: Path) -> None:
    """Put the finished run's model and report where the next program looks for them."""
    for source in sorted(run.iterdir()):
        if source.is_file() and source.name in _PUBLISHED:
            with replacing(output / source.name) as temporary:
                shutil.copyfile(source, temporary)
