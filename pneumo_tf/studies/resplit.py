"""A finished run asked twice: would another split say the same, and would more films help?

Only heads are fitted anew. Nothing is chosen by what comes out, and the run's own model, threshold and
figures stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.patients import owner
from pneumo_tf.data.splits import SPLITS, split_cohort
from pneumo_tf.errors import OptionError
from pneumo_tf.evaluation.figures import Judged, area_name
from pneumo_tf.evaluation.learning_curve import balanced_log_loss, nested_order, outlook, sizes
from pneumo_tf.evaluation.over_splits import over_splits, split_figures
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.progress import progress_bar
from pneumo_tf.report.page import rewrite_report
from pneumo_tf.runs.folder import REPEATS, RunFolder, read_run
from pneumo_tf.storage import make_folder, write_json
from pneumo_tf.studies.refit import Refit, refit

DRAWS = 5  # of patients, for each size of the learning curve
_FEWEST = 10  # patients at which the curve begins
# Changes that are worth a word: of the area under the ROC curve, and of the log loss in nats.
_SMALLEST = {"area": 0.001, "log_loss": 0.005}


def repeat_study(run_folder: Path, *, repeats: int = 5, seed: int = 42, threads: int | None = None,
                 engine: str | None = None, cache: Path | None = None, lang: str = "en") -> Path:
    """Judge a finished run's recipe on other splits of its films, and by the number of patients.

    Runs of the recipes `fast` and `ensemble` are repeated as they are. Of any other run the recipe `fast`
    is repeated on its backbone with the pretrained weights: the run's own network was taught films that
    another split tests on, so its features would give them away. Writes `repeats.json` into the folder and
    its report again.

    Args:
        run_folder: Of a finished run whose films still lie where they were.
        repeats: Number of other splits, at least 2.
        seed: Of the splits and of the patients drawn; seed, seed + 1 …, leaving out the run's own.
        threads: Of the processor; None takes all cores.
        engine: What computes the frozen network; None takes the run's, whose outputs its cache holds.
        cache: Where pixels and features lie; None takes the run's while it exists, else memory.
        lang: Of the report.

    Returns:
        The path of the report.

    Raises:
        OptionError: Fewer than two repeats, or a run whose backbone nothing has taught.
        RunError: The folder holds no finished run, or its record lacks what a repetition needs.
        FilmError: The films aren't those of the run any more.
        WeightsError: The pretrained weights aren't those of the run.
        LabelError: Too few patients of a class for another split.
        StorageError: The folder can't be written to.
    """
    if repeats < 2:
        raise OptionError("A spread needs at least two repeated splits.", received=str(repeats),
                          remedy="Ask for 5, say.")
    start, run = time.perf_counter(), read_run(run_folder)
    make_folder(run_folder)
    study = refit(run, threads=threads, engine=engine, cache=cache)
    own = study.scores(run.cohort)
    study.check_films(own["all"].values)
    content = {"recipe": study.recipe, "seed": seed,
               **_other_splits(study, own, seeds=_seeds(run, repeats, seed)),
               "learning": _learning_curve(study, own["test"], seed=seed)}
    write_json(run_folder / REPEATS, {**content, "seconds": round(time.perf_counter() - start, 1)})
    return rewrite_report(run_folder, lang=lang)


def _seeds(run: RunFolder, repeats: int, seed: int) -> list[int]:
    options = run.facts["options"]
    own = options["seed"] if options.get("split_seed") is None else options["split_seed"]
    return [other for other in range(seed, seed + repeats + 1) if other != own][:repeats]


def _other_splits(study: Refit, own: Mapping[str, Scores], *, seeds: Sequence[int]) -> dict[str, Any]:
    """Each split's figures, and each figure over the splits beside that of the run's own."""
    options, cohort = study.run.facts["options"], study.run.cohort
    splits = []
    with progress_bar("Other splits", len(seeds)) as advance:
        for seed in seeds:
            other = split_cohort(cohort, test_fraction=options["test_fraction"], seed=seed,
                                 validation_fraction=options["validation_fraction"])
            splits.append({"seed": seed, **_split(study, other, study.scores(other))})
            advance(1)
    ratio = float(np.mean([_ratio(split["patients"]) for split in splits]))
    mine = _split(study, cohort, own)
    figures = {name: {**over_splits([split["figures"][name] for split in splits], ratio=ratio),
                      "own": mine["figures"][name]}
               for name in mine["figures"]}
    return {"repeats": len(seeds), "test_to_rest": ratio, "figures": figures, "own": mine, "splits": splits}


def _split(study: Refit, cohort: Cohort, scores: Mapping[str, Scores]) -> dict[str, Any]:
    threshold = study.run.fix_threshold(scores["judged"])
    return {"films": _counts(cohort, lambda part: len(part)),
            "patients": _counts(cohort, lambda part: len({owner(film) for film in part})),
            "threshold": threshold, "figures": split_figures(scores["test"], threshold)}


def _counts(cohort: Cohort, count: Callable[[Cohort], int]) -> dict[str, int]:
    return {split: count(cohort.subset(split)) for split in SPLITS}


def _ratio(patients: Mapping[str, int]) -> float:
    """Test patients for each of the rest."""
    return patients["test"] / (patients["train"] + patients["validation"])


def _learning_curve(study: Refit, own: Scores, *, seed: int) -> dict[str, Any]:
    """Figures of the run's test films by the number of patients learnt from, and where they lead."""
    kinds = _kinds(study.run.cohort.subset("train"))
    steps = sizes(len(kinds), fewest=max(_FEWEST, 2 * len(set(kinds.values()))))
    rows: list[list[tuple[float, ...]]] = []
    with progress_bar("Learning curve (patients)", DRAWS * sum(steps[:-1])) as advance:
        for draw in range(DRAWS):
            order = nested_order(list(kinds.values()), np.random.default_rng([seed, draw]))
            rows.append([])
            for size in steps[:-1]:
                cohort = _taught_by({list(kinds)[place] for place in order[:size]}, study.run.cohort)
                rows[-1].append(_point(cohort, study.scores(cohort)["test"]))
                advance(size)
            rows[-1].append(_point(study.run.cohort, own))
    films, areas, losses = np.moveaxis(np.array(rows), 2, 0)  # (draws, sizes) each
    return {"draws": DRAWS,
            "sizes": [{"patients": size, "films": float(films[:, place].mean()),
                       "area": _range(areas[:, place]), "log_loss": _range(losses[:, place])}
                      for place, size in enumerate(steps)],
            "outlook": {"area": outlook(steps, 1 - areas, smallest=_SMALLEST["area"]),
                        "log_loss": outlook(steps, losses, smallest=_SMALLEST["log_loss"])}}


def _kinds(films: Cohort) -> dict[str, str]:
    """Each patient's classes and subtypes in one text, the patients by name."""
    found: dict[str, set[tuple[str, str]]] = {}
    for film in films:
        found.setdefault(owner(film), set()).add((film.label, film.subtype))
    return {patient: repr(sorted(found[patient])) for patient in sorted(found)}


def _taught_by(patients: set[str], cohort: Cohort) -> Cohort:
    """The same split with fewer training patients; the others' films have no split."""
    return cohort.with_column("split", ["" if film.split == "train" and owner(film) not in patients
                                        else film.split for film in cohort])


def _point(cohort: Cohort, test: Scores) -> tuple[float, ...]:
    """Training films, the area under the ROC curve, and the log loss."""
    return float(len(cohort.subset("train"))), Judged(test).value(area_name(test)), balanced_log_loss(test)


def _range(values: np.ndarray) -> dict[str, Any]:
    """Mean and range over the draws; all patients can be drawn in one way only."""
    low, high = float(values.min()), float(values.max())
    return {"value": float(values.mean()), "low": low, "high": high, "method": "range over the draws",
            "n": len(values) if low < high else 1}
