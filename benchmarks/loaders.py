"""The assignment's film loader: which library for its five transforms, and how many workers.

    python benchmarks/loaders.py --films chest_xray --plot loaders.png

The transforms: resize to 224, scale to 0-1, flip left to right, rotate (13° of the ±20°), multiply each
channel of each pixel by its own factor between 1.2 and 1.5. First each of them by itself in Pillow, OpenCV,
scikit-image and Keras's operations, one film after the other in one thread, and what a process holds more
because it uses the library. Then an epoch with so many workers of three loaders, and what it takes beside the
process that asks for it: processes that decode JPEGs and transform with Pillow, as in PyTorch's DataLoader;
threads that do it with OpenCV; and ours, threads that make one warp and one pass over the pixels of a film
from the pixel cache.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from loader_transforms import LIBRARIES, SIDE, STEPS, Steps, all_steps
from PIL import Image
from results import ROOT, command, describe_machine, draw_phantoms, scratch
from results import parser as new_parser

WORKERS = (0, 1, 2, 4)
OURS = "pixel cache, ours, threads"
ROUNDS = 3
_MEMORY = """
import sys
sys.path.insert(0, "benchmarks")
import numpy as np, psutil
from loader_transforms import LIBRARIES, all_steps
films = np.ones((8, {height}, {width}, 3), np.uint8)
held = [psutil.Process().memory_info().rss]
steps = LIBRARIES[{name!r}]()
for film in films:
    all_steps(steps, film)
    held.append(psutil.Process().memory_info().rss)
