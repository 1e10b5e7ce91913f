"""The trunk's throughput by engine and precision, against `model.predict` in float32.

    python benchmarks/trunk.py --weights inception_v3=inception_v3_notop.h5

The baseline is the network as it is, with its BatchNorm layers; all take turns on the same films. The last
row of a backbone is what the recipe `fast` computes in a study: every film once in float32, and the views of
its training films (59.5 % of all) in bfloat16, each by the quickest engine that there is.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial

import keras
import numpy as np
from results import Result, in_turns, parser, show

from pneumo_tf.models.backbones import Backbone, get_backbone
from pneumo_tf.models.classifier import build_backbone, pooled_features
from pneumo_tf.models.weights.pretrained import NONE, find_weights, load_weights
from pneumo_tf.training.engine import AUTO, KERAS, OPENVINO, Engine, build_engine, choose_engine
from pneumo_tf.training.machine import describe_device
from pneumo_tf.training.trunk import BATCH

TRAINING = 0.7 * 0.85
WANTED = {"inception_v3": "1.7×", "efficientnet_lite0": "3×"}


def build(backbone: Backbone, weights: str) -> keras.Model:
    network = build_backbone(backbone, backbone.size)
    load_weights(network, backbone, find_weights(backbone, weights))
    return pooled_features(network, backbone.taps)


def engines(network: keras.Model) -> dict[str, Engine]:
    """By name and precision; the quickest last."""
    device = describe_device()
    names = [KERAS, OPENVINO] if choose_engine(AUTO, device) == OPENVINO else [KERAS]
    made = {}
    for name in names:
        made[f"{name} float32"] = engine = build_engine(network, name, threads=os.cpu_count() or 1)
        if device.bfloat16:
            made[f"{name} bfloat16"] = engine.coarse()
    return made


def in_batches(compute: Callable[[np.ndarray], np.ndarray], films: np.ndarray) -> np.ndarray:
    return np.concatenate([compute(films[start : start + BATCH]) for start in range(0, len(films), BATCH)])


def difference(found: np.ndarray, expected: np.ndarray) -> str:
    return f"largest difference {np.abs(found - expected).max() / np.abs(expected).max():.0e} of the largest"


def measure(backbone: Backbone, weights: str, typed: argparse.Namespace) -> list[Result]:
    network = build(backbone, weights)
    shape = (typed.batches * BATCH, backbone.size, backbone.size, 3)
    films = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    predict = partial(network.predict, films, batch_size=BATCH, verbose=0)
    made = engines(network)
    works = [predict, *(partial(in_batches, engine, films) for engine in made.values())]
    outputs = [work() for work in works]  # and everything is compiled
    baseline, *ours = (len(films) / seconds for seconds in in_turns(works, typed.rounds))
    against = f"model.predict float32 {baseline:.1f} films/s"
    rows = [Result(f"{backbone.name}: {name}", against, f"{speed:.1f} films/s", f"{speed / baseline:.2f}×",
                   difference(output, outputs[0]))
            for name, speed, output in zip(made, ours, outputs[1:], strict=True)]
    speeds = dict(zip(made, ours, strict=True))
    exact = max(speed for name, speed in speeds.items() if name.endswith(" float32"))
    views = backbone.views * TRAINING
    together = (1 + views) / (1 / exact + views / max(ours))
    return [*rows, Result(f"**{backbone.name}: films and views of `fast`**", against,
                          f"{together:.1f} films/s", f"**{together / baseline:.2f}×**",
                          WANTED.get(backbone.name, "–"))]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--backbone", nargs="+", default=list(WANTED))
    options.add_argument("--weights", nargs="*", default=[], metavar="NAME=PATH",
                         help="weights files; without one the weights are random, which costs the same time")
    options.add_argument("--batches", type=int, default=2, help=f"of {BATCH} films in a turn")
    options.add_argument("--rounds", type=int, default=4, help="turns of each")
    typed = options.parse_args()
    weights = dict(pair.split("=", 1) for pair in typed.weights)
    results = [result for name in typed.backbone
               for result in measure(get_backbone(name), weights.get(name, NONE), typed)]
    show(results, how=f"The fastest of {typed.rounds} turns each, everything compiled before.")


if __name__ == "__main__":
    main()
