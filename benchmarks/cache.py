"""An epoch over the pixel cache against decoding the JPEGs each epoch; no model.

    python benchmarks/cache.py --films clasificacion

Both give the same batches of RGB films in a shuffled order, with the same number of threads. The cache is
read after it was filled, as every epoch but the first reads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from results import Result, in_turns, parser, prepared_films, scratch, show

from pneumo_tf.data.labels import read_folder
from pneumo_tf.training.pixels import Pixels, decode_cohort, load_film
from pneumo_tf.training.store import Cache

BATCH = 32


def epoch(batch: Callable[[np.ndarray], np.ndarray], films: int, threads: int) -> int:
    """The sum of a pixel of each batch, so that the work is really done."""
    order = np.random.default_rng(0).permutation(films)
    groups = [order[start : start + BATCH] for start in range(0, films, BATCH)]

    def share(number: int) -> int:
        return sum(int(batch(group)[0, 0, 0, 0]) for group in groups[number::threads])

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(share, range(threads)))


def decoded(paths: list[Path], side: int, rows: np.ndarray) -> np.ndarray:
    return np.stack([load_film(paths[row], side) for row in rows])


def fill(folder: Path, side: int, cache: Path) -> tuple[list[Path], Pixels]:
    cohort = read_folder(folder)
    cohort, pixels = decode_cohort(cohort, folder, size=side, cache=Cache(cache), workers=os.cpu_count() or 1)
    return [folder / film.file for film in cohort], pixels


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--count", type=int, default=1000, help="phantoms, where no films are given")
    options.add_argument("--side", type=int, default=299, help="pixels of a film's side")
    options.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options.add_argument("--rounds", type=int, default=3, help="turns of each")
    typed, results = options.parse_args(), []
    with scratch() as folder:
        films = typed.films or prepared_films(folder / "films", typed.count, typed.side)
        paths, pixels = fill(films, typed.side, folder / "cache")
        assert np.array_equal(decoded(paths, typed.side, np.arange(9)), pixels.batch(range(9)))
        for threads in typed.threads:
            slow, fast = in_turns([partial(epoch, partial(decoded, paths, typed.side), len(paths), threads),
                                   partial(epoch, pixels.batch, len(paths), threads)], typed.rounds)
            results.append(Result(
                f"epoch of {len(paths)} films of {typed.side} px, {threads} threads",
                f"decoding {slow:.2f} s ({len(paths) / slow:.0f} films/s)",
                f"pixel cache {fast:.3f} s ({len(paths) / fast:.0f} films/s)", f"{slow / fast:.0f}×", "20×"))
    show(results, how=f"The faster of {typed.rounds} turns each; a film's pixels are the same in both.")


if __name__ == "__main__":
    main()
