"""A run's folder: its file names, what a finished one holds, and what of it is published beside the runs."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.shards import is_file
from pneumo_tf.errors import PneumoError
from pneumo_tf.evaluation.operating_point import DEFAULT, choose
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.language import say
from pneumo_tf.places import project_root
from pneumo_tf.storage import from_csv, read_json, replacing

# Every name in a run's folder: what its training leaves,
RUN, METRICS, SPLIT, PREDICTIONS, HISTORY, REFERENCE = \
    "run.json", "metrics.json", "split.csv", "predictions.csv", "history.csv", "reference.npz"
ARCHITECTURE, WEIGHTS, COMPLETE = "model.json", "modelo.h5", "modelo.keras"
REPORT, MODEL_CARD, FIGURES = "report.html", "model_card.md", "figures"
# what later commands add (records, then the folders of their pictures and reports),
ROBUSTNESS, REPEATS = "robustness.json", "repeats.json"
PERTURBED_FILMS, EXPLANATIONS, EXTERNAL = "robustness", "explanations", "external"
EXPLANATIONS_RECORD, PANEL = "explanations.json", "panel.png"
GRAPHS, OPERATING_POINTS, EXPORTS, CONTRACT = "graphs", "operating_points", "exports", "export.json"
# and the folders of an output that hold runs.
RUNS, UNFINISHED = "runs", ".unfinished"
# What of the last run lies beside the runs.
PUBLISHED = (ARCHITECTURE, WEIGHTS, COMPLETE, REPORT, MODEL_CARD)

# What run.json and metrics.json hold where they are read without looking: a value that is there is of that
# kind, or null. Older runs lack some.
_FACTS: Mapping[str, Any] = {
    "name": str, "created": str, "command": [str], "classes": [str], "positive": str, "recipe": str,
    "backbone": str, "engine": str, "options": {"lang": str},
    "operating_point": {"threshold": float, "rule": str},
    "calibration": {"method": str}, "data": {"films": str, "labels": str}, "input": {"depth": int},
    "preparation": {"options": {"brightness": float, "contrast": float, "size": int, "fit": str,
                                "color": bool, "depth": int}},
    "reference": {"novelty": {"threshold": float}, "mirrored": {"threshold": float},
                  "lungs": {"found": float, "of": float}},
    "versions": {}, "weights": {}, "device": {}, "pace": {}, "flow": [{}], "stages": [{}],
    "films_without_patient": int}
_FIGURES: Mapping[str, Any] = {
    "test": {"figures": {}, "calibration": {}}, "validation": {"figures": {}, "calibrators": {}},
    "stress": {}, "near_duplicates": {"across": int}}
_REMEDY = "Name the folder of a finished run, such as model/runs/<name>."


class RunError(PneumoError):
    """A folder that is no finished run, or a run that can't do what is asked of it."""


class _LackingError(RunError, KeyError):
    """A name that a record of a run should have; whoever can do without it takes it for a KeyError."""

    __str__ = PneumoError.__str__  # and not that of KeyError, which quotes


class _Record(dict[str, Any]):
    """An object of a JSON file, `file`, which is named where something is missing in it."""

    def __init__(self, content: Mapping[str, Any], file: Path) -> None:
        super().__init__(content)
        self._file = file

    def __missing__(self, name: str) -> Any:
        raise _LackingError(f"{self._file.name} must be whole.", received=f"{self._file} without {name}",
                            remedy=_REMEDY)


@dataclass(frozen=True)
class RunFolder:
    """The record of a finished run.

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

    def scores(self, split: str) -> Scores:
        """What predictions.csv says of the films of one split: "train", "validation" or "test".

        Raises:
            ScoreError: There are none.
        """
        table = self.predictions[self.predictions["split"] == split]
        return Scores.of_predictions(table, self.classes, self.positive)

    def fix_threshold(self, films: Scores) -> float | None:
        """The operating point that the run's rule fixes on other films; None for several classes.

        Raises:
            LabelError: Films of one class alone, which fix none.
        """
        rule = str((self.facts.get("operating_point") or {}).get("rule") or DEFAULT)
        return choose(films, rule=rule if films.is_binary else DEFAULT).threshold

    def record(self, name: str) -> dict[str, Any]:
        """A JSON file that a later command may have left in the run; empty where it left none.

        Raises:
            RunError: It is there, but no JSON.
        """
        path = self.path / name
        return _read_json(path, needed=()) if path.is_file() else {}

    @property
    def films_folder(self) -> Path:
        """Where the run's films lay; the current folder where that was never noted."""
        return Path((self.facts.get("data") or {}).get("films") or ".").expanduser()

    def film_path(self, file: str) -> Path | None:
        """Where a film of split.csv lies now; None where it is gone or was never noted."""
        films = self.films_folder
        places = [films, project_root() / films, self.path / films]
        found = (place / file for place in places if file and is_file(place / file))
        return next(found, None)


