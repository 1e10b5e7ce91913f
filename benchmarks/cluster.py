"""What a cluster of 1, 2, 4 and 8 machines would take, on paper, from costs measured here, film by film.

    python benchmarks/cluster.py --originals films.zip
    python benchmarks/cluster.py --price 0.05 --cores 32

Seconds of processor a film, which a busy machine doesn't change, are measured on some films; the formula that
is printed makes hours and money of them. What only the machine where the command was typed does is counted as
such: it reads the films into the cache, keeps what comes back, and holds the tables (benchmarks/million.py).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from results import command, describe_machine, draw_phantoms, scratch

FORMULA = """hours = N · (c / (M · k) + d) / 3600 / u        money = hours · M · k · price
N films, M machines of k cores, busy a share u of the time;
c = prepare + network + v · view (its network in the views' precision), seconds of a core, spread over all;
d = read / k + keep + tables, seconds a film that the first machine takes alone."""


@dataclass(frozen=True)
class Costs:
    """Seconds of processor a film, and of a view where it says so."""

    prepare: float
    network: float
    view: float
    read: float
    keep: float
    tables: float

    def hours(self, films: int, machines: int, *, cores: int, views: int, busy: float) -> float:
        spread = self.prepare + self.network + views * self.view
        alone = self.read / cores + self.keep + self.tables
        return films * (spread / (machines * cores) + alone) / 3600 / busy


def processor_seconds(work: Callable[[], object], films: int) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) / films


def measure(originals: Path, place: Path, count: int, tables: float) -> Costs:
    from pneumo_tf.data.labels import read_folder
    from pneumo_tf.data.preparation.filters import FilterOptions
    from pneumo_tf.data.preparation.prepare import PrepareOptions, prepare
    from pneumo_tf.models.backbones import get_backbone
    from pneumo_tf.models.classifier import build_backbone, pooled_features
    from pneumo_tf.training.engine import KerasEngine
    from pneumo_tf.training.machine import describe_device
    from pneumo_tf.training.pixels import decode_cohort
    from pneumo_tf.training.store import Cache
    from pneumo_tf.training.trunk import film_outputs, view_activations
    from pneumo_tf.training.views import FILMS

    options = PrepareOptions(FilterOptions(size=224, fit="thumbnail"), per_class=count // 2)
    preparing = processor_seconds(partial(prepare, originals, place / "films", options), 1)
    cohort = read_folder(place / "films")
    made = len(cohort)
    decoded = []
    reading = processor_seconds(lambda: decoded.append(
        decode_cohort(cohort, place / "films", size=224, cache=None, workers=1)[1]), made)
    backbone = get_backbone("efficientnet_lite0")
    engine = KerasEngine(pooled_features(build_backbone(backbone, 224), backbone.taps))
    coarse = engine.coarse() if describe_device().bfloat16 else engine
    for warm in (engine, coarse):
        warm(np.zeros((32, 224, 224, 3), np.uint8))
    network = processor_seconds(partial(film_outputs, engine, decoded[0], description=""), made)
    view = processor_seconds(partial(
        view_activations, coarse, decoded[0], np.arange(made), views=3, augmentation=FILMS, seed=1,
        workers=1), 3 * made)
    size = engine.output_shape[0]

    def keep() -> None:
        with Cache(place / "cache").rows("films", {}, shape=(made, 4, size), dtype="float32",
                                         what="features") as rows:
            rows.claim(range(made))
            for start in range(0, made, 32):
                few = list(range(start, min(start + 32, made)))
                rows.write(few, np.zeros((len(few), 4, size), "float32"))

    return Costs(preparing / made, network, view, reading, processor_seconds(keep, made), tables)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--originals", type=Path, help="folder or .zip of originals (default: phantoms)")
    options.add_argument("--count", type=int, default=240, help="films that are measured")
    options.add_argument("--cores", type=int, default=16, help="of each machine")
    options.add_argument("--views", type=int, default=3, help="of each film, as if all were training films")
    options.add_argument("--busy", type=float, default=0.8, help="share of the time that a core works")
    options.add_argument("--price", type=float, default=0.04, help="of a core's hour, in any money")
    options.add_argument("--tables", type=float, default=8.4e-4,
                         help="seconds a film for tables, figures and report, as million.py took")
    typed = options.parse_args()
    with scratch() as place:
        originals = typed.originals or draw_phantoms(place / "phantoms", typed.count)
        costs = measure(originals, place, typed.count, typed.tables)
    print(f"{describe_machine()}  \n$ {command()}\n\n```\n{FORMULA}\n```\n")
    print("Milliseconds of a core a film: " + ", ".join(
        f"{name} {1000 * value:.2f}" for name, value in vars(costs).items())
        + " (`view` with the network, a view).  ")
    print(f"k = {typed.cores}, v = {typed.views}, u = {typed.busy}, price = {typed.price} an hour of a core.")
    print("\n| films | " + " | ".join(f"M = {number}" for number in (1, 2, 4, 8)) + " |")
    print("|---:|" + "---:|" * 4)
    for films in (10_000, 100_000, 1_000_000, 10_000_000):
        cells = []
        for machines in (1, 2, 4, 8):
            hours = costs.hours(films, machines, cores=typed.cores, views=typed.views, busy=typed.busy)
            cells.append(f"{hours:.2f} h, {hours * machines * typed.cores * typed.price:,.2f}")
        print(f"| {films:,} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
