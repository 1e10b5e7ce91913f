"""What training waits for its films, during `full`.

    python benchmarks/data_wait.py --backbone inception_v3

Keras's own queue feeds the steps, with the augmentation and the threads that the recipe uses. Counted is
the time between asking for a batch and having it, against the time of the whole step. The second row compares
with steps on one batch that is used again and again, in turns: what the loader costs beside waiting, because
its threads need a processor too. On a GPU that row is the one that counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from results import Result, parser, prepared_films, scratch, show

from pneumo_tf.data.labels import read_folder
from pneumo_tf.models.backbones import get_backbone
from pneumo_tf.models.weights.pretrained import NONE
from pneumo_tf.studies.plan import StudyOptions, settle
from pneumo_tf.studies.train import build_task
from pneumo_tf.training.machine import StageRecorder

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


def endless(batches: Any) -> Iterator[Batch]:
    """Batches from the queue that `fit` takes them from, epoch after epoch."""
    for epoch in range(10**6):
        batches.begin(epoch)
        adapter = PyDatasetAdapter(batches, shuffle=False)
        adapter.on_epoch_begin()
        yield from (batch for batch in adapter.get_tf_dataset() if len(batch[0]) == batches.batch_size)
        adapter.on_epoch_end()


def step(model: keras.Model, batch: Any) -> float:
    """Seconds of one training step, its result included."""
    start = time.perf_counter()
    model.train_on_batch(*batch)
    return time.perf_counter() - start


def timed(queue: Iterator[Batch]) -> tuple[float, Batch]:
    start = time.perf_counter()
    batch = next(queue)
    return time.perf_counter() - start, batch


def measure(model: keras.Model, batches: Any, *, steps: int, rounds: int) -> tuple[float, float, float]:
    """Seconds of a step: waiting for its batch (mean); computing it, and a repeated one (medians)."""
    queue, repeated = endless(batches), batches[0]
    step(model, repeated)  # which compiles
    step(model, next(queue))
    waits, fresh, again = [], [], []
    for _ in range(rounds):
        for _ in range(batches.max_queue_size):  # what lay ready in the queue proves nothing
            step(model, next(queue))
        for _ in range(steps):
            waited, batch = timed(queue)
            waits.append(waited)
            fresh.append(step(model, batch))
        again.extend(step(model, repeated) for _ in range(steps))
    return float(np.mean(waits)), float(np.median(fresh)), float(np.median(again))


def prepare(typed: argparse.Namespace, folder: Path) -> tuple[keras.Model, Any]:
    """The model of the recipe `full`, everything learning, and its batches."""
    size = typed.image_size or get_backbone(typed.backbone).size
    films = typed.films or prepared_films(folder / "films", typed.count, size)
    labels = typed.labels or folder / "labels.csv"
    if typed.labels is None:
        read_folder(films).write_csv(labels)
    plan = settle(StudyOptions(films=films, labels=labels, output=folder, recipe="full", weights=NONE,
                               backbone=typed.backbone, batch_size=typed.batch_size, image_size=size,
                               cache=folder / "cache"))
    ready = plan.recipe.prepare(build_task(plan, StageRecorder()))  # type: ignore[union-attr]
    ready.phases[-1].compile_for_test()
    return ready.loop.model, ready.loop.batches


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--labels", type=Path, help="their table of labels (default: read from their names)")
    options.add_argument("--count", type=int, default=3000, help="phantoms, where no films are given")
    options.add_argument("--backbone", default="inception_v3")
    options.add_argument("--image-size", type=int)
    options.add_argument("--batch-size", type=int, default=32)
    options.add_argument("--steps", type=int, default=6, help="counted steps of a turn")
    options.add_argument("--rounds", type=int, default=2, help="turns")
    typed = options.parse_args()
    with scratch() as folder:
        model, batches = prepare(typed, folder)
        waited, fresh, again = measure(model, batches, steps=typed.steps, rounds=typed.rounds)
    what = f"`full`, {typed.backbone}, batches of {typed.batch_size}"
    show([Result(f"data wait, {what}", f"whole step {1000 * (waited + fresh):.0f} ms",
                 f"waiting {1000 * waited:.2f} ms", f"{100 * waited / (waited + fresh):.2f} %", "≤ 2 %"),
          Result(f"step with the loader, {what}", f"on one repeated batch {1000 * again:.0f} ms",
                 f"{1000 * (waited + fresh):.0f} ms", f"{(waited + fresh) / again:.3f}×", "≤ 1.05× (GPU)")],
         how=f"{typed.rounds} turns of {typed.steps} steps each, after the {batches.max_queue_size} batches "
             "that lay ready; everything learns.")


if __name__ == "__main__":
    main()
