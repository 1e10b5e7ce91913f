"""Every command on phantoms, killed with SIGKILL at random moments and started again, beside one left alone.

    python benchmarks/reliability/kills.py --kills 300
    python benchmarks/reliability/kills.py --steps

With --steps the moments are not random: each is right before a change of the disk (a file that is opened to
be written, renamed, removed, a folder that is made), the first and the last of each place in the program.
After each kill every file with a name of its own must be whole, and nothing may have changed that was
finished before. Started again (with --resume where a training left epochs), the command must end with
what the undisturbed one gave. Counts are kept in results/kills.json after every round; the same call goes on
with the kills that are missing. Commands are forks of a process that has imported what takes long, so that
the moments fall into the work; it takes a system that can fork.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from pneumo_tf.storage import read_json, write_json  # noqa: E402

RESULTS = HERE / "results/kills.json"

SMALL = ("--backbone", "efficientnet_lite0", "--weights", "none", "--image-size", "32", "--threads", "1",
         "-p", "clasificacion", "-l", "labels/labels.csv", "-o", "model", "--no-publish")
RUN = "model/runs/first"
IN_A_ROW = 10  # kills before the command may finish
# What differs between two runs that give the same: moments, durations, what was typed.
_FREE = {"created", "command", "commands", "stages", "seconds", "ms", "moment", "since", "name", "pace",
         "minutes", "folder", "device", "films_per_second", "resume"}
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
_STAMPED = re.compile(r"\d{8}-\d{6}-[\w+-]+")


@dataclass(frozen=True)
class Scenario:
    """A command that is killed.

    Attributes:
        command: Name and options, typed in a folder with phantoms, prepared films, labels, films from
            elsewhere and a finished run; URL and SHA256 are those of an archive on this machine.
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
    "adapt": Scenario(("adapt_pict", "--run", RUN, "-p", "place", "-l", "place.csv", "--name", "place",
                       "--engine", "keras", "--threads", "1")),
    "get data": Scenario(("get_data", "URL", "--sha256", "SHA256", "-o", "fetched", "--workers", "1")),
    "cache": Scenario(("cache", "--cache", "model/cache", "--clear")),
}


@dataclass
class Tally:
    """What became of the kills of one scenario."""

    kills: int = 0
    rounds: int = 0
    steps: int = 0  # changes of the disk before which it was killed
    faults: Counter[str] = field(default_factory=Counter)
    litter: int = 0  # most bytes under temporary names, once the command has finished
    seconds: float = 0.0  # of the undisturbed command
    measured: str = ""


Hook = Callable[[str, tuple[Any, ...]], None]  # as sys.addaudithook takes


def start(arguments: tuple[str, ...], folder: Path, hook: Hook | None = None) -> int:
    """Begin a command in a fork of this process; its process id. What it says ends up in `said.txt`."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setpgrp()  # Ctrl-C reaches this process alone; of a new session it would lose its low priority
        os.chdir(folder)
        log = os.open(folder.parent / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)
        from pneumo_tf.__main__ import main

        if hook:
            sys.addaudithook(hook)
        code = main(list(arguments))
    except BaseException:  # noqa: BLE001  (whatever it is, this process must end here)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finish(arguments: tuple[str, ...], folder: Path) -> int:
    """Run a command to its end; its exit code."""
    return ended(start(arguments, folder))


def is_change(event: str, given: tuple[Any, ...], folder: Path) -> bool:
    """Whether an audited event is about to change something in a folder, which is the current one."""
    writes = event == "open" and isinstance(given[2], int) and bool(given[2] & (os.O_WRONLY | os.O_RDWR))
    path = given[0] if event in _CHANGES or writes else None
    return isinstance(path, str | os.PathLike) and (folder / os.fspath(path)).is_relative_to(folder)


def noting(log: int, folder: Path) -> Hook:
    """Writes a line for every change of the disk: what it is, and where in the program."""
    def note(event: str, given: tuple[Any, ...]) -> None:
        if is_change(event, given, folder):
            frames = traceback.walk_stack(None)
            places = [f"{frame.f_code.co_name}:{line}" for frame, line in frames
                      if "/pneumo_tf/" in frame.f_code.co_filename]
            os.write(log, " ".join([event, *places, "\n"]).encode())

    return note


def killing(step: int, folder: Path) -> Hook:
    """Kills its process right before a change of the disk, counted from 0."""
    left = iter(range(step, -1, -1))

    def kill(event: str, given: tuple[Any, ...]) -> None:
        if is_change(event, given, folder) and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def kill_at(arguments: tuple[str, ...], folder: Path, moment: float) -> bool:
    """Kill a command after so many seconds; False where it had finished by then."""
    child, end = start(arguments, folder), time.monotonic() + moment
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return ended(child) == -signal.SIGKILL


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
            case ".onnx":
                _answer_of(path)
            case ".zip" | ".keras" | ".npz":
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
        if path.name == "export.json":  # see below: other names take other room
            told["parity"].pop("size")
        return _STAMPED.sub("RUN", json.dumps(told, sort_keys=True).replace(str(folder), "")).encode()
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows = [{key: value for key, value in row.items() if key not in _FREE}
                    for row in csv.DictReader(file)]
        return _STAMPED.sub("RUN", json.dumps(rows)).encode()
    if path.suffix == ".keras":  # beside the moment, a zip of the same members
        with zipfile.ZipFile(path) as archive:
            return archive.read("model.weights.h5")
    if path.suffix == ".onnx":  # TensorFlow's optimiser names and orders the same nodes anew every time
        return _answer_of(path)
    return b"" if path.suffix in (".h5", ".md") else path.read_bytes()


def _answer_of(path: Path) -> bytes:
    """What an exported network gives for noise and tells of itself; ValueError where it is broken."""
    import numpy as np
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # no threads in what is forked
    try:
        network = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as failure:  # its errors have no base of their own
        raise ValueError(str(failure)) from failure
    noise = np.random.default_rng(0).integers(0, 256, (1, 48, 40, 3), np.uint8)
    told = network.get_modelmeta().custom_metadata_map
    return network.run(None, {network.get_inputs()[0].name: noise})[0].tobytes() + json.dumps(
        {name: value for name, value in sorted(told.items()) if name not in _FREE}).encode()


def _without_the_free(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_the_free(value) for key, value in content.items() if key not in _FREE}
    return [_without_the_free(part) for part in content] if isinstance(content, list) else content


def import_the_slow(*, keras: bool = True) -> None:
    """Import what takes long, but let nothing compute: TensorFlow's threads wouldn't live on in a fork."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    for name in (*(["keras"] if keras else []), "pandas", "sklearn.linear_model", "scipy.stats",
                 "matplotlib.figure", "skimage.measure", "cv2", "h5py", "pooch", "joblib", "rich.progress"):
        import_module(name)


