"""Run folders as a training leaves them, made from small synthetic films."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.evaluation.calibration.calibrators import Temperature
from pneumo_tf.evaluation.dossier import dossier
from pneumo_tf.evaluation.operating_point import OperatingPoint, choose
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.report.rendering import Section, render
from pneumo_tf.report.words import language

BINARY = ("NORMAL", "PNEUMONIA")


def make_films(folder: Path, classes: tuple[str, ...], *, per_class: int) -> Cohort:
    """Two films a patient, 40×32 pixels of noise; a tenth validation, three tenths test."""
    generator = np.random.default_rng(0)
    rows = []
    for label in classes:
        for number in range(per_class):
            file = f"{label}-{number}.jpeg"
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 255, (32, 40), dtype=np.uint8)).save(folder / file)
            split = ("validation", *["test"] * 3, *["train"] * 6)[number // 2 % 10]
            rows.append(Radiograph(Path(file).stem, label, file=file, patient=f"{label}-p{number // 2}",
                                   split=split, facts=make_file_facts(generator)))
    return Cohort(tuple(rows))


def make_file_facts(generator: np.random.Generator) -> dict[str, str]:
    """Facts that tell nothing of the class."""
    return {"format": "JPEG", "mode": "L", "width": str(generator.integers(900, 2000)), "height": "1000",
            "bytes": str(generator.integers(10_000, 90_000)), "jpeg_quality": "75"}


def make_scores(cohort: Cohort, classes: tuple[str, ...], split: str) -> Scores:
    films = cohort.subset(split)
    labels = np.array([classes.index(film.label) for film in films])
    noise = np.random.default_rng(1).dirichlet(np.ones(len(classes)), len(films))
    values = noise + 0.7 * np.eye(len(classes))[labels]
    return Scores(classes, classes[-1], tuple(films.ids), labels, values / values.sum(axis=1, keepdims=True),
                  np.array(films.patients))


def make_predictions(scores: Scores, split: str, threshold: float | None) -> pd.DataFrame:
    names = np.array(scores.classes)
    named = {"id": scores.ids, "patient": scores.patients, "split": split, "label": names[scores.labels],
             "predicted": names[scores.predicted(threshold)]}
    return pd.DataFrame(named | {f"p_{c}": scores.values[:, k] for k, c in enumerate(scores.classes)})


def make_facts(films: Path, classes: tuple[str, ...], point: OperatingPoint) -> dict[str, Any]:
    return {
        "name": "fast-42", "created": "2025-03-04T05:06:07+00:00",
        "command": ["python", "scripts/binary_class.py", "--labels", "my labels.csv"],
        "classes": list(classes), "positive": classes[-1], "operating_point": asdict(point), "recipe": "fast",
        "backbone": "efficientnet_lite0", "options": {"batch_size": 32, "augment": True, "weights": None},
        "seed": 42, "split_by": "patient", "patients_known": True, "films_without_patient": 0,
        "split_sha256": "ab" * 32, "preparation": None, "phantoms": False, "parameters": 3400000,
        "flow": [{"stage": "found in source", "kept": 5856,
                  "dropped": [{"file": "__MACOSX/._a.jpeg", "reason": "macOS shadow file"}]},
                 {"stage": "unique films", "kept": 5824, "dropped": []}],
        "input": {"height": 224, "width": 224, "color_mode": "rgb", "interpolation": "bilinear"},
        "weights": {"source": "package efficientnet-lite0", "sha256": "cd" * 32},
        "data": {"films": str(films), "labels": "labels/labels.csv", "labels_sha256": "ef" * 32},
        "versions": {"keras": "3.12.0"},
        "device": {"processor": "x86_64", "cores": 2, "accelerator": None, "backend": "tensorflow",
                   "precision": "float32"},
        "stages": [{"stage": "decode", "seconds": 1.25, "peak_memory_bytes": 123456789},
                   {"stage": "train", "seconds": 200.0, "peak_memory_bytes": None}],
    }


def make_run(folder: Path, *, classes: tuple[str, ...] = BINARY, per_class: int = 60,
             epochs: int = 4) -> Path:
    """Fabricate everything that a finished run leaves, and give its folder."""
    cohort = make_films(folder / "images", classes, per_class=per_class)
    run = folder / "run"
    cohort.write_csv(run / "split.csv")
    scores = {split: make_scores(cohort, classes, split) for split in ("train", "validation", "test")}
    point = choose(scores["validation"])
    temperature = Temperature.fit(scores["validation"])
    metrics = dossier(scores, point.threshold, calibrator=temperature, cohort=cohort, resamples=50)
    tables = [make_predictions(part, split, point.threshold) for split, part in scores.items()]
    pd.concat(tables).to_csv(run / "predictions.csv", index=False)
    columns = {name: np.linspace(*ends, epochs) for name, ends in
               {"loss": (0.7, 0.1), "accuracy": (0.6, 0.99), "val_loss": (0.7, 0.3),
                "val_accuracy": (0.6, 0.9)}.items()}
    history = pd.DataFrame({"epoch": range(1, epochs + 1), **columns})
    history.to_csv(run / "history.csv", index=False)
    (run / "metrics.json").write_text(json.dumps(metrics))
    (run / "run.json").write_text(json.dumps(make_facts(folder / "images", classes, point)
                                               | {"calibration": temperature.to_json()}))
    return run


def change_facts(run: Path, **changes: Any) -> Path:
    """Change entries of run.json."""
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | changes))
    return run


@pytest.fixture
def finished_run(tmp_path) -> Path:
    return make_run(tmp_path)


@pytest.fixture
def run_of(tmp_path) -> Callable[..., Path]:
    return lambda **options: make_run(tmp_path, **options)


def fill(section: Section, subject: object, lang: str = "en") -> str:
    """A section's own HTML; empty where it is left out."""
    words = language(lang)
    content = section.content(subject, words)
    return "" if content is None else render(f"sections/{section.name}.html.j2", content, words)


@pytest.fixture(scope="session")
def filled() -> Callable[..., str]:
    return fill


@pytest.fixture
def changed() -> Callable[..., Path]:
    return change_facts


@pytest.fixture(scope="session")
def make_finished_run() -> Callable[..., Path]:
    """Makes a run in a folder of its own, for fixtures that outlive a test."""
    return make_run
