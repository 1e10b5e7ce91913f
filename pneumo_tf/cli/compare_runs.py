"""compare_runs.py: a grid of trainings on one split, and the page that tells which of them did best."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pneumo_tf.cli import binary_class, command, options
from pneumo_tf.cli.command import start_keras
from pneumo_tf.cli.grid import Cell, add_row_options, expand
from pneumo_tf.errors import OptionError, PneumoError
from pneumo_tf.language import counted, say, show, show_json, translated, written
from pneumo_tf.places import MODEL_FOLDER, folder_name, output_path
from pneumo_tf.storage import guarded, make_folder

if TYPE_CHECKING:
    from rich.table import Table

    from pneumo_tf.studies.compare import Row

_DESCRIPTION = ("Train several ways on one split and compare them on its validation films: "
                "compare_runs.py --batch-size 32,64,128,256, or any grid of options, over several seeds.")
_EPILOG = ("Each row is a command of binary_class.py, run in a process of its own. Interrupted, the same "
           "command goes on; a larger grid keeps the rows that are there.")
_WIDTH = 150


class RowError(PneumoError):
    """A row of the comparison that didn't finish."""


def build_parser() -> command.Parser:
    """The options of compare_runs.py: its own, and those of binary_class.py for the rows."""
    parser = command.build("compare_runs.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)
    unset = argparse.SUPPRESS
    place = parser.add_mutually_exclusive_group()
    place.add_argument("-o", "--output", metavar="DIR", default=unset,
                       help=f"folder of the comparison (default: {MODEL_FOLDER}/comparisons/NAME)")
    place.add_argument("--name", default=unset, help="NAME of that folder (default: the listed options)")
    parser.add_argument("--seeds", type=options.whole_number(at_least=1, at_most=1000), default=unset,
                        metavar="N", help="run each row with so many seeds: 42, 43, 44 …")
    parser.add_argument("--rank", choices=("auc", "stress"), default="auc",
                        help="what the rows are ordered by: their validation AUC, or their mean balanced "
                             "accuracy on stressed validation films")
    options.add_track(parser)
    options.add_cluster(parser, what="the rows, each on a machine of its own,")
    add_row_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Train and compare; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> str:
    """Train and compare; what to do next."""
    from pneumo_tf import cluster
    from pneumo_tf.processes import in_processes

    options.check_track(typed)
    cells = expand(_with_seeds(typed))
    folder = (output_path(typed.output, default="") if "output" in typed else
              output_path(None, default=f"{MODEL_FOLDER}/comparisons/{_name(typed, cells)}"))
    missing = [cell.arguments for cell in cells if not _finished(folder / "rows" / cell.key)]
    _check(missing)
    make_folder(folder)
    rows = [_RowToRun(cell, f"row {number} of {len(cells)}: {cell.title}")
            for number, cell in enumerate(cells, start=1)]
    lang = options.language_of(typed)
    with cluster.joined(getattr(typed, "cluster", None)):
        runs = in_processes(partial(_run, folder=folder, lang=lang), rows, workers=1,
                            description="Rows", whole_machine=True)
    if "track" in typed:
        from pneumo_tf.studies.tracking import track

        say(f"Told: {[track(run, typed.track, folder) for run in runs][-1]}")
    by_key = dict(zip((cell.key for cell in cells), runs, strict=True))
    best = _compare(cells, by_key, folder, typed=typed, lang=lang)
    return command.line("evaluate_model", "--run", best)


def _with_seeds(typed: argparse.Namespace) -> argparse.Namespace:
    """--seeds N written out as --seed 42,43,44 …"""
    given = dict(vars(typed))
    count = given.pop("seeds", None)
    if count is None:
        return typed
    if "seed" in given:
        raise OptionError("The seeds are either counted or listed.", received="--seeds and --seed",
                          remedy="Leave one of them out.")
    first = int(binary_class.build_parser().get_default("seed"))
    return argparse.Namespace(**given, seed=[",".join(map(str, range(first, first + count)))])


def _name(typed: argparse.Namespace, cells: Sequence[Cell]) -> str:
    usual = "-".join(cells[0].chosen) or "single"
    return folder_name(getattr(typed, "name", usual), what="a comparison")


def _check(rows: Sequence[tuple[str, ...]]) -> None:
    """Settle every row's recipe, weights and labels, so that a mistake shows before the first one trains.

    In a process of its own, since Keras would keep its memory for as long as the rows train.
    """

    from pneumo_tf.progress import announce

    if rows:
        announce("Checking the rows")
        # Ctrl-C reaches the process, too; what there is to say of it is said here.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=signal.signal,
                                 initargs=(signal.SIGINT, signal.SIG_IGN)) as process:
            process.submit(_settle, rows).result()


def _settle(rows: Sequence[tuple[str, ...]]) -> None:
    start_keras(1)
    from pneumo_tf.studies.plan import settle
    from pneumo_tf.studies.train import read_cohort

    for arguments in rows:
        study = options.study_of(binary_class.build_parser().parse_args(arguments))
        try:
            settle(study)
            if arguments == rows[0]:  # all share films and labels
                read_cohort(study)
        except PneumoError as failure:
            if len(rows) == 1:
                raise
            what = "; ".join(part for part in (failure.rule.rstrip("."), failure.received) if part)
            raise RowError("Every row must be a training that can begin.",
                           received=f"{shlex.join(arguments)} ({what})", remedy=failure.remedy) from failure