def read_run(folder: Path) -> RunFolder:
    """Read a run folder.

    Raises:
        RunError: A file is missing, can't be read, or isn't whole.
        LabelError: split.csv is no table of radiographs.
    """
    facts = _read_json(folder / RUN, needed=("classes", "positive"), form=_FACTS)
    _check_classes(folder / RUN, facts)
    metrics = _read_json(folder / METRICS, needed=("test",), form=_FIGURES)
    cohort = Cohort.read_csv(_existing(folder / SPLIT))
    predictions = _read_table(folder / PREDICTIONS)
    scores = [f"p_{name}" for name in facts["classes"]]
    missing = [name for name in ["id", "split", "label", "predicted", *scores] if name not in predictions]
    if missing:
        raise RunError(f"{PREDICTIONS} must have a score for every class.",
                       received=f"{folder / PREDICTIONS} without {', '.join(missing)}", remedy=_REMEDY)
    predictions[scores] = predictions[scores].apply(pd.to_numeric, errors="coerce")
    history = _read_table(folder / HISTORY).replace("", pd.NA)
    phase = history.pop("phase") if "phase" in history else None
    history = history.apply(pd.to_numeric, errors="coerce")
    if phase is not None:
        history["phase"] = phase
    return RunFolder(folder, facts, metrics, history, cohort, predictions)


def last_run(output: Path, *, needed: Sequence[str] = (RUN,)) -> Path | None:
    """The last run of an output folder that has the needed files; None where there is none."""
    runs = [run for run in (output / RUNS).glob("[!.]*") if all((run / name).is_file() for name in needed)]
    return max(runs, key=lambda run: run.name, default=None)


def publish(run: Path, output: Path) -> None:
    """Copy a run's network and report to where the next program looks, and say whose they replace.

    Those of another run stay in its folder; those of none are kept in a folder of their own.

    Raises:
        StorageError: The disk refuses.
    """
    if (output / WEIGHTS).is_file():
        runs = sorted((output / RUNS).glob("[!.]*"), reverse=True)
        before = next((one for one in runs if _is_copy(output / WEIGHTS, one / WEIGHTS)), None)
        if before is None:
            before = output / f"before-{run.name}"
            _copy(output, before)
        say(f"{output / WEIGHTS} and what lies beside it are replaced; they are kept in {before}.",
            aside=True)
    _copy(run, output)


def _copy(run: Path, output: Path, names: Iterable[str] = PUBLISHED) -> None:
    for name in names:
        if (run / name).is_file():
            with replacing(output / name) as temporary:
                shutil.copyfile(run / name, temporary)


@contextmanager
def republishing(run: Path) -> Iterator[None]:
    """Publish a run's report and model card again after the block, where they and no other run's are."""
    # Not resolved: the folder of runs may be a link to another disk.
    output = Path(os.path.abspath(run)).parent.parent  # noqa: PTH100
    published = [name for name in (REPORT, MODEL_CARD) if _is_copy(output / name, run / name)]
    yield
    _copy(run, output, published)


def _is_copy(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise RunError("A finished run must have all of its files.",
                       received=f"no {path.name} in {path.parent}", remedy=_REMEDY)
    return path


def _read_json(path: Path, *, needed: tuple[str, ...],
               form: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    try:
        content = read_json(_existing(path), hook=partial(_Record, file=path))
    except (OSError, ValueError) as failure:  # includes text that isn't UTF-8
        raise RunError(f"{path.name} must be JSON.", received=f"{path} ({failure})",
                       remedy=_REMEDY) from failure
    if not isinstance(content, _Record):
        raise RunError(f"{path.name} must be whole.", received=f"{path} without names", remedy=_REMEDY)
    for name in needed:
        if content[name] is None:
            content.__missing__(name)
    if misfit := next(_misfits(content, form), ""):
        raise RunError(f"{path.name} must be as it was written.", received=f"{path} with another {misfit}",
                       remedy=_REMEDY)
    return content


def _misfits(content: Any, form: Any, name: str = "") -> Iterator[str]:
    """Names of the values that aren't of their form's kind: an object, a list of one kind, or a type."""
    if content is None:
        return
    if isinstance(form, Mapping) and isinstance(content, dict):
        for key in form.keys() & content.keys():
            yield from _misfits(content[key], form[key], f"{name}.{key}" if name else key)
    elif isinstance(form, list) and isinstance(content, list):
        for part in content:
            yield from _misfits(part, form[0], name)
    elif type(content) is not form and not (form is float and type(content) is int):
        yield name


def _check_classes(path: Path, facts: Mapping[str, Any]) -> None:
    classes = facts["classes"]
    if len(classes) < 2 or len(set(classes)) < len(classes) or None in classes \
            or facts["positive"] not in classes:
        raise RunError("A run must tell two classes or more apart, and look for one of them.",
                       received=f"{path} with {str(facts['positive'])[:80]!r} among {str(classes)[:200]}",
                       remedy=_REMEDY)
    threshold = (facts.get("operating_point") or {}).get("threshold")
    if threshold is not None and not 0 <= threshold <= 1:
        raise RunError("A threshold must lie between 0 and 1.", received=f"{path} with {threshold}",
                       remedy=_REMEDY)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return from_csv(pd.read_csv(_existing(path), dtype=str, keep_default_na=False, encoding="utf-8-sig"))
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (ValueError, pd.errors.ParserError) as failure:
        raise RunError(f"{path.name} must be UTF-8 CSV.", received=f"{path} ({failure})",
                       remedy=_REMEDY) from failure
