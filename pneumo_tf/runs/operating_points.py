"""What a run's scores are held against: its own operating point and calibrator, or those of a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumo_tf.errors import OptionError, closest
from pneumo_tf.evaluation.calibration.calibrators import Calibrator
from pneumo_tf.evaluation.calibration.choice import read_calibrator
from pneumo_tf.evaluation.operating_point import DEFAULT
from pneumo_tf.places import folder_name
from pneumo_tf.runs.folder import OPERATING_POINTS, RunError, RunFolder
from pneumo_tf.storage import write_json


@dataclass(frozen=True)
class RunPoint:
    """An operating point of a run, with the calibrator that goes with it.

    Attributes:
        name: Of the place that it was made for; "" for the run's own.
        threshold: On the positive's uncalibrated score; None for several classes.
        calibrator: What makes probabilities of scores.
        rule: How the threshold was fixed, as `parse_rule` reads it, or "argmax".
        record: All that is known of how it came about, as JSON holds it.
    """

    name: str
    threshold: float | None
    calibrator: Calibrator
    rule: str
    record: Mapping[str, Any]


def point_of(run: RunFolder, name: str = "") -> RunPoint:
    """The run's own operating point, or the one that adapt_pict.py made for a place.

    Raises:
        OptionError: The run has none of this name.
        RunError: A record that isn't whole, or that was made for another run.
        CalibrationError: The record of its calibrator isn't whole.
    """
    if not name:
        own = run.facts.get("operating_point") or {}
        return RunPoint("", run.threshold if run.is_binary else None,
                        read_calibrator(run.facts.get("calibration")), str(own.get("rule") or DEFAULT), own)
    file = f"{OPERATING_POINTS}/{folder_name(name, what='an operating point')}.json"
    record = run.record(file)
    if not record:
        known = names_of(run)
        near = closest(name, known)
        raise OptionError("An operating point must be one that the run has.", received=name,
                          remedy=(f"Did you mean {near}? " if near else "")
                          + (f"It has: {', '.join(known)}." if known else "Make it with adapt_pict.py."))
    threshold = record.get("threshold")
    if record.get("run") != run.name or not isinstance(threshold, float) or not 0 <= threshold <= 1:
        raise RunError("An operating point must be whole, and made for this run.",
                       received=f"{run.path / file}, made for {record.get('run')}, with a threshold of "
                                f"{threshold}", remedy="Make it again with adapt_pict.py.")
    return RunPoint(name, threshold, read_calibrator(record.get("calibration")), str(record.get("rule")),
                    record)


def names_of(run: RunFolder) -> list[str]:
    """The names of the operating points that were made for places."""
    return sorted(path.stem for path in (run.path / OPERATING_POINTS).glob("[!.]*.json"))


def keep_point(run: RunFolder, point: RunPoint) -> Path:
    """Write an operating point into the run's folder, where `point_of` finds it.

    Raises:
        StorageError: The folder can't be written to.
    """
    path = run.path / OPERATING_POINTS / f"{point.name}.json"
    calibration = {**point.calibrator.to_json(), "fitted_on": point.name}
    write_json(path, {**point.record, "name": point.name, "run": run.name, "threshold": point.threshold,
                      "rule": point.rule, "calibration": calibration})
    return path
