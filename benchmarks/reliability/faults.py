"""Commands on phantoms while the machine fails under them: what they say, and what is left.

    python benchmarks/reliability/faults.py

Each fault must end in exit code 0, where the command gets by (predict_pict.py: 1 where it refused films), or
in one line that says what is wrong and exit code 2; no traceback, no broken file, and nothing lost that was
finished before. Disks that fill or can't be written are mounted, which takes root on Linux; reads and writes
that fail, and a clock that jumps, come from shim.c, which takes a C compiler. What can't be done is left out.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any

import kills
import psutil

from pneumo_tf.storage import read_json, write_json

RESULTS = kills.HERE / "results/faults.json"
PREPARE = ("prepare_pict", "--source", "films", "--target", "new", "--workers")
TRAIN = ("binary_class", "--recipe", "fast", "-e", "3", *kills.SMALL)
PREDICT = ("predict_pict", "films", "--run", kills.RUN, "-o", "new/answers.csv", "--engine", "keras")
TRIAGE = ("triage_pict", "films", "--run", kills.RUN, "-o", "new", "--engine", "keras")
EXPORT = ("export_model", "--run", kills.RUN, "--to", "onnx")
ADAPT = ("adapt_pict", "--run", kills.RUN, "-p", "place", "-l", "place.csv", "--name", "place",
         "--engine", "keras")
LABELS = ("get_labels", "--path", "clasificacion", "--output", "new/labels.csv")


class LeftOutError(Exception):
    """This machine can't fail in that way."""


@dataclass(frozen=True)
class Fault:
    """One way to fail, and the command that meets it.

    Attributes:
        name: What happens.
        command: Name and options.
        around: What is done to the folder before the command and undone after it; it gives the command's
            environment.
        during: What is done while it runs; told the process.
        at_once: How many of the command begin together.
        bytes: Of memory that the process may address.
    """

    name: str
    command: tuple[str, ...]
    around: Callable[[Path], Any] | None = None
    during: Callable[[Path, psutil.Process], None] | None = None
    at_once: int = 1
    bytes: int | None = None


@contextmanager
def full(folder: Path, *, size: str, at: str = "new") -> Iterator[dict[str, str]]:
    """A small disk at a folder."""
    with _mounted(folder / at, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        yield {}


@contextmanager
def read_only(folder: Path, *, at: str) -> Iterator[dict[str, str]]:
    """A folder that can be read alone; a bind mount, because root needs no permission."""
    (folder / at).mkdir(parents=True, exist_ok=True)
    with _mounted(folder / at, "--bind", str(folder / at)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder / at)], check=True)
        yield {}


@contextmanager
def _mounted(place: Path, *options: str) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, check=False) \
        if shutil.which("mount") else None
    if done is None or done.returncode:
        raise LeftOutError("no right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def shimmed(folder: Path, *, fault: str, below: str = "", after: int = 0) -> Iterator[dict[str, str]]:
    """Reads and writes that fail below a path, or a clock that jumps."""
    yield {"LD_PRELOAD": str(_shim()), "FAULT": fault, "FAULT_PATH": str(folder / below),
           "FAULT_AFTER": str(after)}


@cache
def _shim() -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        raise LeftOutError("no C compiler")
    library = Path(tempfile.mkdtemp(prefix="shim-")) / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O", "-o", str(library), str(kills.HERE / "shim.c"),
                    "-ldl"], check=True)
    return library


def take_films(folder: Path, process: psutil.Process, *, seconds: float) -> None:
    """Every other film goes while the command runs."""
    time.sleep(seconds)
    for film in sorted((folder / "films").rglob("*.jpeg"))[::2]:
        film.unlink()


def change_films(folder: Path, process: psutil.Process, *, seconds: float) -> None:
    """Every other film is cut short while the command runs."""
    time.sleep(seconds)
    for film in sorted((folder / "films").rglob("*.jpeg"))[::2]:
        film.write_bytes(film.read_bytes()[:500])


def kill_worker(folder: Path, process: psutil.Process) -> None:
    """The first process that works on films is killed."""
    for _ in range(2000):
        workers = [child for child in process.children(recursive=True)
                   if "popen_loky" in " ".join(child.cmdline())]
        if workers:
            time.sleep(0.3)
            workers[0].kill()
            return
        time.sleep(0.01)


