"""What a finished training leaves in its run folder, but for the model and the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.near_duplicates import near_duplicates
from pneumo_tf.data.preparation.record import read_prepared
from pneumo_tf.data.splits import SPLITS, split_hash
from pneumo_tf.evaluation.calibration.calibrators import fit_calibrator
from pneumo_tf.evaluation.calibration.cross_fitting import cross_fitted
from pneumo_tf.evaluation.dossier import dossier
from pneumo_tf.evaluation.operating_point import OperatingPoint, choose
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.storage import write_json
from pneumo_tf.studies.plan import Plan, plain
from pneumo_tf.training.machine import package_versions
from pneumo_tf.training.pixels import INTERPOLATION
from pneumo_tf.training.task import Task, Trained


def _rows(cohort: Cohort, split: str) -> list[int]:
    return [row for row, radiograph in enumerate(cohort) if radiograph.split == split]


def _scores(cohort: Cohort, values: np.ndarray, positive: str, rows: Sequence[int]) -> Scores:
    films = [cohort.radiographs[row] for row in rows]
    return Scores(classes=tuple(cohort.classes), positive=positive, ids=[film.id for film in films],
                  labels=np.array([cohort.classes.index(film.label) for film in films]),
                  values=values[list(rows)], patients=np.array([film.patient for film in films]))


def write_run(plan: Plan, task: Task, trained: Trained, folder: Path, *, name: str,
              labels_sha256: str) -> None:
    """Everything but the model and the report: the record, the split, the predictions, the figures.

    Args:
        name: Of the run.
        labels_sha256: Of the labels table as it was read.
    """
    options, cohort = plan.options, task.cohort
    positive = options.positive_class(task.classes)
    scores = {split: _scores(cohort, trained.scores, positive, _rows(cohort, split)) for split in SPLITS}
    held_out = _held_out(cohort, trained, positive)
    judged = scores["validation"] if held_out is None else _joined(scores["validation"], held_out)
    point = choose(judged, rule=options.operating_point)
    calibrator = fit_calibrator(options.calibration, judged)
    cohort.write_csv(folder / "split.csv")
    pd.DataFrame(trained.history).to_csv(folder / "history.csv", index=False)
    predictions = _predictions(cohort, _scores(cohort, trained.scores, positive, range(len(cohort))), point)
    predictions.to_csv(folder / "predictions.csv", index=False)
    with task.stages.measure("figures"):
        metrics = dossier(scores, point.threshold, calibrator=calibrator, cohort=cohort, films=_films(task),
                          held_out=held_out, prevalences=options.prevalences, seed=options.seed)
        metrics["validation"]["calibrators"] = cross_fitted(judged, seed=options.seed)
        metrics["near_duplicates"] = near_duplicates(cohort, _films(task))
        write_json(folder / "metrics.json", metrics)
    seen = {"cross_validated_films": len(trained.held_out)}
    write_json(folder / "run.json", {
        "name": name, **_record(plan, task, trained), "positive": positive,
        "data": {"films": str(options.films.absolute()), "labels": str(options.labels.absolute()),
                 "labels_sha256": labels_sha256},
        "operating_point": {**asdict(point), **seen}, "calibration": {**calibrator.to_json(), **seen}})


def _films(task: Task) -> Iterator[np.ndarray]:
    """uint8 (H, W, C) each, in the cohort's order; one in memory at a time."""
    return (task.pixels.film(row) for row in range(len(task.cohort)))


def _held_out(cohort: Cohort, trained: Trained, positive: str) -> Scores | None:
    """Training films, each scored by a head that never saw its patient; None where there are none."""
    if not trained.held_out:
        return None
    unseen = trained.scores.copy()
    for row, values in trained.held_out.items():
        unseen[row] = values
    return _scores(cohort, unseen, positive, list(trained.held_out))


def _joined(one: Scores, other: Scores) -> Scores:
    """The films of both."""
    return replace(one, ids=[*one.ids, *other.ids], labels=np.concatenate([one.labels, other.labels]),
                   values=np.concatenate([one.values, other.values]),
                   patients=np.concatenate([one.patients, other.patients]))


def _predictions(cohort: Cohort, scores: Scores, point: OperatingPoint) -> pd.DataFrame:
    """Uncalibrated scores of every film of every split, and the class they mean at the operating point."""
    predicted = [cohort.classes[index] for index in scores.predicted(point.threshold)]
    frame = pd.DataFrame({"id": cohort.ids, "patient": cohort.patients, "split": [r.split for r in cohort],
                          "label": cohort.labels, "predicted": predicted})
    columns = [f"p_{name}" for name in cohort.classes]
    return pd.concat([frame, pd.DataFrame(scores.values, columns=columns)], axis=1)


def _record(plan: Plan, task: Task, trained: Trained) -> dict[str, Any]:
    """What is needed to repeat the run and to read its predictions."""
    options, cohort = plan.options, task.cohort
    unknown = cohort.patients.count("")
    return {
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": list(options.command), "classes": cohort.classes,
        "recipe": plan.recipe_name, "recipe_settings": plain(plan.recipe), "backbone": plan.backbones,
        "options": options.to_json(), "seed": options.seed, "split_by": options.split_by,
        "diverged_in_epoch": trained.diverged_in,
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
