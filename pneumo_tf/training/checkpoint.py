"""Where a training stands after each epoch, on disk, so that a killed one can go on."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pneumo_tf.errors import TrainingError
from pneumo_tf.storage import replacing
from pneumo_tf.training.optimizers import Rates

Row = dict[str, Any]
Arrays = list[np.ndarray]


@dataclass(kw_only=True)
class Standing:
    """Where a training stands between two epochs.

    Attributes:
        step: Index of the recipe's step.
        epochs: Epochs of that step that are finished.
        over: Whether the step has ended, by its epochs or early.
        rates: Learning rates of the step; None until they are chosen.
        history: One row of figures per finished epoch of all steps.
        stopping: State of the early stopping; empty where there is none.
        model: Every variable of the model, dropout's random state among them.
        optimizer: Every variable of the optimizer, its step number and thereby its schedule among them.
        best: The model's variables after the best epoch of the step; empty where they are the present ones.
    """

    step: int = 0
    epochs: int = 0
    over: bool = False
    rates: Rates | None = None
    history: list[Row] = field(default_factory=list)
    stopping: dict[str, Any] = field(default_factory=dict)
    model: Arrays = field(default_factory=list)
    optimizer: Arrays = field(default_factory=list)
    best: Arrays = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoint:
    """The file that a standing is kept in; without a path nothing is kept and nothing found."""

    path: Path | None = None

    def write(self, standing: Standing) -> None:
        """Replace the file by the present standing.

        Raises:
            StorageError: The disk refuses.
        """
        if self.path is None:
            return
        facts = {name: getattr(standing, name) for name in ("step", "epochs", "over", "history", "stopping")}
        facts["rates"] = None if standing.rates is None else [standing.rates.low, standing.rates.high]
        arrays = {f"{group}/{number}": array for group in ("model", "optimizer", "best")
                  for number, array in enumerate(getattr(standing, group))}
        with replacing(self.path) as temporary:
            np.savez(temporary, allow_pickle=False, facts=np.array(json.dumps(facts)), **arrays)

    def read(self) -> Standing | None:
        """The standing that was kept last, or None.

        Raises:
            TrainingError: The file is damaged.
        """
        if self.path is None or not self.path.is_file():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                facts: dict[str, Any] = json.loads(str(file["facts"]))
                rates = facts.pop("rates")
                facts |= {group: _numbered(file, group) for group in ("model", "optimizer", "best")}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as failure:
            raise TrainingError("A checkpoint must be whole to be resumed from.",
                                received=f"{self.path} ({type(failure).__name__})",
                                remedy="Start the training again without --resume.") from failure
        return Standing(**facts, rates=rates and Rates(*rates))


def _numbered(file: Any, group: str) -> Arrays:
    """The arrays group/0, group/1, … in order."""
    count = sum(name.startswith(f"{group}/") for name in file.files)
    return [file[f"{group}/{number}"] for number in range(count)]
