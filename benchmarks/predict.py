"""predict_pict.py against model.predict of Keras: films a second, the first answer, memory, kills.

    python benchmarks/predict.py --backbone efficientnet_lite0 inception_v3
    python benchmarks/predict.py --run model/runs/<name> --films clasificacion

Without a run of one's own, `fast` is trained on a few phantoms from random weights, which take as long as
others. "Network alone" has the pixels in memory; "whole" is a process from its start to the last score: for
Keras a script that loads the network, reads each film with `load_img` and predicts, in batches of 32.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from results import ROOT, Result, in_turns, measured, parser, prepared_films, scratch, show

PREDICT = str(ROOT / "scripts/predict_pict.py")
ENGINES = ("openvino", "onnx")
ANSWERED = (0, 1)  # 1 where films were refused
WANTED = {"efficientnet_lite0": "3×", "inception_v3": "2×"}
KERAS = """
import sys
from pathlib import Path
import keras
import numpy as np
model = keras.models.load_model(sys.argv[1], compile=False)
side = model.input_shape[1]
load = lambda file: keras.utils.img_to_array(
    keras.utils.load_img(file, target_size=(side, side), interpolation="bilinear"), dtype="uint8")
films = np.stack([load(file) for file in sorted(Path(sys.argv[2]).glob("*.jpeg"))])
np.save(sys.argv[3], model.predict(films, batch_size=32, verbose=0))
"""


def make_run(films: Path, folder: Path, backbone: str) -> Path:
    """A run of `fast` on the first films of a folder."""
    few = folder / "few"
    few.mkdir(parents=True)
    with films.with_suffix(".csv").open(encoding="utf-8") as table:
        rows = list(csv.reader(table))[:61]
    for row in rows[1:]:
        shutil.copy(films / f"{row[0]}.jpeg", few)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as table:
        csv.writer(table).writerows(rows)
    subprocess.run([sys.executable, str(ROOT / "scripts/binary_class.py"), "-p", str(few), "-l",
                    str(folder / "labels.csv"), "-o", str(folder / "model"), "-e", "2", "--recipe", "fast",
                    "--backbone", backbone, "--weights", "none"], check=True, stdout=subprocess.DEVNULL)
    return next((folder / "model/runs").glob("[!.]*"))


def linked(films: Path, folder: Path, count: int) -> Path:
    """So many films in a folder of their own; each again under another name where there are fewer."""
    found = sorted(films.glob("*.jpeg"))
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06}.jpeg").symlink_to(found[number % len(found)].resolve())
    return folder


def command(run: Path, films: Path, output: Path, engine: str, *more: str) -> list[str]:
    return [PREDICT, str(films), "--run", str(run), "-o", str(output), "--engine", engine, *more]


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def alone(run: Path, films: Path, rounds: int, name: str) -> list[Result]:
    """The network alone, everything compiled before."""
    from pneumo_tf.runs.folder import read_run
    from pneumo_tf.runs.predictor import BATCH, load_network, predictor_of

    record = read_run(run)
    predictors = {engine: predictor_of(record, engine=engine) for engine in ENGINES}
    model, read = load_network(record), predictors[ENGINES[0]].read
    pixels = np.stack([read(file) for file in sorted(films.glob("*.jpeg"))])
    works = [partial(model.predict, pixels, batch_size=BATCH, verbose=0),
             *(partial(predictor.engine, pixels) for predictor in predictors.values())]
    expected, *found = (np.asarray(work())[:, : len(record.classes)] for work in works)
    decide = predictors[ENGINES[0]].decide
    baseline, *ours = (len(pixels) / seconds for seconds in in_turns(works, rounds))
    return [Result(f"{name}: network alone, {engine}", f"model.predict {baseline:.0f} films/s",
                   f"{speed:.0f} films/s; {(decide(scores) != decide(expected)).sum()} calls differ, scores "
                   f"by {np.abs(scores - expected).max():.0e} at most", f"{speed / baseline:.2f}×",
                   WANTED.get(name, "–"))
            for engine, speed, scores in zip(ENGINES, ours, found, strict=True)]


def whole(run: Path, films: Path, folder: Path, name: str) -> list[Result]:
    """Processes from start to end, and the first answer of one film."""
    seconds, memory = measured("-c", KERAS, str(run / "modelo.keras"), str(films), str(folder / "keras.npy"))
    count, rows = len(np.load(folder / "keras.npy")), []
    one = linked(films, folder / "one", 1) / "000000.jpeg"
    for engine in ENGINES:
        measured(PREDICT, str(one), "--run", str(run), "--engine", engine)  # which keeps the graph
        took, peak = measured(*command(run, films, folder / f"{engine}.csv", engine), codes=ANSWERED)
        rows.append(Result(f"{name}: {count:,} films whole, {engine}",
                           f"script {seconds:.1f} s, {memory:.2f} GB", f"{took:.1f} s, {peak:.2f} GB",
                           f"{seconds / took:.2f}×", WANTED.get(name, "–")))
    for engine, limit in (("keras", "≤ 6 s"), *((engine, "≤ 2.5 s") for engine in ENGINES)):
        took, _ = measured(PREDICT, str(one), "--run", str(run), "--engine", engine)
        rows.append(Result(f"{name}: first answer, {engine}", "–", f"{took:.1f} s", "–", limit))
    return rows


def growth(run: Path, films: Path, folder: Path, counts: list[int]) -> Result:
    """Peak memory with few and with many films."""
    few, many = sorted(counts)
    peaks = [measured(*command(run, linked(films, folder / str(count), count), folder / f"{count}.csv",
                               ENGINES[0]), codes=ANSWERED)[1] for count in (few, many)]
    return Result(f"growth from {few:,} to {many:,} films", f"{peaks[0]:.3f} GB", f"{peaks[1]:.3f} GB",
                  f"{100 * (peaks[1] / peaks[0] - 1):+.1f} %", "≤ 5 %")


def killed(run: Path, films: Path, folder: Path, kills: int) -> Result:
    """A command that is killed at random moments and started again, against one that isn't."""
    chance = random.Random(0)
    begun = time.perf_counter()
    measured(*command(run, films, folder / "whole.csv", ENGINES[0]), codes=ANSWERED)
    longest = time.perf_counter() - begun
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, *command(run, films, folder / "killed.csv", ENGINES[0])],
                                   stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0, longest))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    measured(*command(run, films, folder / "killed.csv", ENGINES[0]), codes=ANSWERED)
    tables = [[{**row, "ms": ""} for row in rows_of(folder / f"{name}.csv")] for name in ("whole", "killed")]
    return Result(f"killed {kills} times, {len(tables[0]):,} films", "table of one go",
                  "the same" if tables[0] == tables[1] else "ANOTHER TABLE", "–", "the same")


