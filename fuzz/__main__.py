"""Fuzz the readers of what others may have written: coverage guides bytes (atheris), Hypothesis records.

    python -m fuzz --seconds 60

Each reader gets a process of its own, with a limit of time for each input and of memory. What comes out, but
for a PneumoError, is a finding: one for each place that raises it. Figures go to
benchmarks/reliability/results/fuzz.json, to whose seconds and inputs every call adds; with --place it also
goes on from the inputs that an earlier call found worth keeping.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from fuzz import MOST, SLOWEST

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/reliability/results/fuzz.json"
_RESTARTS = 20


def main() -> int:
    """Fuzz, and say what was found; the exit code is 1 where anything was."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each reader (default: 60)")
    parser.add_argument("--only", nargs="+", metavar="READER", help="some of the readers")
    parser.add_argument("--place", type=Path, help="folder of films, labels and a run (default: a new one)")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="folder of findings")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON of the figures")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    typed = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1",
                   "TF_NUM_INTRAOP_THREADS": "1"}
    if typed.one and typed.measure:
        return _measure(typed.one, typed.place, typed.corpus)
    if typed.one:
        return _fuzz(typed.one, typed.place, typed.corpus, typed.seconds, typed.findings)
    return _fuzz_all(typed)


def _fuzz_all(typed: argparse.Namespace) -> int:
    from fuzz.readers import READERS
    from pneumo_tf.storage import read_json, write_json

    place = typed.place or Path(tempfile.mkdtemp(prefix="fuzz-"))
    if not (place / "model").is_dir():
        _make_ready(place)
    figures = read_json(typed.results) if typed.results.is_file() else {}
    found = 0
    for name in typed.only or READERS:
        figures[name] = _added(figures.get(name, {}), _fuzz_one(name, place, typed))
        found += len(figures[name]["findings"])
        print(f"{name}: {figures[name]}", flush=True)
        write_json(typed.results, figures)
    return int(found > 0)


