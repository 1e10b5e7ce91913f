"""Every command on phantoms, killed with SIGKILL at random moments and started again, beside one left alone.

    python benchmarks/reliability/kills.py --kills 300

After each kill every file with a name of its own must be whole, and nothing may have changed that was
finished before. Started again (with --resume where a training left epochs), the command must end with
what the undisturbed one gave. Commands are forks of a process that has imported what takes long, so that
the moments fall into the work; it takes a system that can fork.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

SMALL = ("--backbone", "efficientnet_lite0", "--weights", "none", "--image-size", "32", "--threads", "1",
         "-p", "clasificacion", "-l", "labels/labels.csv", "-o", "model", "--no-publish")
RUN = "model/runs/first"
IN_A_ROW = 3  # kills before the command may finish
# What differs between two runs that give the same: moments, durations, what was typed.
_FREE = {"created", "command", "commands", "stages", "seconds", "ms", "moment", "since", "name", "pace",
         "minutes", "folder", "device", "films_per_second"}
_STAMPED = re.compile(r"\d{8}-\d{6}-[\w+-]+")


@dataclass(frozen=True)
class Scenario:
    """A command that is killed.

    Attributes:
        command: Name and options, typed in a folder with phantoms, prepared films, labels and a finished run.
        absent: What of that folder isn't there yet; what takes away films or labels needs no run.
        resumes: Whether a training that left epochs goes on with --resume.
    """

    command: tuple[str, ...]
    absent: tuple[str, ...] = ()
    resumes: bool = False


_PREPARE = ("prepare_pict", "--source", "films", "--target", "clasificacion", "--workers")
SCENARIOS = {
    "prepare": Scenario((*_PREPARE, "1"), ("clasificacion",)),
    "prepare, two processes": Scenario((*_PREPARE, "2"), ("clasificacion",)),
    "prepare into shards": Scenario((*_PREPARE, "2", "--shards", "10"), ("clasificacion",)),
    "labels": Scenario(("get_labels", "--path", "clasificacion", "--output", "labels/labels.csv"),
                       ("labels",)),
    "train fast": Scenario(("binary_class", "--recipe", "fast", "-e", "5", *SMALL)),
    "train full": Scenario(("binary_class", "--recipe", "full", "-e", "3", *SMALL), resumes=True),
    "train sturdy": Scenario(("binary_class", "--recipe", "sturdy", "-e", "2", *SMALL), resumes=True),
    "compare": Scenario(("compare_runs", "--recipe", "fast", "-e", "3", "--penalty", "0.1,1", *SMALL[:-3],
                         "-o", "model/comparisons/penalty")),
    "evaluate": Scenario(("evaluate_model", "--run", RUN)),
    "explain": Scenario(("explain_pict", "--run", RUN, "--worst", "2", "--methods", "gradcam")),
    "predict": Scenario(("predict_pict", "films", "--run", RUN, "-o", "answers.csv", "--engine", "keras")),
    "triage": Scenario(("triage_pict", "films", "--run", RUN, "-o", "worklist", "--engine", "keras")),
    "export": Scenario(("export_model", "--run", RUN, "--to", "onnx")),
    "cache": Scenario(("cache", "--cache", "model/cache", "--clear")),
}


@dataclass
class Tally:
    """What became of the kills of one scenario."""

    kills: int = 0
    rounds: int = 0
    faults: list[str] = field(default_factory=list)
    litter: int = 0  # bytes under temporary names, once the command has finished
    seconds: float = 0.0  # of the undisturbed command


def start(arguments: tuple[str, ...], folder: Path) -> int:
    """Begin a command in a fork of this process; its process id. What it says ends up in `said.txt`."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        log = os.open(folder.parent / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)
        from pneumo_tf.__main__ import main

        code = main(list(arguments))
    except BaseException:  # noqa: BLE001  (whatever it is, this process must end here)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(arguments: tuple[str, ...], folder: Path) -> int:
    """Run a command to its end; its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(start(arguments, folder), 0)[1])


def kill_at(arguments: tuple[str, ...], folder: Path, moment: float) -> bool:
    """Kill a command after so many seconds; False where it had finished by then."""
    child, end = start(arguments, folder), time.monotonic() + moment
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def going_on(scenario: Scenario, folder: Path) -> tuple[str, ...]:
    """The command as the person types it the next time."""
    kept = scenario.resumes and any(folder.glob("model/runs/.unfinished/*/checkpoint.npz"))
    return (*scenario.command, "--resume") if kept else scenario.command


def files(folder: Path) -> Iterator[Path]:
    """Every file that isn't under a temporary name."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def why_broken(path: Path) -> str:
    """What is wrong with a file, by its own format; "" where nothing is."""
    from PIL import Image

    try:
        match path.suffix:
            case ".json":
                json.loads(path.read_text(encoding="utf-8"))
            case ".csv":
                _whole_csv(path)
            case ".html":
                if not path.read_text(encoding="utf-8").rstrip().endswith("</html>"):
                    return "it is cut short"
            case ".keras" | ".npz":
                with zipfile.ZipFile(path) as archive:
                    return archive.testzip() or ""
            case ".h5":
                import h5py

                h5py.File(path).close()
            case ".png" | ".jpeg" | ".jpg":
                with Image.open(path) as image:
                    image.load()
    except (OSError, ValueError, zipfile.BadZipFile, SyntaxError, EOFError) as failure:
        return f"{type(failure).__name__}: {failure}"
    return ""