def make_ready(place: Path, *, with_run: bool) -> Path:
    """A folder with phantoms, prepared films and labels; a finished run and a cache where they are needed."""
    from pneumo_tf.phantoms.write import write_phantoms

    folder = place / "ready"
    folder.mkdir(parents=True)
    write_phantoms(folder / "films", **({"films": 72, "patients": 54} if with_run else
                                        {"films": 24, "patients": 18}), seed=7)
    commands = [SCENARIOS[name].command for name in ("prepare", "labels")]
    if with_run:
        write_phantoms(folder / "elsewhere", films=64, patients=64, seed=10)
        commands += [("prepare_pict", "--source", "elsewhere", "--target", "place", "--workers", "1"),
                     ("get_labels", "--path", "place", "--output", "place.csv"),
                     SCENARIOS["train fast"].command]
    for command in commands:
        if finish(command, folder):
            raise SystemExit((place / "said.txt").read_text())
    for run in folder.glob("model/runs/2*"):
        run.rename(folder / RUN)
    return folder


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which this machine serves a folder meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
                              cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@dataclass
class Torment:
    """One command that is killed, and held against itself left alone.

    Attributes:
        scenario: The command.
        ready: The folder that it is typed in, copied for every round.
        place: Where the copy lies.
        typed: What stands for capital words of the command.
        tally: What became of it so far.
        chance: Draws the moments.
    """

    scenario: Scenario
    ready: Path
    place: Path
    typed: dict[str, str]
    tally: Tally
    chance: random.Random

    @property
    def folder(self) -> Path:
        return self.place / "work"

    @property
    def command(self) -> tuple[str, ...]:
        """As the person types it, or types it the next time."""
        kept = self.scenario.resumes and any(self.folder.glob("model/runs/.unfinished/*/checkpoint.npz"))
        words = tuple(self.typed.get(word, word) for word in self.scenario.command)
        return (*words, "--resume") if kept else words

    def begin(self) -> None:
        """Lay the folder as the command finds it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.ready, self.folder)
        for name in self.scenario.absent:
            shutil.rmtree(self.folder / name)

    @cached_property
    def undisturbed(self) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """What the command leaves, and what of it was there before."""
        self.begin()
        before, began = meaning(self.folder), time.monotonic()
        if code := finish(self.command, self.folder):
            raise SystemExit(f"{' '.join(self.command)} left with {code}:\n"
                             + (self.place / "said.txt").read_text())
        self.tally.seconds, wanted = time.monotonic() - began, meaning(self.folder)
        stays = {name: digests for name, digests in before.items() if wanted.get(name) == digests}
        return wanted, {} if "--clear" in self.scenario.command else stays

    def round(self, kills: int) -> None:
        """Kill the command at most so many times in a row, then let it finish."""
        _ = self.undisturbed
        self.begin()
        for _ in range(min(IN_A_ROW, kills)):
            if not kill_at(self.command, self.folder, self.chance.uniform(0, self.tally.seconds)):
                break
            self.tally.kills += 1
            self._look_after_a_kill()
        self._finish()

    def steps(self) -> None:
        """Kill the command before a change of the disk and let it finish, for every change that is to be."""
        _ = self.undisturbed
        self.begin()
        log = self.place / "steps.txt"
        with log.open("wb") as lines:
            ended(start(self.command, self.folder, noting(lines.fileno(), self.folder)))
        places = log.read_text().splitlines()
        first, last = ({place: step for step, place in order} for order in (
            reversed([*enumerate(places)]), enumerate(places)))
        self.tally.steps = 0
        for step in sorted({*first.values(), *last.values()}):
            self.begin()
            if ended(start(self.command, self.folder, killing(step, self.folder))) != -signal.SIGKILL:
                self._count([f"it has no step {step} of {len(places)}: {places[step]}"])
            self.tally.steps += 1
            self._look_after_a_kill()
            self._finish()

    def _look_after_a_kill(self) -> None:
        _, stays = self.undisturbed
        self._count(f"{path.relative_to(self.folder)} is broken: {why}" for path in files(self.folder)
                    if (why := why_broken(path)))
        now = meaning(self.folder)
        self._count(f"{name} is lost" for name in stays if now.get(name) != stays[name])

    def _finish(self) -> None:
        """Let the command come to its end, and compare what it leaves."""
        wanted, _ = self.undisturbed
        self.tally.rounds += 1
        if code := finish(self.command, self.folder):
            said = (self.place / "said.txt").read_text(errors="replace").splitlines() or [""]
            self._count([f"started again it left with {code}: {said[-1]}"])
        now = meaning(self.folder)
        self._count(f"{name} differs from the undisturbed run's"
                    for name in sorted(set(now) | set(wanted)) if now.get(name) != wanted.get(name))
        self.tally.litter = max(self.tally.litter, litter(self.folder))
        self.tally.measured = date.today().isoformat()

    def _count(self, faults: Iterable[str]) -> None:
        for fault in faults:
            self.tally.faults[_STAMPED.sub("RUN", fault)] += 1
            print(f"    {fault}", file=sys.stderr, flush=True)


def litter(folder: Path) -> int:
    """Bytes of files under temporary names, or in folders of such."""
    return sum(path.stat().st_size for path in folder.rglob("*")
               if path.is_file() and any(part.startswith(".") for part in path.relative_to(folder).parts))


def read_tallies(path: Path) -> dict[str, Tally]:
    """What an earlier call has counted; nothing where there was none."""
    kept = read_json(path) if path.is_file() else {}
    return {name: Tally(**{**tally, "faults": Counter(tally["faults"])}) for name, tally in kept.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300, help="of all scenarios together (default: 300)")
    parser.add_argument("--steps", action="store_true", help="kill before changes of the disk instead")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--place", type=Path, help="a folder to work in (default: a temporary one)")
    parser.add_argument("--ready", type=Path, help="a folder as an earlier call made it, to begin from")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON that the counts are added to")
    typed = parser.parse_args()
    with_run = not all(SCENARIOS[name].absent for name in typed.only)
    import_the_slow(keras=with_run)
    place = (typed.place or Path(tempfile.mkdtemp(prefix="kills-"))).resolve()
    place.mkdir(parents=True, exist_ok=True)
    ready, tallies = typed.ready or make_ready(place, with_run=with_run), read_tallies(typed.results)
    archive = Path(shutil.make_archive(str(place / "served/films"), "zip", ready / "films"))
    with served(archive.parent) as address:
        given = {"URL": f"{address}/films.zip", "SHA256": hashlib.sha256(archive.read_bytes()).hexdigest()}
        torments = [Torment(SCENARIOS[name], ready, place, given, tallies.setdefault(name, Tally()),
                            random.Random(f"{typed.seed}, {name}, {tallies[name].rounds}"))
                    for name in typed.only]
        def keep() -> None:
            write_json(typed.results, {name: vars(tally) for name, tally in tallies.items()})

        for one in torments if typed.steps else []:
            one.steps()
            keep()
        while not typed.steps and (
                unfinished := [one for one in torments if one.tally.kills < typed.kills / len(torments)]):
            for one in unfinished:  # in turn, so that a call that is stopped has killed all alike
                one.round(math.ceil(typed.kills / len(torments)) - one.tally.kills)
                keep()
    kills, faults = (sum(tally.kills + tally.steps for tally in tallies.values()),
                     sum(tally.faults.total() for tally in tallies.values()))
    print(f"{kills} kills, {faults} faults; {typed.results}")
    shutil.rmtree(place)
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main())
