"""VGG16DWSep against the same network with plain convolutions: parameters, multiply-adds, time per film.

    python benchmarks/dwsep.py
    python benchmarks/dwsep.py --batch-size 32 --batches 5

Both networks see the same batch in turns, so that what else the machine does falls on both alike; the fastest
batch of each counts. Training is one step of Adam with the first two convolutions kept constant.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from pneumo_tf.models.backbones import BACKBONES, Backbone
from pneumo_tf.models.classifier import attach_head, build_backbone, multiply_adds, unfreeze
from pneumo_tf.models.heads import dwsep_head
from pneumo_tf.models.vgg16_dwsep import build_vgg16_dwsep

SEPARABLE = BACKBONES["vgg16_dwsep"]
PLAIN = replace(SEPARABLE, build=partial(build_vgg16_dwsep, plain=True))


def classifier(backbone: Backbone, size: int) -> tuple[keras.Model, int]:
    """A network ready to train, and how many of its parameters lie below the head."""
    network = build_backbone(backbone, size)
    unfreeze(network, constant=SEPARABLE.constant, norm=True)
    model = attach_head(network, dwsep_head, 2)
    model.compile(keras.optimizers.Adam(1e-4), loss="categorical_crossentropy")
    return model, network.count_params()


def fastest(steps: list[Callable[[], object]], batches: int) -> list[float]:
    """Seconds of the fastest run of each step; they take turns, and the first turn only compiles."""
    seconds = []
    for turn in range(batches + 1):
        taken = []
        for step in steps:
            start = time.perf_counter()
            step()
            taken.append(time.perf_counter() - start)
        if turn:
            seconds.append(taken)
    return list(np.min(seconds, axis=0))


def row(name: str, values: tuple[float, float], form: str) -> str:
    separable, plain = values
    return f"| {name} | {separable:{form}} | {plain:{form}} | {plain / separable:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--size", type=int, default=SEPARABLE.size)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    films = np.random.default_rng(0).uniform(0, 255, (options.batch_size, options.size, options.size, 3))
    films, labels = films.astype("float32"), np.eye(2)[np.arange(options.batch_size) % 2]
    (separable, below), (plain, below_plain) = (classifier(one, options.size) for one in (SEPARABLE, PLAIN))
    models = (separable, plain)
    train = fastest([partial(model.train_on_batch, films, labels) for model in models], options.batches)
    infer = fastest([partial(model.predict_on_batch, films) for model in models], options.batches)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Keras {keras.__version__}, "
          f"{keras.backend.backend()}\n$ python benchmarks/dwsep.py {' '.join(sys.argv[1:])}\n")
    print("| | VGG16DWSep | plain | plain / VGG16DWSep |\n|---|---:|---:|---:|")
    print(row("parameters below the head", (below, below_plain), ",d"))
    print(row("parameters with the head", (separable.count_params(), plain.count_params()), ",d"))
    print(row("multiply-adds per film (10⁹)", tuple(multiply_adds(m) / 1e9 for m in models), ".2f"))
    for name, seconds in (("training", train), ("inference", infer)):
        print(row(f"{name}, ms per film", tuple(1000 * one / options.batch_size for one in seconds), ".1f"))


if __name__ == "__main__":
    main()
