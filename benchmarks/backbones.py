"""Films a second of frozen backbones with random weights, as the recipe `fast` computes them.

    python benchmarks/backbones.py --backbone dinov2_small densenet121_xrv --count 16

A rate is films by the processor's time, times the processor's cores: what this machine would give if nothing
else ran on it. Each engine computes the films once before it is timed.
"""

from __future__ import annotations

import os
import time

import numpy as np
from results import Result, parser, show

from pneumo_tf.models.backbones import BACKBONES, Backbone, get_backbone
from pneumo_tf.models.classifier import build_backbone, pooled_features
from pneumo_tf.training.engine import AUTO, KERAS, OPENVINO, Engine, build_engine, choose_engine
from pneumo_tf.training.machine import describe_device

CORES = os.cpu_count() or 1


def engines(backbone: Backbone, size: int) -> dict[str, Engine]:
    """By name and precision."""
    device = describe_device()
    network = pooled_features(build_backbone(backbone, size), backbone.taps)
    names = [KERAS, OPENVINO] if choose_engine(AUTO, device) == OPENVINO else [KERAS]
    made = {f"{name} float32": build_engine(network, name, threads=CORES) for name in names}
    coarse = {name.replace("float32", "bfloat16"): engine.coarse() for name, engine in made.items()}
    return made | (coarse if device.bfloat16 else {})


def rate(engine: Engine, films: np.ndarray) -> float:
    """Films a second, were the processor ours alone."""
    engine(films)
    began = time.process_time()
    engine(films)
    return len(films) * CORES / (time.process_time() - began)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--backbone", nargs="+", default=list(BACKBONES))
    options.add_argument("--count", type=int, default=16, help="films that are computed")
    options.add_argument("--image-size", type=int, help="instead of each backbone's own")
    typed = options.parse_args()
    results = []
    for backbone in map(get_backbone, typed.backbone):
        size = typed.image_size or backbone.size
        films = np.random.default_rng(0).integers(0, 256, (typed.count, size, size, 3), dtype=np.uint8)
        rates = {name: rate(engine, films) for name, engine in engines(backbone, size).items()}
        first = next(iter(rates.values()))
        results += [Result(f"{backbone.name}, {size} px: {name}", f"Keras float32 {first:.1f} films/s",
                           f"{found:.1f} films/s", f"{found / first:.2f}×") for name, found in rates.items()]
    show(results, how=f"{typed.count} films by the processor's time on {CORES} cores.")


if __name__ == "__main__":
    main()
