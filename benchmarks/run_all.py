"""Every benchmark that takes less than ten minutes, one after the other, into results.md.

    python benchmarks/run_all.py
    python benchmarks/run_all.py --only cache trunk

With films of one's own (`--prepared`, `--labels`, `--originals`) the figures are of those; else of phantoms.
Nothing else should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from results import ROOT, describe_machine

LIMIT = 600  # seconds
HERE = Path(__file__).resolve().parent
PLOT = HERE / "loaders.png"
Options = argparse.Namespace


def _given(option: str, value: Path | None) -> list[str]:
    return [] if value is None else [option, str(value)]


def _weights(typed: Options) -> list[str]:
    return [] if typed.inception is None else ["--weights", f"inception_v3={typed.inception}"]


# Title, script and its options, by name.
BENCHMARKS: dict[str, tuple[str, str, Callable[[Options], list[str]]]] = {
    "prepare": ("Preparing films", "prepare.py", lambda typed: _given("--films", typed.full_size)),
    "cache": ("Pixel cache", "cache.py", lambda typed: _given("--films", typed.prepared)),
    "augment": ("Augmentation", "augment.py", lambda typed: []),
    "loaders": ("The assignment's loader", "loaders.py",
                lambda typed: ["--plot", str(PLOT.relative_to(ROOT)), *_given("--films", typed.unpacked)]),
    "trunk": ("Trunk", "trunk.py", _weights),
    "data_wait": ("Waiting for data", "data_wait.py",
                  lambda typed: [*_given("--films", typed.prepared), *_given("--labels", typed.labels)]),
    "memory": ("Memory", "memory.py",
               lambda typed: [*_given("--films", typed.prepared), *_given("--labels", typed.labels)]),
    "predict": ("Reading new films", "predict.py", lambda typed: []),
    "main_job": ("The main job with EfficientNet-Lite0", "main_job.py",
                 lambda typed: ["--backbone", "efficientnet_lite0", "--engine", "openvino", "--count", "3000",
                                "--baseline", "inception_v3", "efficientnet_lite0",
                                *_given("--films", typed.originals)]),
}


def run(script: str, options: list[str]) -> tuple[str, float]:
    """What a benchmark printed, or why there is nothing, and how long it took."""
    start = time.perf_counter()
    command = [sys.executable, str(HERE / script), *options]
    try:
        said = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"Not measured: it took more than {LIMIT // 60} minutes here.", LIMIT
    except subprocess.CalledProcessError as failure:
        return f"Not measured: it failed with exit code {failure.returncode}.", time.perf_counter() - start
    return said.stdout.strip(), time.perf_counter() - start


def section(name: str, typed: Options) -> str:
    title, script, options = BENCHMARKS[name]
    print(f"{title} ...", file=sys.stderr, flush=True)
    output, seconds = run(script, options(typed))
    head, mark, table = output.partition("\n|")  # how it was run, in its own lines; then tables
    lines = "  \n".join(head.strip().splitlines())
    picture = f"\n\n![Loaders]({PLOT.name})" if name == "loaders" and PLOT.exists() else ""
    return f"## {title}\n{lines}  \n{seconds:.0f} s in all.\n{mark}{table}{picture}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument("--originals", type=Path, help="films as found, a folder or .zip")
    parser.add_argument("--full-size", type=Path, help="films in their full size, a folder or .zip")
    parser.add_argument("--unpacked", type=Path, help="films as found, a folder")
    parser.add_argument("--prepared", type=Path, help="folder of prepared films")
    parser.add_argument("--labels", type=Path, help="their table of labels")
    parser.add_argument("--inception", type=Path, help="ImageNet weights of InceptionV3")
    parser.add_argument("--output", type=Path, default=HERE / "results.md")
    typed = parser.parse_args()
    head = (f"# Results\nMeasured on {datetime.now():%Y-%m-%d} by `python benchmarks/run_all.py`.  \n"
            f"{describe_machine()}\n")
    sections = [section(name, typed) for name in typed.only]
    typed.output.write_text("\n".join([head, *sections]), encoding="utf-8")
    print(f"Written to {typed.output}")


if __name__ == "__main__":
    main()
