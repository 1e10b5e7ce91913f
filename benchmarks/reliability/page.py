"""Writes ../reliability.md from what is in results/, so that no figure in it was typed.

    python benchmarks/reliability/page.py
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from pneumo_tf.storage import read_json, write_json, write_text  # noqa: E402

_HEAD = """# Reliability
How this program holds under kills, faults, hostile files and load, measured. `make trust` measures all of
it and writes this page from `reliability/results/`; every figure has its command, none is typed by hand. A
part with few kills or seconds is a sample: give it more time with the numbers of the commands below.

Measured on {cores} processor cores that other programs shared, Python {python}.
"""
_KILLS = """
## Kills
`python benchmarks/reliability/kills.py --kills N` kills commands with SIGKILL at random moments, starts
them again, and holds what they leave against an undisturbed run: every file whole after every kill, nothing
lost that was finished, the same results at the end (run records without moments and durations; an ONNX file
by what it computes and tells, because TensorFlow's optimiser names the same nodes anew in every export).
With `--steps` the moments are right before a change of the disk (a file that is opened to be written,
renamed or removed, a folder that is made), the first and the last of each place in the program.

**{kills} kills, {steps} of them before a change of the disk; {faults} faults.**

| command | undisturbed | at random | before a change | started again | faults | bytes left over | measured |
|---|---|---|---|---|---|---|---|
"""
_FAULTS = """
## Faults injected
`python benchmarks/reliability/faults.py`: each must end in exit code 0, where the command gets by, or in
one line and exit code 2; no traceback, no broken file, nothing lost that was finished before. Small disks
and read-only folders are mounts; failing reads and writes, interrupted calls and the clock come from a
library that is preloaded (`shim.c`).

**{measured} faults in {of}, {failed} of them answered wrongly.**

| what happens | exit codes | what is said |
|---|---|---|
"""
_FUZZ = """
## Hostile files
`make fuzz SECONDS=S` (`python -m fuzz`): each reader of what others may have written gets inputs that
atheris makes from `fuzz/corpora.py`, guided by coverage, and records that Hypothesis changes; only an error
of ours may come out. An input may take {slowest} seconds and a process {most} MiB. Lines are those in
functions of the reader's module that the inputs reach; branches are what atheris counts, in libraries it
looks into too; "nothing new for" is how many of the inputs came after the one that reached the last new
branch. Findings that were mended are not listed here: each is a test.

| reader | seconds | inputs | nothing new for | branches | lines | open findings |
|---|---|---|---|---|---|---|
"""
_PROPERTIES = """
## Numbers that can't be silently wrong
`python benchmarks/reliability/properties.py`: trainings of the recipe `fast` on phantoms with random
weights.

| property | holds | figures |
|---|---|---|
"""
_LOAD = """
## Load
`python benchmarks/reliability/load.py --minutes N`: eight clients ask the worklist's server for pages,
films and heat maps, upload films and what is none, hang up, send a byte now and then; beside them
`predict_pict.py` reads a list that doesn't end, with damaged and missing films.

- {minutes} minutes: {requests:,} requests answered or refused, {requests_per_second} a second; median
  {median_ms} ms, 99th percentile {p99_ms} ms; {films_predicted:,} films predicted beside them.
- Memory of the server {server}; of `predict_pict.py` {predict}.
- Requests that weren't answered or refused, and programs that ended: {faults}.
{verdict}"""


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def _kills(found: Mapping[str, Any]) -> Iterator[str]:
    ran = {name: tally for name, tally in found.items() if tally["rounds"]}
    yield _KILLS.format(kills=f"{sum(tally['kills'] + tally['steps'] for tally in ran.values()):,}",
                        steps=f"{sum(tally['steps'] for tally in ran.values()):,}",
                        faults=sum(sum(tally["faults"].values()) for tally in ran.values()))
    for name, tally in ran.items():
        yield _row(name, f"{tally['seconds']:.1f} s", tally["kills"], tally["steps"], tally["rounds"],
                   sum(tally["faults"].values()), f"{tally['litter']:,}", tally["measured"])
    for name, tally in ran.items():
        yield from (f"\n- {name}: {times} × {fault}" for fault, times in tally["faults"].items())


def _faults(found: Mapping[str, Any]) -> Iterator[str]:
    yield _FAULTS.format(measured=sum(not one["left_out"] for one in found.values()), of=len(found),
                         failed=sum(bool(one["faults"]) for one in found.values()))
    for name, one in found.items():
        codes = f"left out: {one['left_out']}" if one["left_out"] else \
            ", ".join(map(str, sorted(set(one["codes"]))))
        wrong = "**answered wrongly** " if one["faults"] else ""
        yield _row(name, codes, wrong + _cell(one["said"]))


def _fuzz(found: Mapping[str, Any]) -> Iterator[str]:
    from fuzz import MOST, SLOWEST

    yield _FUZZ.format(slowest=SLOWEST, most=MOST)
    for name, one in found.items():
        yield _row(name, *(f"{one[key]:,}" for key in ("seconds", "inputs", "quiet", "branches")),
                   f"{one['lines']} of {one['of_lines']}", _cell("; ".join(one["findings"])) or "–")
    yield (f"\nTogether {sum(one['seconds'] for one in found.values()):,} seconds and "
           f"{sum(one['inputs'] for one in found.values()):,} inputs.\n")


def _properties(found: Mapping[str, Any]) -> Iterator[str]:
    yield _PROPERTIES
    for name, one in found.items():
        figures = ", ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in one.items()
                            if key not in ("holds", "measured"))
        yield _row(name, "yes" if one["holds"] else "**no**", figures)


def _load(found: Mapping[str, Any]) -> Iterator[str]:
    memory = {name: f"{one['settled_mib']} MiB after a fifth of the time, {one['end_mib']} MiB at the end "
                    f"({one['growth']:+.1%})" for name, one in found["memory"].items()}
    faults = "; ".join(f"{times} × {fault}" for fault, times in found["faults"].items()) or "none"
    grown = [name for name, one in found["memory"].items() if one["growth"] > 0.05]
    verdict = f"\n**Memory of {' and '.join(grown)} grew by more than the 5 % that it may.**\n" \
        if grown else ""
    yield _LOAD.format(**{**found, **memory, "faults": faults, "verdict": verdict})


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:300]


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def page() -> str:
    """The page, as results/ has it."""
    parts = [_HEAD.format(**read_json(HERE / "results/machine.json"))]
    for name, tell in {"kills": _kills, "faults": _faults, "fuzz": _fuzz, "properties": _properties,
                       "load": _load}.items():
        path = HERE / f"results/{name}.json"
        parts += tell(read_json(path)) if path.is_file() else []
    return "".join(parts)


def main() -> int:
    machine = {"cores": os.cpu_count(), "python": platform.python_version()}
    write_json(HERE / "results/machine.json", machine)
    write_text(HERE.parent / "reliability.md", page())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
