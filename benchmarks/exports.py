"""Exports of a run beside Keras: largest difference, changed calls, size, films a second.

    python benchmarks/exports.py --run model/runs/NAME [--run model/runs/OTHER]

Without a run a small one is trained on phantoms. Each format is written and compared as export_model.py does
it; then all take turns on the same films, one at a time, so that a busy moment hits all alike. Threads that
wait for each other suffer most from a busy machine: there give them --threads 1, and Keras
TF_NUM_INTRAOP_THREADS=1.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from results import command, describe_machine, draw_phantoms, in_turns, scratch

from pneumo_tf.data.images import in_mode, read_film_file
from pneumo_tf.data.labels import read_folder
from pneumo_tf.data.preparation.prepare import prepare
from pneumo_tf.models.formats import FORMATS, Network, open_network
from pneumo_tf.runs.folder import read_run
from pneumo_tf.runs.predictor import load_network
from pneumo_tf.studies.exports import Exporting, Parity, export_run
from pneumo_tf.studies.train import StudyOptions, run_study
from pneumo_tf.training.machine import available_cores
from pneumo_tf.training.pixels import load_film

_HEAD = ("| run | format | MB | films/s | against Keras | largest difference | calls changed | at risk |\n"
         "|---|---|---:|---:|---:|---:|---:|---:|")
_TIMED = 32  # films of a turn


def trained(place: Path) -> Path:
    """A `fast` run on phantoms."""
    films, labels = place / "clasificacion", place / "labels.csv"
    prepare(draw_phantoms(place / "phantoms", 240), films, tell=lambda _: None)
    read_folder(films).write_csv(labels)
    return run_study(StudyOptions(films=films, labels=labels, output=place / "model", recipe="fast",
                                  backbone="efficientnet_lite0", epochs=60, synthetic=True))


def one_by_one(network: Network, films: list[np.ndarray]) -> None:
    for film in films:
        network(film[None])


def measure(folder: Path, output: Path, typed: argparse.Namespace) -> list[str]:
    """Rows of the table, Keras first."""
    run = read_run(folder)
    rows = export_run(folder, Exporting(formats=list(FORMATS), output=output, films=typed.films, force=True,
                                        threads=typed.threads))
    model = load_network(run)
    paths = [path for path in (run.film_path(film.file) for film in run.cohort) if path][:_TIMED]
    whole = [np.asarray(in_mode(read_film_file(path), "RGB")) for path in paths]
    resized = [load_film(path, model.input_shape[1]) for path in paths]
    works = [partial(one_by_one, model.predict_on_batch, resized)]
    for name, form in FORMATS.items():
        network = open_network(output / name / form.file, name, threads=typed.threads)
        works.append(partial(one_by_one, network, whole if form.any_size else resized))
    speeds = [len(paths) / seconds for seconds in in_turns(works, typed.rounds)]
    return [row_of(f"{run.facts['recipe']} {run.facts['backbone']}", row, speed, speed / speeds[0])
            for row, speed in zip(rows, speeds, strict=True)]


def row_of(name: str, row: Parity, speed: float, ratio: float) -> str:
    compared = f"{row.difference:.1e} | {row.changed} of {row.films} | {row.near} of {row.of}" if row.films \
        else "– | – | –"
    return f"| {name} | {row.format} | {row.size / 1e6:.1f} | {speed:.0f} | {ratio:.2f}× | {compared} |"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--run", type=Path, action="append", help="folder of a finished run")
    options.add_argument("--films", type=int, default=256, help="that are compared")
    options.add_argument("--rounds", type=int, default=4, help="turns of each")
    options.add_argument("--threads", type=int, default=available_cores())
    typed = options.parse_args()
    with scratch() as place:
        rows = [row for number, run in enumerate(typed.run or [trained(place)])
                for row in measure(run, place / f"exports-{number}", typed)]
    print(f"{describe_machine()}\n$ {command()}\n\n{_HEAD}")
    print("\n".join(rows), flush=True)


if __name__ == "__main__":
    main()
