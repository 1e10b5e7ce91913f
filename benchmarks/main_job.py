"""The main job, measured: the three commands on an archive of films, their time, memory and figures.

    python benchmarks/main_job.py --films chest_xray.zip --weights inception_v3_notop.h5
    python benchmarks/main_job.py --films chest_xray.zip --backbone efficientnet_lite0 --engine openvino \
        --count 3000 --baseline inception_v3 efficientnet_lite0

With --baseline the tutorial's own training (`--recipe reference`) is timed beside it in the same run, with
the tutorial's InceptionV3 or with other networks: two epochs on a few films, from whose second its 60 epochs
on the same training films follow. Without --films phantoms are drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TUTORIAL_EPOCHS = 60
BASELINE_FILMS = 150  # of each class: enough that a last, smaller batch hardly counts


@dataclass(frozen=True)
class Measured:
    """Wall time and largest memory of one command."""

    seconds: float
    gigabytes: float


def measure(script: str, *arguments: str) -> Measured:
    """Run a command of ours in a process of its own."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, str(ROOT / "scripts" / script), *arguments],
                               stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{script} failed")
    return Measured(time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9)


def last_run(model: Path) -> Path:
    return max((model / "runs").iterdir(), key=lambda run: run.stat().st_mtime)


def train(folder: Path, *options: str) -> tuple[Measured, Path]:
    took = measure("binary_class.py", "-p", str(folder / "clasificacion"), "-l", str(folder / "labels.csv"),
                   "-o", str(folder / "model"), *options)
    return took, last_run(folder / "model")


def prepare(films: Path, folder: Path, *options: str) -> list[tuple[str, Measured]]:
    target = str(folder / "clasificacion")
    return [("prepare_pict.py", measure("prepare_pict.py", "--source", str(films), "--target", target,
                                        *options)),
            ("get_labels.py", measure("get_labels.py", "-p", target, "-o", str(folder / "labels.csv")))]


def thin_out(folder: Path, count: int) -> None:
    """Keep so many prepared films, evenly over the table, so that the classes stay as frequent."""
    head, *rows = (folder / "labels.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [rows[index * len(rows) // count] for index in range(min(count, len(rows)))]
    (folder / "labels.csv").write_text("".join([head, *kept]), encoding="utf-8")
    for row in set(rows).difference(kept):
        name = row.partition(",")[0]
        (folder / "clasificacion" / f"{name}.jpeg").unlink()


def reference_seconds(films: Path, folder: Path, train_films: int, network: str) -> float:
    """What the tutorial's 60 epochs on so many training films would take here."""
    prepare(films, folder, "--per-class", str(BASELINE_FILMS))
    _, run = train(folder, "-e", "2", "--recipe", "reference", "--backbone", network, "--weights", "none")
    rows = (run / "history.csv").read_text().splitlines()
    seconds = float(rows[2].split(",")[rows[0].split(",").index("seconds")])  # the first epoch compiles
    seen = sum(row["split"] == "train" for row in read_predictions(run))
    return seconds / seen * train_films * TUTORIAL_EPOCHS


def read_predictions(run: Path) -> list[dict[str, str]]:
    header, *rows = (run / "predictions.csv").read_text().splitlines()
    return [dict(zip(header.split(","), row.split(","), strict=True)) for row in rows]


def phantoms(folder: Path) -> Path:
    sys.path.insert(0, str(ROOT))
    from pneumo_tf.phantoms.write import write_phantoms

    return write_phantoms(folder / "phantoms", workers=os.cpu_count() or 1)


def compare(films: Path, folder: Path, run: Path, seconds: float, networks: list[str]) -> None:
    """The tutorial's training with each network beside a run of ours that took so many seconds."""
    train_films = sum(row["split"] == "train" for row in read_predictions(run))
    for network in networks:
        baseline = reference_seconds(films, folder / network, train_films, network)
        print(f"reference, {network}, x {TUTORIAL_EPOCHS} epochs on these {train_films} training films: "
              f"{baseline:.0f} s; ratio {baseline / seconds:.0f}x")


def show(steps: list[tuple[str, Measured]], run: Path) -> None:
    for name, took in steps:
        print(f"{name:<18}{took.seconds:8.1f} s{took.gigabytes:8.2f} GB")
    print(f"{'together':<18}{sum(took.seconds for _, took in steps):8.1f} s"
          f"{max(took.gigabytes for _, took in steps):8.2f} GB at most")
    test = json.loads((run / "metrics.json").read_text())["test"]
    print(f"test: {test['films']} films of {test['patients']} patients")
    for name in ("accuracy", "auc", "sensitivity", "specificity"):
        figure = test["figures"][name]
        print(f"  {name:<16}{figure['value']:.4f}  ({figure['low']:.3f} - {figure['high']:.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, help="folder or archive of films")
    parser.add_argument("--backbone", default="inception_v3")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--epochs", default="60")
    parser.add_argument("--engine", default="keras")
    parser.add_argument("--count", type=int, help="films to train and test with (default: all)")
    parser.add_argument("--baseline", nargs="*", metavar="BACKBONE", default=[],
                        help="time the reference recipe beside it, with these networks")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
          f"Python {platform.python_version()}\n$ python benchmarks/main_job.py {' '.join(sys.argv[1:])}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        films = options.films or phantoms(folder)
        steps = prepare(films, folder)
        if options.count:
            thin_out(folder, options.count)
        took, run = train(folder, "-e", options.epochs, "--backbone", options.backbone, "--weights",
                          options.weights, "--engine", options.engine)
        show([*steps, ("binary_class.py", took)], run)
        compare(films, folder, run, took.seconds, options.baseline)


if __name__ == "__main__":
    main()