FAULTS = (
    *(Fault(f"the disk is full: {command[0]}", command, partial(full, size=size))
      for command, size in ((LABELS, "8k"), ((*PREPARE, "1"), "200k"), (PREDICT, "8k"), (TRIAGE, "40k"))),
    Fault("the disk is full: prepare_pict in two processes", (*PREPARE, "2"), partial(full, size="200k")),
    Fault("the disk is full: training", TRAIN, partial(full, size="12m", at="model/runs/.unfinished")),
    Fault("the disk is full: export", EXPORT, partial(full, size="4m", at=f"{kills.RUN}/exports")),
    *(Fault(f"the folder can't be written: {command[0]}", command, partial(read_only, at=at))
      for command, at in ((LABELS, "new"), ((*PREPARE, "1"), "new"), (PREDICT, "new"), (TRIAGE, "new"),
                          (TRAIN, "model"), (EXPORT, kills.RUN), (ADAPT, kills.RUN))),
    *(Fault(f"films go: {command[0]}", command, during=partial(take_films, seconds=seconds))
      for command, seconds in (((*PREPARE, "1"), 1.5), (PREDICT, 6), (TRIAGE, 6))),
    *(Fault(f"films are cut short: {command[0]}", command, during=partial(change_films, seconds=seconds))
      for command, seconds in (((*PREPARE, "1"), 1.5), (PREDICT, 6))),
    *(Fault(f"the clock jumps back: {command[0]}", command, partial(shimmed, fault="CLOCK"))
      for command in ((*PREPARE, "1"), TRAIN, TRIAGE)),
    *(Fault(f"reads fail (EIO): {command[0]}", command, partial(shimmed, fault="EIO", below=below, after=10))
      for command, below in (((*PREPARE, "1"), "films"), (PREDICT, "films"), (TRAIN, "clasificacion"))),
    *(Fault(f"writes fail (EIO): {command[0]}", command,
            partial(shimmed, fault="EIO", below=below, after=after))
      for command, below, after in (((*PREPARE, "1"), "new", 20), (PREDICT, "new", 3),
                                    (TRAIN, "model/runs", 2), (EXPORT, f"{kills.RUN}/exports", 2))),
    *(Fault(f"calls are interrupted (EINTR): {command[0]}", command, partial(shimmed, fault="EINTR"))
      for command in ((*PREPARE, "1"), PREDICT)),
    *(Fault(f"{count} at once: {command[0]}", command, at_once=count)
      for command, count in (((*PREPARE, "1"), 2), ((*PREPARE, "1"), 10), (LABELS, 10), (PREDICT, 2),
                             (TRIAGE, 2))),
    Fault("a worker is killed: prepare_pict", (*PREPARE, "2"), during=kill_worker),
    Fault("memory is used up: prepare_pict", (*PREPARE, "1"), bytes=400 * 2**20),
)


@dataclass
class Outcome:
    """What became of a fault."""

    command: str
    codes: list[int] = field(default_factory=list)
    said: str = ""
    faults: list[str] = field(default_factory=list)
    left_out: str = ""
    measured: str = ""


def inflict(fault: Fault, folder: Path) -> Outcome:
    """Run the command of a fault in a folder that is ready, and look at what it left."""
    outcome = Outcome(" ".join(fault.command), measured=date.today().isoformat())
    before = kills.meaning(folder)
    gone = "films" if fault.during in (None, kill_worker) else "films/"
    try:
        with (fault.around or _as_it_is)(folder) as variables:
            began = [_begin(fault, folder, variables) for _ in range(fault.at_once)]
            if fault.during:
                fault.during(folder, psutil.Process(began[0].pid))
            ended = [process.communicate(timeout=300)[1] for process in began]
            outcome.codes = [process.returncode for process in began]
            outcome.faults = [f"{path.relative_to(folder)} is broken: {why}" for path in kills.files(folder)
                              if not str(path.relative_to(folder)).startswith("films/")
                              and (why := kills.why_broken(path))]
    except LeftOutError as why:
        outcome.left_out = str(why)
        return outcome
    for code, words in zip(outcome.codes, ended, strict=True):
        lines = [line for line in words.splitlines() if "error:" in line]
        outcome.said = outcome.said or (lines[-1].replace(str(folder), "…") if lines else "")
        refused = code == 1 and fault.command[0] == "predict_pict"  # so it says that films were refused
        if not (code in (0, 2) or refused) or "Traceback" in words or (code == 2 and len(lines) != 1):
            outcome.faults.append(f"exit code {code}: {words.strip()[-1500:]}")
    now = kills.meaning(folder)
    outcome.faults += [f"{name} is lost" for name in before if now.get(name) != before[name]
                       and not name.startswith(gone)]
    return outcome


@contextmanager
def _as_it_is(_: Path) -> Iterator[dict[str, str]]:
    yield {}


def _begin(fault: Fault, folder: Path, variables: dict[str, str]) -> subprocess.Popen[str]:
    def limit() -> None:
        if fault.bytes:
            resource.setrlimit(resource.RLIMIT_AS, (fault.bytes, fault.bytes))

    environment = {**os.environ, "PYTHONPATH": str(kills.HERE.parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3",
                   "CUDA_VISIBLE_DEVICES": "", "OPENBLAS_NUM_THREADS": "1", **variables}
    return subprocess.Popen([sys.executable, "-m", "pneumo_tf", *fault.command], cwd=folder, env=environment,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
                            preexec_fn=limit)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--ready", type=Path, help="a folder as kills.py makes it, to begin from")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON of what became of them")
    typed = parser.parse_args(argv)
    place = Path(tempfile.mkdtemp(prefix="faults-"))
    kills.import_the_slow()
    ready = typed.ready or kills.make_ready(place, with_run=True)
    found = read_json(typed.results) if typed.results.is_file() else {}
    faults = 0
    for fault in FAULTS:
        if typed.only not in fault.name:
            continue
        folder = place / "work"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ready, folder)
        outcome = inflict(fault, folder)
        found[fault.name], faults = vars(outcome), faults + len(outcome.faults)
        write_json(typed.results, found)
        print(fault.name, outcome.left_out or outcome.codes, outcome.said, *outcome.faults, flush=True)
    shutil.rmtree(place)
    return int(faults > 0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise SystemExit(main())
