"""A run fitted to a place by labelled films from there: an operating point by the place's name.

Writes `operating_points/<name>.json` into the run's folder. The network stays as it is.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from pneumo_tf.cohort import table_sha256
from pneumo_tf.errors import OptionError
from pneumo_tf.evaluation.adaptation import Point, check_enough, fit_point, gains
from pneumo_tf.evaluation.operating_point import parse_rule
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.places import folder_name
from pneumo_tf.progress import announce
from pneumo_tf.runs.folder import read_run
from pneumo_tf.runs.operating_points import RunPoint, keep_point, names_of, point_of
from pneumo_tf.storage import make_folder
from pneumo_tf.studies.other_films import Elsewhere, known_films, score_films


def adapt_run(folder: Path, elsewhere: Elsewhere, *, rule: str | None = None) -> RunPoint:
    """Fit a finished run's threshold and calibrator to a place.

    Args:
        folder: The run's.
        elsewhere: The labelled films; their name is that of the operating point, which `replace` lets take
            the place of another.
        rule: How the threshold is fixed, as `parse_rule` reads it; None takes the run's own.

    Returns:
        The operating point as it is kept; its record tells `figures` as `evaluation.adaptation.gains` gives
        them, and the run's `own` threshold.

    Raises:
        RunError: The folder is no finished run.
        OptionError: There is an operating point of this name, from other films or options.
        LabelError: Too few films, or patients of a class; classes that the run doesn't know.
        FilmError: A film is unreadable, was prepared in another way, or is known to the run.
        StorageError: The run's folder can't be written to.
    """
    name = folder_name(elsewhere.name.strip() or elsewhere.films.resolve().name, what="an operating point")
    run, labels_sha256 = read_run(folder), table_sha256(elsewhere.labels)
    own = point_of(run)
    wanted = parse_rule(rule or own.rule)
    asked = {"films_folder": str(elsewhere.films.absolute()), "labels": str(elsewhere.labels.absolute()),
             "labels_sha256": labels_sha256, "seed": elsewhere.seed, "resamples": elsewhere.resamples,
             "rule": str(wanted)}
    # The same again, e.g. after a kill in the last moment, replaces nothing.
    there = point_of(run, name) if name in names_of(run) and not elsewhere.replace else None
    if there is not None and not asked.items() <= there.record.items():
        raise _stays(name, folder)
    cohort = known_films(run, elsewhere)
    groups = [film.patient or f"film {film.id}" for film in cohort]
    check_enough(cohort.labels, groups, run.classes)
    make_folder(folder)
    _, overlap, films = score_films(run, cohort, elsewhere, remedy="Leave them out: what is fitted on films "
                                    "that a run learnt from fits nothing else.")
    announce("Threshold, calibration and what they gain")
    assert own.threshold is not None, "two classes"
    before = Point(own.threshold, own.calibrator)
    point = fit_point(films, before, wanted, seed=elsewhere.seed)
    record = {
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": list(elsewhere.command), **asked, "overlap": overlap, **_numbers(films),
        "own": {"threshold": own.threshold, "rule": own.rule, "calibration": own.calibrator.to_json()},
        "stays": {"threshold": point.threshold == before.threshold,
                  "calibration": point.calibrator == before.calibrator},
        "figures": gains(films, before, point, wanted, seed=elsewhere.seed, resamples=elsewhere.resamples)}
    if there is not None and ((point.threshold, point.calibrator) != (there.threshold, there.calibrator)
                              or record["figures"] != there.record.get("figures")):
        raise _stays(name, folder)
    kept = RunPoint(name, point.threshold, point.calibrator, str(wanted), record)
    keep_point(run, kept)
    return kept


def _stays(name: str, folder: Path) -> OptionError:
    return OptionError("An operating point stays unless it is to be replaced.",
                       received=f"{name}, which {folder} has",
                       remedy="Give another --name, or replace it with --force.")


def _numbers(films: Scores) -> dict[str, Any]:
    labels = Counter(films.classes[label] for label in films.labels)
    return {"films": len(films.ids), "patients": len(set(films.groups)),
            "films_of_class": {name: labels[name] for name in films.classes}}
