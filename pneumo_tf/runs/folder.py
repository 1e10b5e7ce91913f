"""A finished run as it lies on disk: the report reads this and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pneumo_tf.cohort import Cohort
from pneumo_tf.errors import PneumoError
from pneumo_tf.places import project_root

# Every name in a run's folder: what its training leaves,
RUN, METRICS, SPLIT, PREDICTIONS, HISTORY = \
    "run.json", "metrics.json", "split.csv", "predictions.csv", "history.csv"
ARCHITECTURE, WEIGHTS, COMPLETE = "model.json", "modelo.h5", "modelo.keras"
REPORT, MODEL_CARD, FIGURES = "report.html", "model_card.md", "figures"
# what later commands add (records, then the folders of their pictures and reports),
ROBUSTNESS, REPEATS = "robustness.json", "repeats.json"
PERTURBED_FILMS, EXPLANATIONS, EXTERNAL = "robustness", "explanations", "external"
EXPLANATIONS_RECORD, PANEL = "explanations.json", "panel.png"
# and the folders of an output that hold runs.
RUNS, UNFINISHED = "runs", ".unfinished"

_REMEDY = "Name the folder of a finished run, such as model/runs/<name>."


class RunError(PneumoError):
    """A run folder that no report can be written from."""


@dataclass(frozen=True)
class RunFolder:
    """The five files of a run.

    Attributes:
        path: The folder.
        facts: run.json.
        metrics: metrics.json: the figures of each split.
        history: history.csv, one row per epoch; empty where nothing was trained by epochs.
        cohort: split.csv.
        predictions: predictions.csv: text columns, and one float column `p_<CLASS>` per class.
    """

    path: Path
    facts: dict[str, Any]
    metrics: dict[str, Any]
    history: pd.DataFrame
    cohort: Cohort
    predictions: pd.DataFrame

    @property
    def name(self) -> str:
        return str(self.facts.get("name") or self.path.name)

    @property
    def classes(self) -> list[str]:
        return list(self.facts["classes"])

    @property
    def positive(self) -> str:
        return str(self.facts["positive"])

    @property
    def test(self) -> dict[str, Any]:
        """The figures of the test split."""
        return dict(self.metrics["test"])

    @property
    def is_binary(self) -> bool:
        return len(self.classes) == 2

    @property
    def threshold(self) -> float | None:
        point = self.facts.get("operating_point") or {}
        return point.get("threshold")

    @property
    def wrong(self) -> int:
        """Number of test films that got another class than theirs."""
        tested = self.predictions[self.predictions["split"] == "test"]
        return int((tested["label"] != tested["predicted"]).sum())

    def record(self, name: str) -> dict[str, Any]:
        """A JSON file that a later command may have left in the run; empty where it left none.

        Raises:
            RunError: It is there, but no JSON.
        """
        path = self.path / name
        return _read_json(path, needed=()) if path.is_file() else {}

    def film_path(self, file: str) -> Path | None:
        """Where a film of split.csv lies now; None where it is gone or was never noted."""
        films = Path((self.facts.get("data") or {}).get("films") or ".").expanduser()
        places = [films, project_root() / films, self.path / films]
        found = (place / file for place in places if file and (place / file).is_file())
        return next(found, None)


def read_run(folder: Path) -> RunFolder:
    """Read a run folder.

    Raises:
        RunError: A file is missing or can't be read, or lacks what a report needs.
        LabelError: split.csv is no table of radiographs.
    """
    facts = _read_json(folder / "run.json", needed=("classes", "positive"))
    metrics = _read_json(folder / "metrics.json", needed=("test",))
    cohort = Cohort.read_csv(_existing(folder / "split.csv"))
    predictions = _read_table(folder / "predictions.csv")
    scores = [f"p_{name}" for name in facts["classes"]]
    missing = [name for name in ["id", "split", "label", "predicted", *scores] if name not in predictions]
    if missing:
        raise RunError("predictions.csv must have a score for every class.",
                       received=f"{folder / 'predictions.csv'} without {', '.join(missing)}", remedy=_REMEDY)
    predictions[scores] = predictions[scores].apply(pd.to_numeric, errors="coerce")
    history = _read_table(folder / "history.csv").replace("", pd.NA)
    phase = history.pop("phase") if "phase" in history else None
    history = history.apply(pd.to_numeric, errors="coerce")
    if phase is not None:
        history["phase"] = phase
    return RunFolder(folder, facts, metrics, history, cohort, predictions)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise RunError("A report is written from a finished run.",
                       received=f"no {path.name} in {path.parent}", remedy=_REMEDY)
    return path


def _read_json(path: Path, *, needed: tuple[str, ...]) -> dict[str, Any]:
    try:
        content = json.loads(_existing(path).read_text(encoding="utf-8"))
    except ValueError as failure:  # includes text that isn't UTF-8
        raise RunError(f"{path.name} must be JSON.", received=f"{path} ({failure})",
                       remedy=_REMEDY) from failure
    known = content if isinstance(content, dict) else {}
    missing = [key for key in needed if key not in known]
    if missing or known is not content:
        raise RunError(f"{path.name} must say what the report needs.",
                       received=f"{path} without {', '.join(missing) or 'names'}", remedy=_REMEDY)
    return known


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(_existing(path), dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (ValueError, pd.errors.ParserError) as failure:
        raise RunError(f"{path.name} must be UTF-8 CSV.", received=f"{path} ({failure})",
                       remedy=_REMEDY) from failure