def main() -> None:
    options = parser(__doc__, films="folder of the run's prepared films (default: phantoms)")
    options.add_argument("--run", type=Path, help="finished run (default: one is made for each backbone)")
    options.add_argument("--backbone", nargs="+", default=["efficientnet_lite0"])
    options.add_argument("--count", type=int, default=1000, help="films")
    options.add_argument("--growth", type=int, nargs=2, default=[1000, 20_000], help="films, few and many")
    options.add_argument("--kills", type=int, default=10)
    options.add_argument("--rounds", type=int, default=3)
    typed = options.parse_args()
    rows, runs = [], {}
    with scratch() as folder:
        source = typed.films or prepared_films(folder / "films", typed.count, 299)
        films = linked(source, folder / "linked", typed.count)
        for name in ["run"] if typed.run else typed.backbone:
            place = folder / name
            place.mkdir()
            runs[name] = run = typed.run or make_run(source, place / "made", name)
            rows += whole(run, films, place, name)
        rows += [growth(run, source, place, typed.growth), killed(run, films, place, typed.kills)]
        # Last, since a process counts the memory of the one that started it, too, and this one grows now.
        for name, run in runs.items():
            rows += alone(run, films, typed.rounds, name)
    show(rows, how=f"The fastest of {typed.rounds} turns each for the network alone; processes once, graphs "
                   "kept before.")


if __name__ == "__main__":
    main()
