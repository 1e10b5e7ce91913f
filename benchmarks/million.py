"""A million rows through labels, audit, split, figures and report: minutes and peak memory of each stage.

    python benchmarks/million.py
    python benchmarks/million.py --rows 100000

The films are so small (16 × 16 pixels, in shards) that what is measured is the bookkeeping; they are drawn
first, which isn't counted. Scores are drawn too, as a network of AUC 0.95 gives them, alike within a patient.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
from results import command, describe_machine, scratch

from pneumo_tf.cohort import Cohort, Radiograph, Step
from pneumo_tf.data.audit import audit
from pneumo_tf.data.labels import load_cohort, read_folder
from pneumo_tf.data.preparation.filters import FilterOptions
from pneumo_tf.data.preparation.record import MANIFEST, RECORD, Part, Prepared
from pneumo_tf.data.shards import shard_name, write_shard
from pneumo_tf.data.splits import SPLITS, split_cohort, split_hash
from pneumo_tf.evaluation.calibration.choice import choose_calibrator, cross_fitted
from pneumo_tf.evaluation.dossier import dossier
from pneumo_tf.evaluation.operating_point import choose
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.report.page import write_report
from pneumo_tf.runs.folder import HISTORY, METRICS, PREDICTIONS, REPORT, RUN, SPLIT
from pneumo_tf.storage import write_csv, write_json
from pneumo_tf.training.machine import StageRecorder

PER_PATIENT, PER_SHARD, SIDE = 5, 2000, 16
CLASSES = ("NORMAL", "PNEUMONIA")


def draw(folder: Path, films: int) -> None:
    """Shards of small films, their manifest and the record of their preparation."""
    import cv2

    generator = np.random.default_rng(0)
    folder.mkdir()
    rows = []
    for shard, start in enumerate(range(0, films, PER_SHARD)):
        numbers = range(start, min(start + PER_SHARD, films))
        noise = generator.integers(0, 256, (len(numbers), SIDE, SIDE), dtype=np.uint8)
        write_shard(folder / shard_name(shard),
                    ((f"{number:07}.jpeg", cv2.imencode(".jpeg", film)[1].tobytes())
                     for number, film in zip(numbers, noise, strict=True)))
        sizes = generator.integers(10_000, 90_000, len(numbers)).astype(str)
        for number, size in zip(numbers, sizes, strict=True):
            patient = number // PER_PATIENT
            rows.append(Radiograph(
                f"{CLASSES[patient % 2]}-{number}", CLASSES[patient % 2],
                file=f"{shard_name(shard)}/{number:07}.jpeg", patient=f"p-{patient}",
                source=f"{number}.png", sha256=f"{number:064x}",
                facts={"format": "JPEG", "mode": "L", "width": "1024", "height": "1024", "bytes": str(size)}))
    Cohort(tuple(rows)).write_csv(folder / MANIFEST)
    part = Part("films", "", FilterOptions().to_json(), CLASSES, (Step("found in source", films),))
    write_json(folder / RECORD, Prepared((part,)).to_json())


def draw_scores(cohort: Cohort) -> np.ndarray:
    """float32 (N, 2): what a good network might say, alike for the films of a patient."""
    generator = np.random.default_rng(1)
    _, patient = np.unique(cohort.patients, return_inverse=True)
    is_positive = np.array(cohort.labels) == CLASSES[1]
    logits = np.where(is_positive, 1.4, -1.4) + 0.9 * generator.standard_normal(len(cohort))
    logits += 0.7 * generator.standard_normal(patient.max() + 1)[patient]
    positive = 1 / (1 + np.exp(-logits))
    return np.stack([1 - positive, positive], axis=1).astype("float32")


def write_run(cohort: Cohort, films: Path, folder: Path, stages: StageRecorder) -> None:
    """The records of a training on these films, but for a network."""
    with stages.measure("scores and tables"):
        everything = Scores.of_cohort(cohort, draw_scores(cohort), CLASSES[1])
        split_of = np.array([film.split for film in cohort])
        scores = {split: everything.take(np.flatnonzero(split_of == split)) for split in SPLITS}
        point = choose(scores["validation"])
        cohort.write_csv(folder / SPLIT)
        write_csv(folder / PREDICTIONS, everything.to_predictions(split_of.tolist(), point.threshold))
        write_csv(folder / HISTORY, pd.DataFrame({"epoch": [1, 2], "loss": [0.6, 0.4], "val_loss": [0.6, 0.5],
                                                  "accuracy": [0.8, 0.9], "val_accuracy": [0.8, 0.9]}))
    with stages.measure("figures"):
        compared = cross_fitted(scores["validation"])
        calibrator = choose_calibrator("temperature", scores["validation"], compared)
        metrics = dossier(scores, point.threshold, calibrator=calibrator, cohort=cohort)
        metrics["validation"]["calibrators"] = compared
        write_json(folder / METRICS, metrics)
    write_json(folder / RUN, {
        "name": "million", "created": "2025-01-01T00:00:00+00:00", "command": ["python", "million.py"],
        "classes": list(CLASSES), "positive": CLASSES[1], "operating_point": asdict(point), "recipe": "fast",
        "backbone": "efficientnet_lite0", "options": {}, "seed": 42, "split_by": "patient",
        "patients_known": True, "films_without_patient": 0, "split_sha256": split_hash(cohort),
        "flow": [asdict(step) for step in cohort.history], "preparation": None, "phantoms": True,
        "parameters": 0, "input": {"height": SIDE, "width": SIDE, "color_mode": "rgb"},
        "weights": {"source": "none", "sha256": ""}, "versions": {}, "calibration": calibrator.to_json(),
        "data": {"films": str(films), "labels": "labels.csv", "labels_sha256": ""}, "device": {},
        "stages": stages.to_json()})


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    typed = options.parse_args()
    stages = StageRecorder()
    with scratch() as place:
        films, run = place / "films", place / "run"
        run.mkdir()
        draw(films, typed.rows)
        with stages.measure("labels"):
            read_folder(films).write_csv(place / "labels.csv")
        with stages.measure("films of the table"):
            cohort = load_cohort(place / "labels.csv", films, extension=None)
        with stages.measure("audit"):
            cohort = audit(cohort, films)
        with stages.measure("split"):
            cohort = split_cohort(cohort)
        write_run(cohort, films, run, stages)
        films_there = len(cohort)
        del cohort
        with stages.measure("report"):
            write_report(run)
        test = json.loads((run / METRICS).read_text())["test"]
        size = (run / REPORT).stat().st_size
    print(f"{describe_machine()}\n$ {command()}\n{films_there:,} films; test AUC "
          f"{test['figures']['auc']['value']:.4f}; report {size / 1e6:.2f} MB\n\n"
          "| stage | minutes | peak memory, GB |\n|---|---:|---:|")
    together = replace(stages.stages[0], stage="together",
                       seconds=sum(stage.seconds for stage in stages.stages),
                       peak_memory_bytes=max(stage.peak_memory_bytes for stage in stages.stages))
    for stage in (*stages.stages, together):
        print(f"| {stage.stage} | {stage.seconds / 60:.2f} | {stage.peak_memory_bytes / 1e9:.2f} |")


if __name__ == "__main__":
    main()
