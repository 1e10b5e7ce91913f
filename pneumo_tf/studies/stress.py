"""A finished run's test films, scored again: perturbed, and as several views of each.

Stress acts on a film as it came, before the preparation cuts or tones it, because that is where other
hospitals differ; where the originals are gone it acts on the prepared film, and the record says so. Writes
robustness.json into the run's folder and its report anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumo_tf.cohort import Radiograph
from pneumo_tf.data.sources import open_source
from pneumo_tf.errors import FilmError
from pneumo_tf.evaluation.robustness import combined, judge_views, robustness
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.stressed import stress_figures
from pneumo_tf.progress import progress_bar
from pneumo_tf.report.page import rewrite_report
from pneumo_tf.runs.folder import PERTURBED_FILMS, ROBUSTNESS, RunError, RunFolder, read_run
from pneumo_tf.runs.predictor import Film, Predictor, Variant, predictor_of
from pneumo_tf.storage import make_folder, replacing, write_json
from pneumo_tf.studies.originals import Originals, find_originals
from pneumo_tf.studies.perturbations import APART, HOSPITALS, Perturbation, perturbations
from pneumo_tf.training.engine import AUTO
from pneumo_tf.training.views import Augmentation, apply_view, get_preset, sample_view, view_rng

FEWEST = 10
# The network gives the same scores again but for the last digits of another engine.
_SAME = 5e-3
_NEARLY = 0.05  # mean difference of originals that are reduced, then prepared
_REDUCED = 3  # times the network's side
ORIGINALS, AT_HAND = "originals", "films at hand"  # what stress acted on
_SIDE = 112


@dataclass(frozen=True, kw_only=True)
class Rescoring:
    """How a run is scored again.

    Attributes:
        films: Most films of the test split, and of the validation split.
        originals: Folder or archive that the run's films were prepared from; None looks for it.
        views: Of each film, itself among them.
        preset: What the other views are drawn from, a name of training/augment.py.
        engine: "keras", "openvino", or "auto" for what suits the machine.
        threads: Of the processor; None takes all cores.
        seed: Of the choice of films, of the views and the resamples.
        resamples: Behind each interval.
        lang: Of the report.
    """

    films: int = 300
    originals: Path | None = None
    views: int = 8
    preset: str = "films"
    engine: str = AUTO
    threads: int | None = None
    seed: int = 42
    resamples: int = 1000
    lang: str = "en"


def rescore_run(folder: Path, options: Rescoring) -> Path:
    """Score a run's films again, write what came of it and the report.

    Returns:
        The report.

    Raises:
        RunError: The folder is no finished run, or its films no longer give its scores.
        FilmError: A film is gone or unreadable, or there are fewer than 10.
        OptionError: An engine or a preset that doesn't exist.
        StorageError: The folder can't be written to.
    """
    augmentation, run = get_preset(options.preset), read_run(folder)
    make_folder(folder)
    tested = chosen_scores(run, "test", options)
    predictor = predictor_of(run, engine=options.engine, threads=options.threads)
    views = _views(augmentation, options)
    found = _scored(run, predictor, tested, views, description="Test films")
    _confirm(run, tested, found[0])
    changed = perturbations(predictor.read.size)
    before, after, acts_on = _stressed(run, predictor, tested, changed, options)
    content = {
        **_facts(run, tested, predictor, options), "stress": {
            "acts_on": acts_on, **stress_figures(before, after, predictor.threshold, apart=APART,
                                                 together=HOSPITALS, seed=options.seed,
                                                 resamples=options.resamples)},
        "perturbations": robustness(before, after, predictor.threshold, seed=options.seed,
                                    resamples=options.resamples),
        "views": {"count": options.views, "preset": options.preset,
                  **_judged_views(run, predictor, tested, found, options)}}
    _write_pictures(folder / PERTURBED_FILMS, _first_film(run, predictor, tested), changed)
    write_json(folder / ROBUSTNESS, content)
    return rewrite_report(folder, lang=options.lang)


def chosen_scores(run: RunFolder, split: str, options: Rescoring) -> Scores:
    """The recorded scores of at most so many films of a split, each class as frequent as in all of it.

    Whole patients in random order, so that few patients with many films aren't rarer than in the split.

    Raises:
        FilmError: Fewer than 10.
    """
    scores = run.scores(split)
    if len(scores.ids) < FEWEST:
        raise FilmError(f"At least {FEWEST} films must be scored again.",
                        received=f"{len(scores.ids)} films of the {split} split",
                        remedy="Train with more films.")
    keys, member = np.unique(scores.groups, return_inverse=True)
    rank = np.random.default_rng(options.seed).permutation(len(keys))[member]
    share = min(1.0, options.films / len(scores.ids))
    rows = [row for index in range(len(scores.classes))
            for row in _first_of_class(scores, index, rank, share)]
    return scores.take(np.sort(rows).astype(int))


def _first_of_class(scores: Scores, index: int, rank: NDArray[np.integer], share: float) -> list[int]:
    rows = np.flatnonzero(scores.labels == index)
    return rows[np.argsort(rank[rows], kind="stable")][: max(1, round(share * len(rows)))].tolist()


def _views(augmentation: Augmentation, options: Rescoring) -> list[Variant]:
    """The film itself, then views drawn by the film's place in the cohort, however many films are scored."""
    def drawn(film: Film, number: int, *, view: int) -> Film:
        return apply_view(film, sample_view(augmentation, view_rng(options.seed, number, view)))

    return [lambda film, _: film, *(partial(drawn, view=view) for view in range(1, options.views))]


