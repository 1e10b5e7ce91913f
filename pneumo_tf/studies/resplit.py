"""A finished run asked twice: would another split say the same, and would more films help?

Only heads are fitted anew. Nothing is chosen by what comes out, and the run's own model, threshold and
figures stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.patients import owner
from pneumo_tf.data.splits import SPLITS, split_cohort
from pneumo_tf.errors import FilmError, OptionError, WeightsError
from pneumo_tf.evaluation.figures import Judged, area_name
from pneumo_tf.evaluation.refits import (
    balanced_log_loss,
    nested_order,
    outlook,
    over_splits,
    sizes,
    split_figures,
)
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.models.weights.pretrained import NONE
from pneumo_tf.progress import progress_bar
from pneumo_tf.report.page import rewrite_report
from pneumo_tf.runs.folder import PREDICTIONS, REPEATS, RunError, RunFolder, read_run
from pneumo_tf.runs.predictor import BATCH, load_network
from pneumo_tf.storage import make_folder, write_json
from pneumo_tf.studies.plan import Plan, StudyOptions, settle
from pneumo_tf.training.engine import KERAS
from pneumo_tf.training.fast import Extracted, Fast
from pneumo_tf.training.machine import StageRecorder
from pneumo_tf.training.task import Member, Task

DRAWS = 5  # of patients, for each size of the learning curve
_FEWEST = 10  # patients at which the curve begins
# Changes that are worth a word: of the area under the ROC curve, and of the log loss in nats.
_SMALLEST = {"area": 0.001, "log_loss": 0.005}
_HEADS = ("fast", "ensemble")  # recipes that learn nothing but heads
_NEEDED = ("options", "recipe", "backbone", "weights", "input", "data")
# Views in bfloat16 move a head's scores by up to 0.02 from one machine to the next; other films move them
# further. The exported network gives its scores again but for their last digits.
_SAME, _SAME_NETWORK = 0.1, 5e-3
_CHECKED = 256  # films that a network is asked about


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
                                 validation_fraction=options["validation_fraction"],
                                 positive=study.run.positive)
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


@dataclass(frozen=True)
class Refit:
    """A run's films with what its frozen network says of them, ready for a head on any split.

    Attributes:
        run: As it lies on disk.
        task: All films, in the order of the run's split.csv.
        heads: Of each member its recipe, itself, and the features of all films and views.
    """

    run: RunFolder
    task: Task
    heads: Sequence[tuple[Fast, Member, Extracted]]

    @property
    def recipe(self) -> str:
        """Name of the recipe that is repeated."""
        return "ensemble" if len(self.heads) > 1 else "fast"

    def scores(self, cohort: Cohort) -> dict[str, Scores]:
        """What heads fitted on a split say of "all" films, of its "test" films, and of the "judged" ones.

        The threshold is fixed on those judged: the validation films, and where they are few the training
        films too, each scored by a head that never saw its patient.

        Args:
            cohort: The films in the task's order; those without a split teach and judge nothing.
        """
        task = replace(self.task, cohort=cohort)
        fitted = [recipe.fit(replace(task, members=(member,)), features)
                  for recipe, member, features in self.heads]
        values = np.mean([part.scores for part in fitted], axis=0)
        unseen, held_out = values.copy(), sorted(set.intersection(*(set(part.held_out) for part in fitted)))
        for row in held_out:
            unseen[row] = np.mean([part.held_out[row] for part in fitted], axis=0)
        said = partial(Scores.of_cohort, cohort, positive=self.run.positive, classes=self.run.classes)
        return {"all": said(values), "test": said(values, rows=task.rows("test").tolist()),
                "judged": said(unseen, rows=[*task.rows("validation"), *held_out])}

    def check_films(self, fitted: np.ndarray) -> None:
        """Make sure that the films still give the run's own scores.

        Where the run taught its backbone too, films from all over the cohort are shown to the network that it
        exported.

        Args:
            fitted: Scores (N, K) of heads that were fitted on the run's own split.

        Raises:
            FilmError: They don't: the films were prepared otherwise since.
            RunError: The run has no network.
        """
        columns = [f"p_{name}" for name in self.run.classes]
        known = self.run.predictions.set_index("id").loc[self.task.cohort.ids, columns].to_numpy()
        found, same = fitted, _SAME
        if self.run.facts["recipe"] not in _HEADS:
            rows = np.linspace(0, len(known) - 1, min(len(known), _CHECKED)).round().astype(int)
            network, pixels = self.task.frozen(load_network(self.run)), self.task.pixels
            parts = np.array_split(rows, -(-len(rows) // BATCH))
            found, same = np.concatenate([network(pixels.batch(part)) for part in parts]), _SAME_NETWORK
            known = known[rows]
        difference = float(np.abs(known - found).max())
        if not difference <= same:
            raise _other_films(f"films whose scores differ by up to {difference:.2g} from {PREDICTIONS}")


def refit(run: RunFolder, *, threads: int | None = None, engine: str | None = None,
          cache: Path | None = None) -> Refit:
    """The features of all films of a run and of their views, from its cache or computed.

    Args:
        run: Of the recipes `fast` and `ensemble` the run's own heads are fitted; of any other the head of
            `fast` on its backbone with the pretrained weights.
        threads: Of the processor; None takes all cores.
        engine: What computes the frozen network; None takes the run's, whose outputs its cache holds.
        cache: Where pixels and features lie; None takes the run's while it exists, else memory.

    Raises:
        OptionError: A run whose backbone nothing has taught.
        RunError: The run's record lacks something.
        FilmError: Films can't be read.
        WeightsError: The pretrained weights aren't those of the run.
    """
    plan = _plan(run, threads=threads, engine=engine, cache=cache)
    cohort, pixels = plan.decode(run.cohort)
    if len(cohort) < len(run.cohort):
        gone = sorted(set(run.cohort.ids) - set(cohort.ids))
        raise _other_films(f"{len(gone)} of {len(run.cohort)} that can't be read in {plan.options.films}, "
                           f"e.g. {gone[0]}")
    # Every film may be learnt from in some split, so all get their views.
    task = plan.task(cohort.with_column("split", ["train"] * len(cohort)), pixels, StageRecorder())
    keras.utils.set_random_seed(plan.options.seed)
    recipes = [_fast(plan, member) for member in plan.members]
    return Refit(run, task, [(recipe, member, recipe.extract(task, *member))
                             for recipe, member in zip(recipes, plan.members, strict=True)])


def _plan(run: RunFolder, *, threads: int | None, engine: str | None, cache: Path | None) -> Plan:
    """What the run's record settles."""
    facts = run.facts
    if missing := [name for name in _NEEDED if not facts.get(name)]:
        raise RunError("A run is repeated from its record.",
                       received=f"run.json in {run.path} without {', '.join(missing)}",
                       remedy="Train again with binary_class.py.")
    options, is_own = facts["options"], facts["recipe"] in _HEADS
    if facts["recipe"] != "fast" and options["weights"] == NONE:
        raise OptionError("Repeated splits need a backbone that was taught before the run.",
                          received=f"a run of {facts['recipe']} that began with random weights",
                          remedy="Repeat a run with pretrained weights, or train anew with other seeds.")
    own_cache = Path(options["cache"]) if options.get("cache") else None
    plan = settle(StudyOptions(
        films=Path(facts["data"]["films"]), labels=Path(facts["data"]["labels"]), output=run.path,
        recipe=facts["recipe"] if is_own else "fast", settings=facts["recipe_settings"] if is_own else {},
        epochs=options["epochs"] if is_own else StudyOptions.epochs, backbone=facts["backbone"],
        weights=options["weights"], image_size=facts["input"]["height"], seed=options["seed"],
        threads=threads, engine=engine or facts.get("engine") or KERAS,
        cache=cache or (own_cache if own_cache and own_cache.is_dir() else None)))
    _check_weights(plan, facts["weights"]["sha256"])
    return plan


def _check_weights(plan: Plan, wanted: str) -> None:
    if " + ".join(member.weights.sha256 for member in plan.members) != wanted:
        found = " + ".join(member.weights.source for member in plan.members)
        raise WeightsError("A run is repeated with the weights that it began with.",
                           received=f"{found}, with another hash",
                           remedy="Put back the file that the run used.")


def _fast(plan: Plan, member: Member) -> Fast:
    """The recipe of one member's head."""
    if isinstance(plan.recipe, Fast):
        return plan.recipe
    settings = asdict(plan.recipe)
    views = settings.pop("views")
    return Fast(**settings, views=member.backbone.views if views is None else views)


def _other_films(received: str) -> FilmError:
    return FilmError("A run is repeated on the films that it was trained on.", received=received,
                     remedy="Put the prepared films back, or train again with binary_class.py.")