print(max(held) - held[0])
"""


def decode(path: Path) -> np.ndarray:
    """uint8 (H, W, 3)."""
    return np.asarray(Image.open(path).convert("RGB"))


def profile(films: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """Milliseconds per film of each library and step; the libraries take turns, the fastest turn counts."""
    made = {name: steps() for name, steps in LIBRARIES.items()}
    best: dict[str, dict[str, float]] = {name: dict.fromkeys(STEPS, np.inf) for name in made}
    for turn in range(ROUNDS + 1):
        for name, steps in made.items():
            values: list = films
            for step in STEPS:
                start = time.perf_counter()
                values = [steps[step](value) for value in values]
                taken = 1000 * (time.perf_counter() - start) / len(films)
                best[name][step] = min(best[name][step], taken) if turn else np.inf  # the first one compiles
    return best


def memory(name: str, shape: tuple[int, ...]) -> float:
    """Megabytes that a process holds more because it uses a library."""
    script = _MEMORY.format(name=name, height=shape[0], width=shape[1])
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, check=True,
                          stderr=subprocess.DEVNULL)
    return int(said.stdout) / 1e6


@cache
def _steps(name: str) -> Steps:
    return LIBRARIES[name]()


def from_jpeg(name: str, path: Path) -> np.ndarray:
    return all_steps(_steps(name), decode(path))


@contextmanager
def crew(workers: int, *, processes: bool) -> Iterator[Executor | None]:
    """Nobody for 0 workers: the work is then done where it is asked for."""
    if not workers:
        yield None
    elif processes:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield pool
    else:
        with ThreadPoolExecutor(workers) as pool:
            yield pool


def epoch(load: Callable, items: list, workers: int, *, processes: bool = False) -> tuple[float, float]:
    """Seconds of an epoch by workers that have started, and the megabytes that it takes beside the rest."""
    from pneumo_tf.training.machine import StageRecorder

    stages, before = StageRecorder(), psutil.Process().memory_info().rss
    with crew(workers, processes=processes) as pool:
        def run(some: list) -> None:
            """A share of the films for each worker, which leaves nothing behind but a number."""
            shares = [some[start :: 4 * max(1, workers)] for start in range(4 * max(1, workers))]
            sum(pool.map(partial(work, load), shares) if pool else map(partial(work, load), shares))

        run(items[: 16 * max(1, workers)])
        for _ in range(ROUNDS):
            with stages.measure("epoch"):
                run(items)
    return (min(stage.seconds for stage in stages.stages),
            (max(stage.peak_memory_bytes for stage in stages.stages) - before) / 1e6)


def work(load: Callable[[Any], np.ndarray], items: list) -> float:
    return sum(float(load(item)[0, 0, 0]) for item in items)


def ours(pixels: Any, row: int) -> np.ndarray:
    from pneumo_tf.training.pixels import as_three_channels
    from pneumo_tf.training.views import apply_view, get_preset, sample_view, view_rng

    view = sample_view(get_preset("assignment"), view_rng(0, row, 0))
    return apply_view(as_three_channels(pixels.film(row)[None])[0], view)


def loaders(paths: list[Path], folder: Path, cache_folder: Path) -> dict[str, Callable[[int], tuple]]:
    from pneumo_tf.cohort import Cohort, Radiograph
    from pneumo_tf.training.pixels import decode_cohort
    from pneumo_tf.training.store import Cache

    cohort = Cohort(tuple(Radiograph(id=str(number), label="", file=path.relative_to(folder).as_posix())
                          for number, path in enumerate(paths)))
    _, pixels = decode_cohort(cohort, folder, size=SIDE, cache=Cache(cache_folder), workers=2)
    slow, quick = partial(from_jpeg, "Pillow"), partial(from_jpeg, "OpenCV")
    return {"JPEG, Pillow, processes": lambda workers: epoch(slow, paths, workers, processes=True),
            "JPEG, OpenCV, threads": lambda workers: epoch(quick, paths, workers),
            OURS: lambda workers: epoch(partial(ours, pixels), list(range(len(pixels))), workers)}


def show_steps(taken: dict[str, dict[str, float]], held: dict[str, float]) -> None:
    print(f"\n| ms per film | {' | '.join(STEPS)} | together | memory of a process |\n"
          f"|---|{'---:|' * (len(STEPS) + 2)}")
    for name, steps in taken.items():
        columns = " | ".join(f"{steps[step]:.2f}" for step in STEPS)
        print(f"| {name} | {columns} | {sum(steps.values()):.2f} | +{held[name]:.0f} MB |")


def show_epochs(epochs: dict[str, dict[int, tuple[float, float]]], films: int) -> None:
    print(f"\n| epoch of {films} films | {' | '.join(f'{n} workers' for n in WORKERS)} |\n"
          f"|---|{'---:|' * len(WORKERS)}")
    for name, by_workers in epochs.items():
        print(f"| {name} | " + " | ".join(f"{seconds:.2f} s, +{max(0, megabytes):.0f} MB"
                                          for seconds, megabytes in by_workers.values()) + " |")


def choice(taken: dict[str, dict[str, float]], epochs: dict[str, dict[int, tuple[float, float]]]) -> str:
    """What the figures say, in a sentence."""
    sums = {name: sum(steps.values()) for name, steps in taken.items()}
    slower = ", ".join(f"{name} takes {total / sums['OpenCV']:.1f}×" for name, total in sums.items()
                       if name != "OpenCV")
    best = {name: min(rows, key=lambda workers: rows[workers][0]) for name, rows in epochs.items()}
    seconds = {name: epochs[name][workers][0] for name, workers in best.items()}
    others = ", ".join(f"{name} {seconds[name] / seconds[OURS]:.0f}× ours ({best[name]} workers)"
                       for name in seconds if name != OURS)
    return (f"Choice: OpenCV, films decoded once, threads, one for each core. Of OpenCV's time for the five "
            f"transforms {slower}. At its best number of workers each epoch takes: {others}; ours is best "
            f"with {best[OURS]}.")


def draw(taken: dict[str, dict[str, float]], epochs: dict[str, dict[int, tuple[float, float]]],
         target: Path) -> None:
    """Two panels: the steps of each library, and epochs by the number of workers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    bottom = np.zeros(len(taken))
    for step in STEPS:
        values = np.array([steps[step] for steps in taken.values()])
        left.bar(list(taken), values, bottom=bottom, label=step)
        bottom += values
    left.set(ylabel="ms per film, one thread", title="The five transforms")
    left.legend(frameon=False)
    for name, rows in epochs.items():
        right.plot(list(rows), [seconds for seconds, _ in rows.values()], marker="o", label=name)
    right.set(xlabel="workers", ylabel="seconds of an epoch", yscale="log", title="Workers", xticks=WORKERS)
    right.legend(frameon=False)
    figure.savefig(target, dpi=90)


def main() -> None:
    options = new_parser(__doc__, films="folder of films as they were found (default: phantoms)")
    options.add_argument("--count", type=int, default=120, help="films of an epoch")
    options.add_argument("--plot", type=Path, help="a PNG of both tables")
    typed = options.parse_args()
    with scratch() as folder:
        source = typed.films or draw_phantoms(folder / "phantoms", typed.count)
        paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpeg", ".jpg", ".png"))
        paths = paths[: typed.count]
        some = [decode(path) for path in paths[:12]]
        taken = profile(some)
        held = {name: memory(name, some[0].shape) for name in LIBRARIES}
        made = loaders(paths, source, folder / "cache")
        epochs = {name: {workers: load(workers) for workers in WORKERS} for name, load in made.items()}
    print(f"{describe_machine()}\n$ {command()}\nThe fastest of {ROUNDS} turns each.")
    show_steps(taken, held)
    show_epochs(epochs, len(paths))
    print(f"\n{choice(taken, epochs)}")
    if typed.plot:
        draw(taken, epochs, typed.plot)


if __name__ == "__main__":
    main()
