"""Augmentation, measured: our views against Keras's ImageDataGenerator, from the same parameters.

    python benchmarks/augment.py

Both get prepared films and parameters that are already drawn (rotation 30°, shifts 0.2, flips, as in the
tutorial), Keras also the float32 copies that it wants; they take turns equally long, and the best of
several rounds counts. A second table times our presets as a training uses them, drawing included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
from results import command, describe_machine

from pneumo_tf.phantoms.write import draw_phantom
from pneumo_tf.training.views import PRESETS, Augmentation, apply_view, sample_view, view_rng

WARM_UP = 32  # views
KINDS = ("normal", "bacteria", "virus")
Work = Callable[[int], np.ndarray]


def draw_films(count: int, side: int, channels: int) -> list[np.ndarray]:
    """Phantoms on a square canvas, uint8 (side, side, channels)."""
    films = [draw_phantom(KINDS[i % 3], patient_seed=i, film_seed=i).film for i in range(count)]
    squares = [cv2.resize(film, (side, side), interpolation=cv2.INTER_AREA) for film in films]
    return [np.repeat(square[..., None], channels, axis=-1) for square in squares]


def films_per_second(work: Work, views: int, threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        for _ in pool.map(work, range(views)):
            pass
        return views / (time.perf_counter() - start)


def compete(works: Sequence[Work], *, seconds: float, threads: int, rounds: int) -> list[float]:
    """The best films per second of each, in turns equally long, so that a busy moment hits all alike."""
    views = [1 + int(seconds * films_per_second(work, WARM_UP, threads)) for work in works]
    speeds = [[films_per_second(work, count, threads) for work, count in zip(works, views, strict=True)]
              for _ in range(rounds)]
    return [max(speed) for speed in zip(*speeds, strict=True)]


def generator_and_ours(films: list[np.ndarray], views: int) -> tuple[Work, Work]:
    """The same views by Keras and by us, as functions of their number."""
    from keras._tf_keras.keras.preprocessing.image import ImageDataGenerator
    from keras_view import view_of_keras

    generator = ImageDataGenerator(rotation_range=30, width_shift_range=0.2, height_shift_range=0.2,
                                   horizontal_flip=True)
    shape = films[0].shape
    drawn = [generator.get_random_transform(shape, seed=number) for number in range(views)]
    translated = [view_of_keras(parameters, *shape[:2]) for parameters in drawn]
    floats = [film.astype("float32") for film in films]

    def keras(number: int) -> np.ndarray:
        return np.asarray(generator.apply_transform(floats[number % len(films)], drawn[number % views]))

    def ours(number: int) -> np.ndarray:
        return apply_view(films[number % len(films)], translated[number % views])

    return keras, ours


def difference(works: Sequence[Work], views: int) -> tuple[float, float]:
    """Mean and largest absolute difference, in grey levels, borders included."""
    first, second = works
    gaps = np.stack([np.abs(first(number) - second(number)) for number in range(views)])
    return float(gaps.mean()), float(gaps.max())


def compare(options: argparse.Namespace) -> None:
    print("\n| film | threads | ImageDataGenerator, films/s | ours, films/s | ratio "
          "| ratio to its one thread | mean (largest) difference, grey levels |\n"
          "|---|---|---|---|---|---|---|")
    for channels, colour in ((1, "grey"), (3, "RGB")):
        works = generator_and_ours(draw_films(options.films, options.side, channels), options.views)
        mean, largest = difference(works, min(options.views, 64))
        alone = None
        for threads in options.threads:
            keras, ours = compete(works, seconds=options.seconds, threads=threads, rounds=options.rounds)
            alone = alone or keras
            print(f"| {colour} {options.side} | {threads} | {keras:.0f} | {ours:.0f} | {ours / keras:.1f}× "
                  f"| {ours / alone:.1f}× | {mean:.2f} ({largest:.1f}) |", flush=True)


def time_presets(options: argparse.Namespace) -> None:
    films = draw_films(options.films, options.side, 1)

    def draw(number: int, *, augmentation: Augmentation) -> np.ndarray:
        view = sample_view(augmentation, view_rng(0, number, 0))
        return apply_view(films[number % len(films)], view)

    works = [partial(draw, augmentation=augmentation) for augmentation in PRESETS.values()]
    columns = [compete(works, seconds=options.seconds, threads=threads, rounds=options.rounds)
               for threads in options.threads]
    heads = " | ".join(f"{threads} thread{'s' * (threads > 1)}, films/s" for threads in options.threads)
    print(f"\n| preset, grey {options.side} | {heads} |\n|---|{'---|' * len(columns)}")
    for name, speeds in zip(PRESETS, zip(*columns, strict=True), strict=True):
        print(f"| {name} | {' | '.join(f'{speed:.0f}' for speed in speeds)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=299, help="pixels of a film's side")
    parser.add_argument("--films", type=int, default=12, help="different films")
    parser.add_argument("--views", type=int, default=240, help="different views")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    cv2.setNumThreads(1)  # else OpenCV shares one film among all cores
    print(f"{describe_machine()}\n$ {command()}")
    compare(options)
    time_presets(options)


if __name__ == "__main__":
    main()
