"""A finished run as other programs for comparing runs know it: TensorBoard and MLflow, on this machine.

Its name is the run's own. What is told is what the run's folder holds: options, curves, every figure with the
ends of its interval, and the report; nothing is computed here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from numbers import Number
from pathlib import Path

from pneumo_tf.errors import PneumoError, check_known
from pneumo_tf.runs.folder import METRICS, MODEL_CARD, REPORT, RUN, RunFolder, read_run
from pneumo_tf.storage import guarded

TENSORBOARD, MLFLOW = "tensorboard", "mlflow"
_STORE = "mlruns"
_EXPERIMENT = "pneumo_tf"
_FILES = (REPORT, MODEL_CARD, METRICS, RUN)
_LONGEST = 500  # characters of a parameter that MLflow's stores all take


class TrackingError(PneumoError):
    """A program that runs can't be told to."""


def track(run_folder: Path, tracker: str, place: Path) -> Path:
    """Tell a tracker of a finished run, once.

    Args:
        run_folder: The run's.
        tracker: "tensorboard" or "mlflow".
        place: Folder that gets `tensorboard/<name>` or `mlruns`; MLflow writes elsewhere where
            MLFLOW_TRACKING_URI says so.

    Returns:
        Where it is told.

    Raises:
        OptionError: Another tracker.
        TrackingError: It isn't installed.
        RunError: The run isn't finished.
        StorageError: The place can't be written to.
    """
    check_known("tracker", tracker, TRACKERS)
    check_tracker(tracker)
    with guarded(place):
        return TRACKERS[tracker](read_run(run_folder), place)


def check_tracker(tracker: str) -> None:
    """Raise a TrackingError where a tracker isn't installed, before any work is spent."""
    try:
        __import__(tracker)
    except ImportError as failure:
        raise TrackingError(f"--track {tracker} needs {tracker}.", received="none installed",
                            remedy="Install it: pip install 'pneumo_tf[track]'.") from failure


def _parameters(run: RunFolder) -> dict[str, str | float | bool]:
    """What the run was made with, by the names of its options."""
    facts = run.facts
    told = {**{name: facts.get(name) for name in ("recipe", "backbone", "split_sha256", "positive")},
            **facts.get("options", {}), **facts.get("recipe_settings", {})}
    return {name: value if isinstance(value, bool | int | float) else str(value)[:_LONGEST]
            for name, value in told.items() if value not in (None, "", [], {})}


def _figures(run: RunFolder) -> dict[str, float]:
    """Every figure and the ends of its interval: "test/auc", "test/auc_low", "test/auc_high"."""
    figures = {}
    for split in ("validation", "test"):
        for name, figure in ((run.metrics.get(split) or {}).get("figures") or {}).items():
            for part, ending in (("value", ""), ("low", "_low"), ("high", "_high")):
                if figure.get(part) is not None:
                    figures[f"{split}/{name}{ending}"] = float(figure[part])
    return figures


def _curves(run: RunFolder) -> Iterator[tuple[int, str, float]]:
    """Every number of every epoch: the epoch, "epoch/val_loss", the number."""
    for row in run.history.to_dict("records"):
        for name, value in row.items():
            if name != "epoch" and isinstance(value, Number) and value == value:  # NaN isn't
                yield int(row["epoch"]), f"epoch/{name}", float(value)  # type: ignore[arg-type]


def _to_tensorboard(run: RunFolder, place: Path) -> Path:
    """Scalars, the options as hyperparameters, and the model card as text."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams.api import hparams_pb
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.plugins.text.summary_v2 import text_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    folder = place / TENSORBOARD / run.name
    if any(folder.glob("events.*")):
        return folder
    card, last = run.path / MODEL_CARD, max(map(int, run.history.get("epoch", [0])), default=0)
    texts = {"report": str(run.path / REPORT),
             "model card": card.read_text(encoding="utf-8") if card.is_file() else ""}
    scalars = chain(_curves(run), ((last, name, value) for name, value in _figures(run).items()))
    writer = EventFileWriter(str(folder))
    for step, summary in chain(
            [(0, hparams_pb(_parameters(run), trial_id=run.name))],
            ((0, text_pb(name, text)) for name, text in texts.items() if text),
            ((step, scalar_pb(name, value)) for step, name, value in scalars)):
        writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
    writer.close()
    return folder


def _to_mlflow(run: RunFolder, place: Path) -> Path:
    """Parameters, metrics by epoch, figures, and the report with its records as artefacts."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # an offline program tells nobody that it runs
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    store = place / _STORE
    client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or store.absolute().as_uri())
    known = client.get_experiment_by_name(_EXPERIMENT)
    experiment = known.experiment_id if known else client.create_experiment(_EXPERIMENT)
    if client.search_runs([experiment], f"attributes.run_name = '{run.name}'"):
        return store
    told, now = client.create_run(experiment, run_name=run.name).info.run_id, int(time.time() * 1000)
    last = max(map(int, run.history.get("epoch", [0])), default=0)
    client.log_batch(told, params=[Param(name, str(value)) for name, value in _parameters(run).items()],
                     metrics=[*(Metric(name, value, now, step) for step, name, value in _curves(run)),
                              *(Metric(name, value, now, last) for name, value in _figures(run).items())])
    for name in _FILES:
        if (run.path / name).is_file():
            client.log_artifact(told, str(run.path / name))
    client.set_terminated(told)
    return store


TRACKERS: Mapping[str, Callable[[RunFolder, Path], Path]] = {TENSORBOARD: _to_tensorboard, MLFLOW: _to_mlflow}
