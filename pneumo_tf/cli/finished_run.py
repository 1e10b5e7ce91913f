"""Which run a command is about."""

from __future__ import annotations

from pathlib import Path

from pneumo_tf.errors import OptionError
from pneumo_tf.places import MODEL_FOLDER, find_existing


def find_run(typed: str | None) -> Path:
    """The run that was named, else the last one.

    Raises:
        OptionError: It doesn't exist.
    """
    remedy = "Train with binary_class.py first, or name a run with --run."
    if typed is not None:
        return find_existing(typed, what="run", error=OptionError, remedy=remedy)
    runs = find_existing(f"{MODEL_FOLDER}/runs", what="folder of runs", error=OptionError, remedy=remedy)
    finished = [run for run in runs.glob("[!.]*") if (run / "run.json").is_file()]
    if not finished:
        raise OptionError("A finished run must exist.", received=f"none in {runs}", remedy=remedy)
    return max(finished, key=lambda run: run.name)
