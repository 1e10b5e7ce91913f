"""What each recipe gives on real films over several seeds: on grouped test films, and under stress.

    python benchmarks/recipes.py --films clasificacion/ --labels labels/labels.csv --output model/recipes \\
        --vgg16 vgg16_block1.h5 --inception inception_v3_notop.h5 [--seeds 3] [--only top,fast]

Each row is a command of binary_class.py, run once per seed in a folder of its own; finished runs are read,
never repeated. The seed also makes the split, so a range holds the chance of both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from results import ROOT

LITE = "--backbone efficientnet_lite0"
ROWS = {
    "fast": f"--recipe fast {LITE}",
    "sturdy": f"--recipe sturdy {LITE} -e 10",
    "ensemble": "--recipe ensemble --backbone inception_v3+efficientnet_lite0 --weights {inception}+imagenet",
    "top": f"--recipe top {LITE} -e 10",
    "fine-tune": f"--recipe fine-tune {LITE} --image-size 128 -e 6",
    "full": f"--recipe full {LITE} --image-size 128 -e 6",
    "last-layer": f"--recipe last-layer {LITE} --image-size 128 -e 60",
    "reference": f"--recipe reference {LITE} --image-size 128 -e 6",
    "scratch-dwsep": "--recipe scratch-dwsep --weights {vgg16} -e 2",
    "scratch-dwsep-small": "--recipe scratch-dwsep --weights {vgg16} --image-size 112 -e 2",
}
FIGURES = ("accuracy", "f1", "auc", "sensitivity", "specificity")
STRESSED = {"mean balanced accuracy": ("mean", "balanced_accuracy"),
            "mean sensitivity": ("mean", "sensitivity"),
            "mean specificity": ("mean", "specificity"), "all at once": ("together", "balanced_accuracy"),
            "worst": ("worst", "balanced_accuracy")}


def main() -> None:
    """Train what is missing and print the tables: test films, then perturbed validation films."""
    typed = _parser().parse_args()
    found = {}
    print("| recipe | " + " | ".join(FIGURES) + " | seeds | minutes | command |")
    print("|---" * (len(FIGURES) + 4) + "|")
    for name in typed.only.split(",") if typed.only else ROWS:
        command = ROWS[name].format(vgg16=typed.vgg16, inception=typed.inception)
        runs = [run for seed in range(1, typed.seeds + 1) if (run := _run(typed, name, command, seed))]
        if runs:
            found[name] = runs
            print(_row(name, runs), flush=True)
    print("\n| recipe | clean | " + " | ".join(STRESSED) + " | seeds |")
    print("|---" * (len(STRESSED) + 3) + "|")
    for name, runs in found.items():
        print(_stressed_row(name, runs))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", required=True)
    parser.add_argument("--labels", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--vgg16", default="imagenet", help="weights of VGG16's first block")
    parser.add_argument("--inception", default="imagenet", help="weights of InceptionV3")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows, separated by commas")
    parser.add_argument("--stressed", action="store_true",
                        help="fix every threshold on clean and perturbed validation films, as sturdy does")
    parser.add_argument("--read", action="store_true", help="read finished runs only")
    return parser


def _run(typed: argparse.Namespace, name: str, command: str, seed: int) -> Path | None:
    """The folder of a finished run."""
    output = typed.output / f"{name}-{seed}{'-stressed' * typed.stressed}"
    rule = ("--operating-point", "stressed") if typed.stressed else ()
    finished = sorted(output.glob("runs/[!.]*/metrics.json"))
    if not finished and not typed.read:
        places = ("-p", typed.films, "-l", typed.labels, "-o", output, "--cache", typed.output / "cache")
        subprocess.run([sys.executable, ROOT / "scripts/binary_class.py", *command.split(), *rule, *places,
                        "--seed", str(seed)], check=True, stdout=subprocess.DEVNULL)
        finished = sorted(output.glob("runs/[!.]*/metrics.json"))
    return finished[-1].parent if finished else None


def _row(name: str, runs: list[Path]) -> str:
    tests = [json.loads((run / "metrics.json").read_text())["test"]["figures"] for run in runs]
    facts = [json.loads((run / "run.json").read_text()) for run in runs]
    minutes = [sum(stage["seconds"] for stage in fact["stages"]) / 60 for fact in facts]
    values = [[test[figure]["value"] for test in tests] for figure in FIGURES]
    return (f"| `{name}` | " + " | ".join(map(_cell, values))
            + f" | {len(runs)} | {np.mean(minutes):.1f} | `{ROWS[name].format(vgg16='…', inception='…')}` |")


def _stressed_row(name: str, runs: list[Path]) -> str:
    stress = [json.loads((run / "metrics.json").read_text())["stress"] for run in runs]
    columns = [("clean", "balanced_accuracy"), *STRESSED.values()]
    return f"| `{name}` | " + " | ".join(_cell([found[part][figure]["value"] for found in stress])
                                         for part, figure in columns) + f" | {len(runs)} |"


def _cell(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})"


if __name__ == "__main__":
    main()
