"""Whether it is as good for one kind of film as for another: by subtype, and by facts of the files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.evaluation.figures import Judged
from pneumo_tf.evaluation.intervals import Estimate, resampled
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.shortcuts import fact_table

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Of fewer films the Wilson interval of a share is as wide as half the scale.
FEW = 10
_KNOWN = 0.5


def subgroups(cohort: Cohort, test: Scores, threshold: float | None, *, seed: int = 42,
              resamples: int = 1000) -> list[dict[str, Any]]:
    """Figures of parts of the test films, ready for JSON.

    The parts: each subtype, such as bacteria and virus; and the lower, middle and upper third of each fact of
    the original files that half of the films have. Where a part's films all belong to one class, its area
    under the ROC curve is taken against all test films of the other, and `against_all` is true.

    Args:
        cohort: Films with their subtypes and facts; a film without is in no such part.
        test: The uncalibrated scores of the test films.
        threshold: As for `Scores.predicted`.

    Returns:
        Of each part {"by", "name", "films", "patients", "few", "figures"}: `by` is "subtype" or the name of a
        fact, `name` the subtype or "lower", "middle", "upper", with the range of the fact as `from` and `to`.
        `few` says that there are fewer than 10 films. `figures` are the accuracy for several classes; for two
        sensitivity and specificity, as far as the part has films for them, and auc, null with fewer than 10
        `positives` or `negatives`.
    """
    by_id = {film.id: film for film in cohort}
    films = [by_id[name] for name in test.ids]
    parts = []
    for place, mask in [*_subtypes(films), *_thirds(films)]:
        mine = np.flatnonzero(mask)
        figures = _figures(test, mask, threshold, seed=seed, resamples=resamples)
        parts.append({**place, "films": len(mine), "patients": len(np.unique(test.groups[mine])),
                      "few": len(mine) < FEW, "figures": figures})
    return parts


def _subtypes(films: list[Radiograph]) -> Iterator[tuple[dict[str, Any], Mask]]:
    known = np.array([film.subtype for film in films], dtype=str)
    names = sorted(set(known.tolist()) - {""})
    # One subtype that all films have is no part of them.
    if len(names) > 1 or (known == "").any():
        yield from (({"by": "subtype", "name": name}, known == name) for name in names)


def _thirds(films: list[Radiograph]) -> Iterator[tuple[dict[str, Any], Mask]]:
    """Equal thirds by rank, as far as ties allow; what only a few values share is parted by value."""
    for fact, values in fact_table(films).items():
        known = np.isfinite(values)
        if known.mean() < _KNOWN:
            continue
        for name, mask in _parts(values, known):
            ends = {"from": float(values[mask].min()), "to": float(values[mask].max())}
            yield {"by": fact, "name": name, **ends}, mask


def _parts(values: Floats, known: Mask) -> list[tuple[str, Mask]]:
    """Up to three named parts; none where all films share the value."""
    cuts = np.unique(np.quantile(values[known], [1 / 3, 2 / 3], method="inverted_cdf"))
    place = np.searchsorted(cuts, values, side="left")
    masks = [known & (place == part) for part in range(len(cuts) + 1)]
    masks = [mask for mask in masks if mask.any()]
    names = {1: (), 2: ("lower", "upper"), 3: ("lower", "middle", "upper")}[len(masks)]
    return list(zip(names, masks, strict=False))


def _figures(test: Scores, mask: Mask, threshold: float | None, *, seed: int,
             resamples: int) -> dict[str, Estimate]:
    judged = Judged(test, threshold)
    if not test.is_binary:
        return {"accuracy": judged.share("accuracy", within=mask)}
    sides = {"sensitivity": judged.own, "specificity": ~judged.own}
    figures = {name: judged.share(name, within=mask) for name, side in sides.items() if (mask & side).any()}
    return {**figures, "auc": _area(judged, mask, seed=seed, resamples=resamples)}


def _area(judged: Judged, mask: Mask, *, seed: int, resamples: int) -> Estimate:
    own = judged.own
    one_class = len(np.unique(own[mask])) < 2
    kept = mask | (own != own[mask][0]) if one_class else mask
    sides = {"positives": int((kept & own).sum()), "negatives": int((kept & ~own).sum())}
    if min(sides.values()) < FEW:
        return {"value": None, "low": None, "high": None, **sides, "why": "few_films"}
    part = judged.scores.take(np.flatnonzero(kept))
    figure = resampled({"auc": Judged(part).statistic("auc")}, part.groups, seed=seed, resamples=resamples)
    return {**figure["auc"], **sides, "against_all": one_class}
