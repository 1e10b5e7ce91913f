"""VGG16DWSep against the same network with plain convolutions: parameters, multiply-adds, time per film.

    python benchmarks/dwsep.py
    python benchmarks/dwsep.py --batch-size 32 --batches 5

Both networks see the same batch in turns; the fastest batch of each counts, once both are compiled.
Training is one step of Adam with the first two convolutions kept constant.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import keras
import numpy as np
from results import command, describe_machine, in_turns

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
    in_turns(steps, 1)  # which compiles
    return in_turns(steps, batches)


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
    print(f"{describe_machine()}; on {keras.backend.backend()}\n$ {command()}\n")
    print("| | VGG16DWSep | plain | plain / VGG16DWSep |\n|---|---:|---:|---:|")
    print(row("parameters below the head", (below, below_plain), ",d"))
    print(row("parameters with the head", (separable.count_params(), plain.count_params()), ",d"))
    print(row("multiply-adds per film (10⁹)", tuple(multiply_adds(m) / 1e9 for m in models), ".2f"))
    for name, seconds in (("training", train), ("inference", infer)):
        print(row(f"{name}, ms per film", tuple(1000 * one / options.batch_size for one in seconds), ".1f"))


if __name__ == "__main__":
    main()
