"""The main job, measured: the three commands on an archive of films, their time, memory and figures.

    python benchmarks/main_job.py --films chest_xray.zip --weights inception_v3_notop.h5
    python benchmarks/main_job.py --films chest_xray.zip --backbone efficientnet_lite0 --engine openvino \
        --count 3000 --baseline inception_v3 efficientnet_lite0

With --baseline the tutorial's own training (`--recipe reference`) is timed beside it in the same run, with
the tutorial's InceptionV3 or with other networks: two epochs on a few films, from whose second its 60 epochs
on the same training films follow. Without --films phantoms are drawn.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
from results import ROOT, command, describe_machine, measured, parser, scratch

TUTORIAL_EPOCHS = 60
BASELINE_FILMS = 150  # of each class: enough that a last, smaller batch hardly counts
Measured = tuple[float, float]  # seconds, GB


def last_run(model: Path) -> Path:
    return max((model / "runs").iterdir(), key=lambda run: run.stat().st_mtime)


def train(folder: Path, *options: str) -> tuple[Measured, Path]:
    took = measured(str(ROOT / "scripts/binary_class.py"), "-p", str(folder / "clasificacion"),
                    "-l", str(folder / "labels.csv"), "-o", str(folder / "model"), *options)
    return took, last_run(folder / "model")


def prepare(films: Path, folder: Path, *options: str) -> list[tuple[str, Measured]]:
    target = str(folder / "clasificacion")
    return [("prepare_pict.py", measured(str(ROOT / "scripts/prepare_pict.py"), "--source", str(films),
                                         "--target", target, *options)),
            ("get_labels.py", measured(str(ROOT / "scripts/get_labels.py"), "-p", target,
                                       "-o", str(folder / "labels.csv")))]


def thin_out(folder: Path, count: int) -> None:
    """Keep so many prepared films, evenly over the table, so that the classes stay as frequent."""
    table = pd.read_csv(folder / "labels.csv", dtype=str, keep_default_na=False)
    kept = [index * len(table) // count for index in range(min(count, len(table)))]
    table.iloc[kept].to_csv(folder / "labels.csv", index=False)
    for name in table.drop(table.index[kept])["id"]:
        (folder / "clasificacion" / f"{name}.jpeg").unlink()


def reference_seconds(films: Path, folder: Path, train_films: int, network: str) -> float:
    """What the tutorial's 60 epochs on so many training films would take here."""
    prepare(films, folder, "--per-class", str(BASELINE_FILMS))
    _, run = train(folder, "-e", "2", "--recipe", "reference", "--backbone", network, "--weights", "none")
    seconds = pd.read_csv(run / "history.csv")["seconds"][1]  # the first epoch compiles
    return float(seconds) / films_trained_on(run) * train_films * TUTORIAL_EPOCHS


def films_trained_on(run: Path) -> int:
    return int((pd.read_csv(run / "predictions.csv")["split"] == "train").sum())


def phantoms(folder: Path) -> Path:
    from pneumo_tf.phantoms.write import write_phantoms

    return write_phantoms(folder / "phantoms", workers=os.cpu_count() or 1)


def compare(films: Path, folder: Path, run: Path, seconds: float, networks: list[str]) -> None:
    """The tutorial's training with each network beside a run of ours that took so many seconds."""
    train_films = films_trained_on(run)
    for network in networks:
        baseline = reference_seconds(films, folder / network, train_films, network)
        print(f"reference, {network}, x {TUTORIAL_EPOCHS} epochs on these {train_films} training films: "
              f"{baseline:.0f} s; ratio {baseline / seconds:.0f}x")


def show(steps: list[tuple[str, Measured]], run: Path) -> None:
    together = sum(seconds for _, (seconds, _) in steps), max(size for _, (_, size) in steps)
    for name, (seconds, gigabytes) in [*steps, ("together", together)]:
        print(f"{name:<18}{seconds:8.1f} s{gigabytes:8.2f} GB")
    test = json.loads((run / "metrics.json").read_text())["test"]
    print(f"test: {test['films']} films of {test['patients']} patients")
    for name in ("accuracy", "auc", "sensitivity", "specificity"):
        figure = test["figures"][name]
        print(f"  {name:<16}{figure['value']:.4f}  ({figure['low']:.3f} - {figure['high']:.3f})")


def main() -> None:
    options = parser(__doc__, films="folder or archive of films (default: phantoms)")
    options.add_argument("--backbone", default="inception_v3")
    options.add_argument("--weights", default="imagenet")
    options.add_argument("--epochs", default="60")
    options.add_argument("--engine", default="auto")
    options.add_argument("--recipe", default="fast", help="fast answers in a minute")
    options.add_argument("--count", type=int, help="films to train and test with (default: all)")
    options.add_argument("--baseline", nargs="*", metavar="BACKBONE", default=[],
                         help="time the reference recipe beside it, with these networks")
    typed = options.parse_args()
    with scratch() as folder:
        films = typed.films or phantoms(folder)
        steps = prepare(films, folder)
        if typed.count:
            thin_out(folder, typed.count)
        took, run = train(folder, "-e", typed.epochs, "--recipe", typed.recipe, "--backbone", typed.backbone,
                          "--weights", typed.weights, "--engine", typed.engine)
        print(f"{describe_machine()}\n$ {command()}")
        show([*steps, ("binary_class.py", took)], run)
        compare(films, folder, run, took[0], typed.baseline)


if __name__ == "__main__":
    main()