def _whole_csv(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    # The last row of a table that is written row by row may be cut short; the command takes it out.
    if rows and any(len(row) != len(rows[0]) for row in rows[:-1]):
        raise ValueError("rows of different lengths")


def meaning(folder: Path) -> dict[str, set[str]]:
    """What the files say, without what differs between two runs of one command: digests by path."""
    found: dict[str, set[str]] = {}
    for path in files(folder):
        name = _STAMPED.sub("RUN", path.relative_to(folder).as_posix())
        if path.suffix in (".html", ".log", ".lock") or name.startswith("model/cache") or "figures/" in name:
            continue  # pages are checked to be whole; caches are computed again
        found.setdefault(name, set()).add(hashlib.sha256(_content(path, folder)).hexdigest()[:16])
    return found


def _content(path: Path, folder: Path) -> bytes:
    if path.suffix == ".json":
        told = _without_the_free(json.loads(path.read_text(encoding="utf-8")))
        return _STAMPED.sub("RUN", json.dumps(told, sort_keys=True).replace(str(folder), "")).encode()
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows = [{key: value for key, value in row.items() if key not in _FREE}
                    for row in csv.DictReader(file)]
        return _STAMPED.sub("RUN", json.dumps(rows)).encode()
    if path.suffix == ".keras":  # beside the moment, a zip of the same members
        with zipfile.ZipFile(path) as archive:
            return archive.read("model.weights.h5")
    return b"" if path.suffix in (".h5", ".md") else path.read_bytes()


def _without_the_free(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_the_free(value) for key, value in content.items() if key not in _FREE}
    return [_without_the_free(part) for part in content] if isinstance(content, list) else content


def import_the_slow() -> None:
    """Import what takes long, but let nothing compute: TensorFlow's threads wouldn't live on in a fork."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    for name in ("keras", "pandas", "sklearn.linear_model", "scipy.stats", "matplotlib.figure",
                 "skimage.measure", "cv2", "h5py", "pooch", "joblib", "rich.progress"):
        import_module(name)


def make_ready(place: Path, *, with_run: bool) -> Path:
    """A folder with phantoms, prepared films and labels; a finished run and a cache where they are needed."""
    from pneumo_tf.phantoms.write import write_phantoms

    folder = place / "ready"
    folder.mkdir(parents=True)
    write_phantoms(folder / "films", films=48, patients=36, seed=7)
    for scenario in ("prepare", "labels", *(["train fast"] if with_run else [])):
        if finish(SCENARIOS[scenario].command, folder):
            raise SystemExit((place / "said.txt").read_text())
    for run in folder.glob("model/runs/2*"):
        run.rename(folder / RUN)
    return folder


def copy_of(ready: Path, place: Path, scenario: Scenario) -> Path:
    """The folder as the scenario's command finds it."""
    folder = place / "work"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ready, folder)
    for name in scenario.absent:
        shutil.rmtree(folder / name)
    return folder


def torment(scenario: Scenario, ready: Path, place: Path, *, kills: int, chance: random.Random) -> Tally:
    """Kill one command so many times."""
    tally, folder = Tally(), copy_of(ready, place, scenario)
    before = meaning(folder)
    began = time.monotonic()
    if code := finish(scenario.command, folder):
        raise SystemExit(f"{' '.join(scenario.command)} left with {code}:\n"
                         + (place / "said.txt").read_text())
    tally.seconds, wanted = time.monotonic() - began, meaning(folder)
    stays = {name: digests for name, digests in before.items() if wanted.get(name) == digests}
    while tally.kills < kills:
        folder = copy_of(ready, place, scenario)
        for _ in range(min(IN_A_ROW, kills - tally.kills)):
            moment = chance.uniform(0, tally.seconds)
            if not kill_at(going_on(scenario, folder), folder, moment):
                break
            tally.kills += 1
            tally.faults += [f"{path.relative_to(folder)} is broken: {why}" for path in files(folder)
                             if (why := why_broken(path))]
            now = meaning(folder)
            tally.faults += [f"{name} is lost" for name in stays if now.get(name) != stays[name]
                             and "--clear" not in scenario.command]
        tally.rounds += 1
        if code := finish(going_on(scenario, folder), folder):
            tally.faults.append(f"started again it left with {code}")
        now = meaning(folder)
        tally.faults += [f"{name} differs from the undisturbed run's"
                         for name in sorted(set(now) | set(wanted)) if now.get(name) != wanted.get(name)]
        tally.litter = max(tally.litter, sum(path.stat().st_size for path in folder.rglob(".*")
                                             if path.is_file()))
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300, help="of all scenarios together (default: 300)")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--place", type=Path, help="a folder to work in (default: a temporary one)")
    typed = parser.parse_args()
    with_run = not all(SCENARIOS[name].absent for name in typed.only)
    if with_run:
        import_the_slow()
    place = (typed.place or Path(tempfile.mkdtemp(prefix="kills-"))).resolve()
    chance, ready = random.Random(typed.seed), make_ready(place, with_run=with_run)
    print("| command | undisturbed | kills | started again | broken, lost or different | left-over bytes |\n"
          "|---|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for number, name in enumerate(typed.only):
        kills = typed.kills * (number + 1) // len(typed.only) - typed.kills * number // len(typed.only)
        tally = torment(SCENARIOS[name], ready, place, kills=kills, chance=chance)
        print(f"| {name} | {tally.seconds:.1f} s | {tally.kills} | {tally.rounds} | {len(tally.faults)} | "
              f"{tally.litter:,} |", flush=True)
        for fault, times in Counter(tally.faults).most_common():
            print(f"    {times} × {fault}", file=sys.stderr, flush=True)
        total.update(kills=tally.kills, faults=len(tally.faults))
    print(f"\n{total['kills']} kills, {total['faults']} faults.")
    shutil.rmtree(place)
    return int(bool(total["faults"]))


if __name__ == "__main__":
    raise SystemExit(main())