def _added(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The figures of all calls together; findings are those of the last one, which may have been mended."""
    sums = {name: before.get(name, 0) + now[name] for name in ("seconds", "inputs")}
    if now["branches"] <= before.get("branches", 0):
        sums["quiet"] = before.get("quiet", 0) + now["inputs"]
    most = {name: max(before.get(name, 0), now[name]) for name in ("branches", "lines")}
    return now | sums | most


def _make_ready(place: Path) -> None:
    """Phantoms, prepared and labelled, and a run of them, as the kills begin from."""
    sys.path.insert(0, str(ROOT / "benchmarks/reliability"))
    import kills

    kills.import_the_slow()
    kills.make_ready(place, with_run=True).rename(place / "whole")
    for part in (place / "whole").iterdir():
        part.rename(place / part.name)


def _fuzz_one(name: str, place: Path, typed: argparse.Namespace) -> dict[str, Any]:
    """Fuzz one reader for the given seconds, beginning again where an input ended its process."""
    findings = typed.findings / re.sub(r"\W+", "-", name).strip("-")
    findings.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {"seconds": 0, "inputs": 0, "quiet": 0, "branches": 0,
                               "measured": date.today().isoformat()}
    ended = []
    corpus = place / "corpus" / findings.name
    corpus.mkdir(parents=True, exist_ok=True)
    common = [sys.executable, "-m", "fuzz", "--one", name, "--place", str(place.resolve()),
              "--corpus", str(corpus.resolve())]
    for _ in range(_RESTARTS):
        left = typed.seconds - figures["seconds"]
        if left < 2:
            break
        done = subprocess.run([*common, "--seconds", str(left), "--findings", str(findings.resolve())],
                              cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
        figures["seconds"] += _last(r"^Done \d+ runs in (\d+) second", done.stderr) or left
        inputs = _last(r"stat::number_of_executed_units:\s+(\d+)", done.stderr) or \
            _last(r"^#(\d+)\s", done.stderr)
        branches, newest = _newest_branch(done.stderr)
        figures["inputs"] += inputs
        figures["quiet"] = figures["quiet"] + inputs if branches <= figures["branches"] else inputs - newest
        figures["branches"] = max(figures["branches"], branches)
        if done.returncode == 0:
            break
        ended.append(re.findall(r"ERROR: libFuzzer: ([\w-]+)|(Traceback[^$]{0,2000})", done.stderr)
                     or done.stderr[-500:])
    measured = subprocess.run([*common, "--measure"], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = map(int, measured.stdout.split()[-2:]) if measured.returncode == 0 else (0, 0)
    figures["lines"], figures["of_lines"] = lines
    told = [path.read_text(encoding="utf-8").splitlines()[0] for path in sorted(findings.glob("*.txt"))]
    return figures | {"findings": told + [str(one) for one in ended]}


def _newest_branch(said: str) -> tuple[int, int]:
    """How many branches libFuzzer counted, and the number of the input that reached the newest of them.

    What reaches those that the corpus had is input 0.
    """
    counts = [(int(number) if event == "NEW" else 0, int(branches)) for number, event, branches
              in re.findall(r"^#(\d+)\s+(\w+)\s+cov: (\d+)", said, re.MULTILINE)]
    most = max((branches for _, branches in counts), default=0)
    return most, next((number for number, branches in counts if branches == most), 0)


def _last(pattern: str, text: str) -> int:
    return max(map(int, re.findall(pattern, text, re.MULTILINE)), default=0)


def _fuzz(name: str, place: Path, corpus: Path, seconds: int, findings: Path) -> int:
    """In a process of its own; it ends with an exit code of libFuzzer's."""
    import atheris

    from fuzz.readers import READERS, harmless

    reader = READERS[name]
    with atheris.instrument_imports(include=["pneumo_tf", *reader.imports]):
        read = harmless(reader.make(place))
        read(b"")
    for number, content in enumerate(reader.corpus(place)):
        (corpus / f"seed-{number:03}").write_bytes(content)
    known: set[str] = set()

    def one_input(data: bytes) -> None:
        try:
            read(data)
        except Exception as failure:  # noqa: BLE001  (whatever it is, it is a finding)
            _keep(failure, data, findings, known)

    def changed(data: bytes, longest: int, seed: int) -> bytes:
        if reader.inside is None or seed % 4 == 0:
            return bytes(atheris.Mutate(data, longest))
        inner = reader.inside(data, lambda part: bytes(atheris.Mutate(part, len(part) + 64)), seed // 4)
        return inner if len(inner) <= longest else bytes(atheris.Mutate(data, longest))

    atheris.Setup([sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-timeout={SLOWEST}",
                   f"-rss_limit_mb={MOST}", f"-max_len={reader.longest}", "-print_final_stats=1",
                   "-close_fd_mask=1", f"-artifact_prefix={findings}/"], one_input, custom_mutator=changed)
    atheris.Fuzz()
    return 0


def _keep(failure: Exception, data: bytes, findings: Path, known: set[str]) -> None:
    """Keep what raised an exception, once for each kind and place."""
    frames = [frame for frame in traceback.extract_tb(failure.__traceback__)
              if "/pneumo_tf/" in frame.filename]
    file, line = (frames[-1].filename.partition("/pneumo_tf/")[2], frames[-1].lineno) if frames else ("?", 0)
    place = f"{file}:{line}"
    name = re.sub(r"\W+", "-", f"{type(failure).__name__}-{place}")
    if name in known:
        return
    known.add(name)
    (findings / f"{name}.bin").write_bytes(data)
    told = [f"{type(failure).__name__} at {place}: {failure}"[:500], *traceback.format_exception(failure)]
    (findings / f"{name}.txt").write_text("\n".join(told), encoding="utf-8", errors="replace")


def _measure(name: str, place: Path, corpus: Path) -> int:
    """Print how many lines of the reader's module its corpus reaches, and how many there are."""
    from fuzz.readers import READERS, harmless

    reader = READERS[name]
    path = str(ROOT / reader.module)
    seen: set[int] = set()

    def within(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        seen.add(frame.f_lineno)
        return within

    def follow(frame: FrameType, *_: Any) -> Callable[..., Any] | None:
        return within(frame, "call", None) if frame.f_code.co_filename == path else None

    threading.settrace(follow)  # a reader may work in threads of its own
    read = harmless(reader.make(place))
    sys.settrace(follow)
    for one in sorted(corpus.iterdir()):
        try:
            read(one.read_bytes())
        except Exception:  # noqa: BLE001  (a finding that was counted before)
            continue
    sys.settrace(None)
    inside = _lines_in_functions(compile(Path(path).read_bytes(), path, "exec"))
    print(len(seen & inside), len(inside))
    return 0


def _lines_in_functions(code: CodeType) -> set[int]:
    """Numbers of the lines that run when a function of a module is called, not when it is imported."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    own = {line for *_, line in code.co_lines() if line and line > code.co_firstlineno} \
        if code.co_flags & 0x2 else set()  # CO_NEWLOCALS: a function, not a class or a module
    return own.union(*map(_lines_in_functions, inner))


if __name__ == "__main__":
    raise SystemExit(main())