def _stressed(run: RunFolder, predictor: Predictor, tested: Scores, changed: Mapping[str, Perturbation],
              options: Rescoring) -> tuple[Scores, dict[str, NDArray[np.float32]], str]:
    """The films before and after each perturbation, and what it acted on: "originals" or "films at hand"."""
    films = _films(run, tested)
    place = find_originals(run, films, named=options.originals) if predictor.read.filters else None
    if place is not None:
        found = _from_originals(place, predictor, films, changed)
        # Reduced before they were prepared, they give nearly the run's scores; others aren't the run's films.
        if np.abs(found[0] - tested.values).mean() <= _NEARLY:
            return replace(tested, values=found[0]), dict(zip(changed, found[1:], strict=True)), ORIGINALS
    variants: list[Variant] = [partial(_perturbed, perturbation=change) for change in changed.values()]
    found = _scored(run, predictor, tested, variants, description="Perturbed films")
    return tested, dict(zip(changed, found, strict=True)), AT_HAND


def _from_originals(place: Path, predictor: Predictor, films: Sequence[Radiograph],
                    changed: Mapping[str, Perturbation]) -> NDArray[np.float32]:
    """Scores (V + 1, n, K) of originals as they are and after each perturbation, prepared on the way."""
    with open_source(place) as source, progress_bar("Perturbed originals", len(films)) as advance:
        originals = Originals(source, largest=_REDUCED * predictor.read.size)

        def draw(number: int) -> Film:
            original = originals.read(films[number])
            return np.stack([predictor.read.prepare(original, change)
                             for change in (None, *changed.values())])

        return predictor.drawn_scores(draw, films=len(films), variants=len(changed) + 1, advance=advance)


def _films(run: RunFolder, scores: Scores) -> list[Radiograph]:
    by_id = {film.id: film for film in run.cohort}
    return [by_id[name] for name in scores.ids]


def _perturbed(film: Film, _: int, *, perturbation: Perturbation) -> Film:
    return perturbation(film)


def _scored(run: RunFolder, predictor: Predictor, scores: Scores, variants: Sequence[Variant], *,
            description: str) -> NDArray[np.float32]:
    """Scores (V, n, K) of variants of films of the run."""
    places = {film.id: place for place, film in enumerate(run.cohort)}
    numbers = [places[name] for name in scores.ids]
    files = [_file(run, film) for film in _films(run, scores)]
    with progress_bar(description, len(files)) as advance:
        return predictor.variant_scores(files, variants, numbers, advance=advance)


def _file(run: RunFolder, film: Radiograph) -> Path:
    path = run.film_path(film.file)
    if path is None:
        raise FilmError("A film must still be there to be scored again.",
                        received=f"{film.id} ({film.file or 'no file'})",
                        remedy="Put the folder of films back where the run found it.")
    return path


def _confirm(run: RunFolder, recorded: Scores, found: NDArray[np.float32]) -> None:
    """Make sure that films and network are those of the run, before anything is said of them."""
    apart = np.abs(recorded.values - found).max(axis=1)
    if not apart.max() <= _SAME:
        worst = int(apart.argmax())
        raise RunError("The run's films must give the run's scores.",
                       received=f"{run.path}, where {recorded.ids[worst]} differs by {apart[worst]:.3g}",
                       remedy="Put the films and the network back as they were, or train again.")


def _judged_views(run: RunFolder, predictor: Predictor, tested: Scores, views: NDArray[np.float32],
                  options: Rescoring) -> dict[str, Any]:
    """What several views are worth; for two classes with a threshold fixed anew on validation films."""
    fixed = None
    validated = chosen_scores(run, "validation", options) if tested.is_binary else None
    if validated is not None:
        again = _views(get_preset(options.preset), options)
        fixed = combined(validated, _scored(run, predictor, validated, again, description="Validation films"))
    return {"validation_films": len(validated.ids) if validated else 0,
            "rule": (run.facts.get("operating_point") or {}).get("rule"),
            **judge_views(combined(tested, views), fixed, threshold=predictor.threshold,
                          fix=run.fix_threshold, seed=options.seed, resamples=options.resamples)}


def _facts(run: RunFolder, tested: Scores, predictor: Predictor, options: Rescoring) -> dict[str, Any]:
    return {"created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "films": len(tested.ids), "patients": len(np.unique(tested.groups)),
            "of": int((run.predictions["split"] == "test").sum()), "classes": list(tested.classes),
            "positive": tested.positive, "threshold": predictor.threshold, "seed": options.seed,
            "resamples": options.resamples, "engine": type(predictor.engine).__name__}


def _first_film(run: RunFolder, predictor: Predictor, tested: Scores) -> Film:
    """The film that shows what each perturbation looks like: the first of the positive class."""
    name = tested.ids[int(np.argmax(tested.labels == tested.positive_index))]
    return predictor.read(_file(run, next(film for film in run.cohort if film.id == name)))


def _write_pictures(folder: Path, film: Film, changed: dict[str, Perturbation]) -> None:
    """One small JPEG for each perturbation, and one of the film as it is."""
    shown: dict[str, Perturbation] = {"original": np.copy, **changed}
    for name, perturbation in shown.items():
        image = Image.fromarray(perturbation(film))
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        file = BytesIO()
        image.save(file, format="JPEG", quality=80)
        with replacing(folder / f"{name}.jpeg") as temporary:
            temporary.write_bytes(file.getvalue())