class _RowToRun(NamedTuple):
    """A cell, and where it stands in the grid, in words."""

    cell: Cell
    place: str


def _run(row: _RowToRun, *, folder: Path, lang: str) -> Path:
    """The folder of the cell's finished run, which is trained where there is none yet."""
    cell, place = row
    output = folder / "rows" / cell.key
    if done := _finished(output):
        say(f"{place} (done before)", aside=True)
        _mend(done, lang)
        return done
    resume = ["--resume"] if any(output.glob("runs/.unfinished/*/checkpoint.npz")) else []
    say(place, aside=True)
    log, began = folder / "logs" / f"{cell.key}.log", time.monotonic()
    code = _train([*cell.arguments, "--output", _shown(output), "--lang", lang, "--no-publish", *resume], log)
    done = _finished(output)
    if code or not done:
        raise RowError("Every row of a comparison must finish.",
                       received=f"{place}, which left with code {code} after {cell.command(_shown(output))} "
                                f"and said last: {_last_line(log)}",
                       remedy=f"Mend it and start the comparison again: finished rows stay. See {log}.")
    say(f"    finished after {time.monotonic() - began:.0f} s", aside=True)
    return done


def _mend(run: Path, lang: str) -> None:
    """Write the report of a run that was killed before it had one; the comparison's page points to it."""
    from pneumo_tf.runs.folder import MODEL_CARD

    if not (run / MODEL_CARD).is_file():  # which is written last
        from pneumo_tf.report.page import write_report

        write_report(run, lang=lang)


def _finished(output: Path) -> Path | None:
    """The last run in a row's folder that has everything a comparison reads."""
    from pneumo_tf.runs.folder import METRICS, PREDICTIONS, RUN, last_run

    return last_run(output, needed=(RUN, METRICS, PREDICTIONS))


def _shown(path: Path) -> str:
    """As one would type it: relative where it lies below the current folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _train(arguments: Sequence[str], log: Path) -> int:
    """Run binary_class.py in a process of its own, all that it says going to the end of `log`."""
    package = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    with guarded(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as said:
            said.write(f"$ {shlex.join(['python', 'scripts/binary_class.py', *arguments])}\n")
            said.flush()
            return subprocess.run([sys.executable, "-m", "pneumo_tf", "binary_class", *arguments],
                                  stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
                                  env={**os.environ, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"},
                                  check=False).returncode


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line.rstrip(".") for line in reversed(lines) if line), "nothing")


def _rows(cells: Sequence[Cell], runs: dict[str, Path]) -> list[Row]:
    """Cells that differ by their seed alone are one row."""
    from pneumo_tf.studies.compare import Row

    settings: dict[str, list[Cell]] = {}
    for cell in cells:
        settings.setdefault(cell.setting, []).append(cell)
    return [Row(name=group[0].name, runs=tuple(runs[cell.key] for cell in group),
                options={name: value for name, value in group[0].chosen.items() if name != "seed"})
            for group in settings.values()]


def _compare(cells: Sequence[Cell], runs: dict[str, Path], folder: Path, *, typed: argparse.Namespace,
             lang: str) -> str:
    """Write the comparison and show it; the folder of the best row's first run."""
    # Only now, so that little memory is held while the rows train.
    from pneumo_tf.progress import announce
    from pneumo_tf.studies.compare import compare, write_comparison

    announce("Comparing")
    content = compare(_rows(cells, runs), name=folder.name, rank=typed.rank)
    page = write_comparison(content, folder, lang=lang)
    show_json(content)
    if not typed.json:
        _show(content)
    say(f"Comparison: {page}")
    return str(content["rows"][0]["runs"][0]["folder"])


def _show(content: dict[str, Any]) -> None:
    """Print the table of the rows."""
    from rich.console import Console

    # A file has no width of its own; a table folded to 80 columns can't be read.
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDTH)
    console.print(_table(content))
    show("Test films are left out: choosing by them would spend them.")


def _table(content: dict[str, Any]) -> Table:
    from rich.table import Table
    from rich.text import Text

    films, patients = counted(content["films"], "film|films"), content["patients"]
    table = Table(title=translated(f"Validation: {films} of {counted(patients, 'patient|patients')}"),
                  title_justify="left")
    for heading in ("row", "AUC ± SD (seeds)", "difference to the best, 95 %", "accuracy", "under stress",
                    "log loss", "epochs", "seconds"):
        table.add_column(translated(heading), justify="left" if heading == "row" else "right")
    for row in content["rows"]:
        means = {name: figure["mean"] for name, figure in row["figures"].items()}
        cells = (_area(row["figures"]["auc"]), _difference(row["difference"]), f"{means['accuracy']:.3f}",
                 f"{means['stress']:.3f}" if "stress" in means else "–", f"{means['log_loss']:.3f}",
                 f"{means['epochs']:.1f}", f"{means['seconds']:.0f}")
        table.add_row(Text(row["name"]), *(written(cell) for cell in cells))
    return table


def _area(figure: dict[str, Any]) -> str:
    spread = "" if figure["sd"] is None else f" ± {figure['sd']:.4f}"
    return f"{figure['mean']:.4f}{spread} ({figure['n']})"


def _difference(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return translated("best")
    if figure["low"] is None:  # too few patients
        return f"{figure['value']:+.4f} ({translated('no interval')})"
    return f"{figure['value']:+.4f} ({figure['low']:+.4f} {translated('to')} {figure['high']:+.4f})"
