"""What a finished training leaves in its run folder, but for the model and the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pneumo_tf.data.near_duplicates import near_duplicates
from pneumo_tf.data.preparation.record import read_prepared
from pneumo_tf.data.splits import SPLITS, split_hash
from pneumo_tf.evaluation.calibration.calibrators import fit_calibrator
from pneumo_tf.evaluation.calibration.cross_fitting import cross_fitted
from pneumo_tf.evaluation.dossier import dossier
from pneumo_tf.evaluation.operating_point import STRESSED, choose
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.runs.folder import HISTORY, METRICS, PREDICTIONS, RUN, SPLIT
from pneumo_tf.storage import write_json
from pneumo_tf.studies.plan import Plan, plain
from pneumo_tf.studies.validation_stress import stress_validation
from pneumo_tf.training.machine import package_versions
from pneumo_tf.training.pixels import INTERPOLATION
from pneumo_tf.training.task import Task, Trained


def write_run(plan: Plan, task: Task, trained: Trained, folder: Path, *, name: str,
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
    with task.stages.measure("stress"):
        stress = stress_validation(task, trained, positive, patient=plan.rule.startswith(STRESSED))
    point = choose(judged, rule=plan.rule, stressed=stress.scores)
    calibrator = fit_calibrator(options.calibration, judged)
    cohort.write_csv(folder / SPLIT)
    pd.DataFrame(trained.history).to_csv(folder / HISTORY, index=False)
    predictions = everything.to_predictions([film.split for film in cohort], point.threshold)
    predictions.to_csv(folder / PREDICTIONS, index=False)
    with task.stages.measure("figures"):
        metrics = dossier(scores, point.threshold, calibrator=calibrator, cohort=cohort, films=_films(task),
                          held_out=held_out, prevalences=options.prevalences, seed=options.seed)
        metrics["validation"]["calibrators"] = cross_fitted(judged, seed=options.seed)
        metrics["near_duplicates"] = near_duplicates(cohort, _films(task))
        metrics["stress"] = stress.to_json(point.threshold, seed=options.seed)
        write_json(folder / METRICS, metrics)
    seen = {"cross_validated_films": len(trained.held_out)}
    write_json(folder / RUN, {
        "name": name, **_record(plan, task, trained), "positive": positive,
        "data": {"films": str(options.films.absolute()), "labels": str(options.labels.absolute()),
                 "labels_sha256": labels_sha256},
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
                  "interpolation": INTERPOLATION, "values": "0-255"},
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
