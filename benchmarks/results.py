"""What every benchmark shares: works in turns, the machine in words, a claim as a row of a table."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_HEAD = "| claim | baseline | ours | ratio | at least |\n|---|---|---|---|---|"


@dataclass(frozen=True)
class Result:
    """One claim: what was measured of the baseline and of ours, and how they relate."""

    claim: str
    baseline: str
    ours: str
    ratio: str
    wanted: str = "–"

    def row(self) -> str:
        return f"| {self.claim} | {self.baseline} | {self.ours} | {self.ratio} | {self.wanted} |"


def parser(description: str | None, *,
           films: str = "folder of prepared films (default: phantoms)") -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--films", type=Path, help=films)
    return made


def in_turns(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Seconds of the fastest run of each; they take turns, so that a busy moment hits all alike."""
    seconds = [[_seconds(work) for work in works] for _ in range(rounds)]
    return [min(column) for column in zip(*seconds, strict=True)]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def show(results: Sequence[Result], *, how: str) -> None:
    """Print the results as one table, with how they came about."""
    print(f"{describe_machine()}\n$ {command()}\n{how}\n\n{_HEAD}")
    print("\n".join(result.row() for result in results), flush=True)


def command() -> str:
    """What was typed, from the root of the project."""
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def describe_machine() -> str:
    """Processor, its cores, how busy it was, and the versions that count."""
    from pneumo_tf.training.machine import describe_device, package_versions

    device, versions = describe_device(), package_versions()
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    return (f"{device.processor}, {device.cores} cores{load}; "
            + ", ".join(f"{package} {version}" for package, version in versions.items()))


def measured(*command: str, codes: Sequence[int] = (0,)) -> tuple[float, float]:
    """Seconds of a Python command in a process of its own, and the GB of its largest resident memory.

    Args:
        codes: Exit codes that it may end with.
    """
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in codes:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


def draw_phantoms(folder: Path, films: int) -> Path:
    """Synthetic films of full size in the folders of the public archive; the archive's root."""
    from pneumo_tf.phantoms.write import write_phantoms

    return write_phantoms(folder, films=films, patients=films * 2 // 3, workers=os.cpu_count() or 1)


def prepared_films(folder: Path, films: int, side: int) -> Path:
    """So many different prepared films with their manifest: views of a few phantoms, made quickly."""
    import cv2
    import numpy as np

    from pneumo_tf.cohort import Cohort, Radiograph
    from pneumo_tf.phantoms.write import draw_phantom
    from pneumo_tf.training.views import FILMS, apply_view, sample_view, view_rng

    kinds = ("normal", "bacteria")
    drawn = [cv2.resize(draw_phantom(kinds[i % 2], patient_seed=i, film_seed=i).film, (side, side),
                        interpolation=cv2.INTER_AREA)[..., None] for i in range(8)]
    folder.mkdir(parents=True)
    rows = []
    for number in range(films):
        view = apply_view(np.asarray(drawn[number % len(drawn)]), sample_view(FILMS, view_rng(0, number, 0)))
        label = ("NORMAL", "PNEUMONIA")[number % 2]
        cv2.imwrite(str(folder / f"{label}-{number}.jpeg"), view, [cv2.IMWRITE_JPEG_QUALITY, 95])
        rows.append(Radiograph(id=f"{label}-{number}", label=label, file=f"{label}-{number}.jpeg",
                               patient=f"patient-{number}"))
    Cohort(tuple(rows)).write_csv(folder.with_suffix(".csv"))
    return folder
