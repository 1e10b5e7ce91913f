"""One study: labelled films in, a run folder with model, predictions, figures and report out.

The library's door to what `binary_class.py` does. Data flows one way: films -> cohort with a split -> pixels
-> trained classifier -> figures -> report. The test films are scored once, after everything is fixed.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.audit import audit, check_classes
from pneumo_tf.data.labels import load_cohort
from pneumo_tf.data.prepared import read_prepared
from pneumo_tf.data.splits import SPLITS, leaked_patients, split_cohort, split_hash
from pneumo_tf.deploy.export import export_model
from pneumo_tf.errors import OptionError
from pneumo_tf.evaluation.calibration import Temperature
from pneumo_tf.evaluation.dossier import dossier
from pneumo_tf.evaluation.operating_point import OperatingPoint, choose
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.models.backbones import Backbone, get_backbone
from pneumo_tf.models.classifier import build_backbone
from pneumo_tf.models.pretrained import Weights, find_weights
from pneumo_tf.report.page import write_report
from pneumo_tf.storage import guarded, make_folder, replacing, write_json
from pneumo_tf.training.device import describe_device, package_versions
from pneumo_tf.training.pixels import INTERPOLATION, Pixels, decode_cohort
from pneumo_tf.training.recipes import Recipe, get_recipe
from pneumo_tf.training.stages import StageRecorder
from pneumo_tf.training.task import Task, Trained

REPORT = "report.html"


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Everything a study depends on; None takes what suits the backbone or the machine.

    Attributes:
        films: Folder of films.
        labels: Labels table.
        output: Folder that gets `runs/<name>/` and the last run's model and report.
        epochs: Most epochs of training.
        positive: The class to be found; None takes PNEUMONIA where it exists, else the last by name.
        synthetic: The films are phantoms, which the report must say.
        command: What was typed, to be repeated.
    """

    films: Path
    labels: Path
    output: Path
    epochs: int = 60
    extension: str | None = None
    recipe: str | None = None
    backbone: str = "inception_v3"
    weights: str = "imagenet"
    image_size: int | None = None
    batch_size: int = 32
    test_fraction: float = 0.30
    validation_fraction: float = 0.15
    split_by: Literal["patient", "film"] = "patient"
    keep_test: bool = False
    sensitivity: float = 0.95
    positive: str | None = None
    seed: int = 42
    threads: int | None = None
    lang: str = "en"
    synthetic: bool = False
    command: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """The options as JSON holds them."""
        paths = {"films": str(self.films), "labels": str(self.labels), "output": str(self.output)}
        return {**asdict(self), **paths, "command": list(self.command)}


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What was settled before any film is read."""

    options: StudyOptions
    backbone: Backbone
    weights: Weights
    size: int
    recipe_name: str
    recipe: Recipe
    threads: int


def run_study(options: StudyOptions) -> Path:
    """Train, evaluate, report and export.

    Returns:
        The run's folder.

    Raises:
        PneumoError: Anything that the person who started it can mend; the folders are then as before.
    """
    plan, stages = _plan(options), StageRecorder()
    keras.utils.set_random_seed(options.seed)
    with stages.measure("labels and audit"):
        cohort = audit(load_cohort(options.labels, options.films, extension=options.extension),
                       options.films).cohort
    positive = _positive(options, cohort.classes)
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{plan.recipe_name}-{plan.backbone.name}"
    runs = make_folder(options.output / "runs")
    with replacing(runs / name) as folder, guarded(runs):
        folder.mkdir()
        cohort, trained = _train(plan, cohort, folder, stages)
        with stages.measure("export"):
            export_model(trained.model, folder)
        _write_run(plan, folder, cohort, trained, name=name, positive=positive, stages=stages)
        write_report(folder, lang=options.lang)
    _publish(runs / name, options.output)
    return runs / name


def _plan(options: StudyOptions) -> _Plan:
    """Settle the recipe, backbone and weights, so that a mistake shows before any work is spent."""
    device = describe_device()
    backbone = get_backbone(options.backbone)
    recipe_name, recipe = get_recipe(options.recipe, device, backbone)
    size = options.image_size or backbone.size
    if size < backbone.smallest:
        build_backbone(backbone, size)
    return _Plan(options=options, backbone=backbone, size=size, recipe_name=recipe_name, recipe=recipe,
                 weights=find_weights(backbone, options.weights), threads=options.threads or device.cores)


def _train(plan: _Plan, cohort: Cohort, folder: Path, stages: StageRecorder) -> tuple[Cohort, Trained]:
    """Decode, split and train; the pixels are gone afterwards."""
    options, cache = plan.options, folder / "pixels.npy"
    with stages.measure("decoding"):
        cohort, pixels = decode_cohort(cohort, options.films, size=plan.size, cache=cache,
                                       workers=plan.threads)
        check_classes(cohort)
    cohort, pixels = _split(options, cohort, pixels)
    task = Task(cohort=cohort, pixels=pixels, backbone=plan.backbone, weights=plan.weights, size=plan.size,
                epochs=options.epochs, batch_size=options.batch_size, seed=options.seed, threads=plan.threads,
                device=describe_device(), stages=stages)
    trained = plan.recipe.train(task)
    cache.unlink()
    return cohort, trained


def _split(options: StudyOptions, cohort: Cohort, pixels: Pixels) -> tuple[Cohort, Pixels]:
    """The split, and the pixels of the films that are still in it."""
    row_of = {radiograph.id: row for row, radiograph in enumerate(cohort)}
    cohort = split_cohort(cohort, test_fraction=options.test_fraction, by=options.split_by, seed=options.seed,
                          validation_fraction=options.validation_fraction, keep_test=options.keep_test)
    if options.split_by == "patient" and leaked_patients(cohort):
        raise AssertionError("a patient on two sides of a split by patient")
    rows = np.array([row_of[name] for name in cohort.ids], dtype=int)
    return cohort, replace(pixels, places=pixels.places[rows])


def _positive(options: StudyOptions, classes: list[str]) -> str:
    """The class to be found."""
    if options.positive is None:
        return "PNEUMONIA" if "PNEUMONIA" in classes else classes[-1]
    if options.positive not in classes:
        raise OptionError("The positive class must be one of the labels.", received=options.positive,
                          remedy=f"Choose one of: {', '.join(classes)}.")
    return options.positive


def _rows(cohort: Cohort, split: str) -> list[int]:
    return [row for row, radiograph in enumerate(cohort) if radiograph.split == split]


def _scores(cohort: Cohort, values: np.ndarray, positive: str, rows: Sequence[int]) -> Scores:
    films = [cohort.radiographs[row] for row in rows]
    return Scores(classes=tuple(cohort.classes), positive=positive, ids=[film.id for film in films],
                  labels=np.array([cohort.classes.index(film.label) for film in films]),
                  values=values[list(rows)], patients=np.array([film.patient for film in films]))


def _write_run(plan: _Plan, folder: Path, cohort: Cohort, trained: Trained, *, name: str, positive: str,
               stages: StageRecorder) -> None:
    """Everything but the model and the report: the record, the split, the predictions, the figures."""
    scores = {split: _scores(cohort, trained.scores, positive, _rows(cohort, split)) for split in SPLITS}
    unseen = trained.scores.copy()
    for row, values in trained.held_out.items():
        unseen[row] = values
    rows = [*_rows(cohort, "validation"), *trained.held_out]
    judged = _scores(cohort, unseen, positive, rows)
    point = choose(judged, rule="sensitivity", at_least=plan.options.sensitivity)
    temperature = Temperature.fit(judged)
    cohort.write_csv(folder / "split.csv")
    pd.DataFrame(trained.history).to_csv(folder / "history.csv", index=False)
    predictions = _predictions(cohort, _scores(cohort, trained.scores, positive, range(len(cohort))), point)
    predictions.to_csv(folder / "predictions.csv", index=False)
    with stages.measure("figures"):
        write_json(folder / "metrics.json", dossier(scores, point.threshold, temperature=temperature,
                                                    cohort=cohort, seed=plan.options.seed))
    record = _record(plan, cohort, trained, name=name, positive=positive, point=point, stages=stages)
    fitted = {**temperature.to_json(), "cross_validated_films": len(trained.held_out)}
    write_json(folder / "run.json", record | {"calibration": fitted})


def _predictions(cohort: Cohort, scores: Scores, point: OperatingPoint) -> pd.DataFrame:
    """Uncalibrated scores of every film of every split, and the class they mean at the operating point."""
    predicted = [cohort.classes[index] for index in scores.predicted(point.threshold)]
    frame = pd.DataFrame({"id": cohort.ids, "patient": cohort.patients, "split": [r.split for r in cohort],
                          "label": cohort.labels, "predicted": predicted})
    columns = [f"p_{name}" for name in cohort.classes]
    return pd.concat([frame, pd.DataFrame(scores.values, columns=columns)], axis=1)


def _record(plan: _Plan, cohort: Cohort, trained: Trained, *, name: str, positive: str,
            point: OperatingPoint, stages: StageRecorder) -> dict[str, Any]:
    """run.json: what is needed to repeat the run and to read its predictions."""
    options = plan.options
    unknown = cohort.patients.count("")
    return {
        "name": name, "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": list(options.command), "classes": cohort.classes, "positive": positive,
        "operating_point": {**asdict(point), "cross_validated_films": len(trained.held_out)},
        "recipe": plan.recipe_name, "recipe_settings": asdict(plan.recipe), "backbone": plan.backbone.name,
        "options": options.to_json(), "seed": options.seed, "split_by": options.split_by,
        "patients_known": unknown < len(cohort), "films_without_patient": unknown,
        "split_sha256": split_hash(cohort), "flow": [asdict(step) for step in cohort.history],
        "preparation": _preparation(options.films), "phantoms": options.synthetic,
        "input": {"height": plan.size, "width": plan.size, "color_mode": "rgb",
                  "interpolation": INTERPOLATION, "values": "0-255"},
        "weights": {"source": plan.weights.source, "sha256": plan.weights.sha256},
        "data": {"films": str(options.films.absolute()), "labels": str(options.labels.absolute()),
                 "labels_sha256": hashlib.sha256(options.labels.read_bytes()).hexdigest()},
        "versions": package_versions(), "device": describe_device().to_json(),
        "parameters": trained.model.count_params(), "stages": stages.to_json(),
    }


def _preparation(films: Path) -> dict[str, Any] | None:
    """What was done to the pixels before, so that new films can be given the same; None where unknown."""
    prepared = read_prepared(films)
    if prepared is None:
        return None
    return {"source": prepared.to_json()["source"], "options": prepared.filters.to_json()}


def _publish(run: Path, output: Path) -> None:
    """Put the finished run's model and report where the next program looks for them."""
    for source in sorted(run.iterdir()):
        if source.is_file() and source.name in ("model.json", "modelo.h5", "modelo.keras", REPORT):
            with replacing(output / source.name) as temporary:
                shutil.copyfile(source, temporary)
