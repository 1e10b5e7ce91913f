"""The explanation methods by name, occlusion among them, and the figures that judge what each finds.

A new method is a function (explainer, film, class) -> Finding and a row of METHODS; its name in the report's
languages is `explain.method.<name>` of their catalogues, else the name itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.explain import fidelity, superpixels
from pneumo_tf.explain.lime import LimeOptions, explain_by_lime, log_odds
from pneumo_tf.explain.superpixels import Film, Labels, Scorer, check_film

if TYPE_CHECKING:  # the parser names the methods before Keras is started
    from pneumo_tf.explain.gradcam import GradCam
    from pneumo_tf.explain.network import Network

_SMALLEST_RANGE = 1e-6  # of a map whose largest size is 1; below it the map is of one value


@dataclass(frozen=True)
class Finding:
    """The map of one method on one film.

    Attributes:
        values: float32 (H, W), signed: above 0 speaks for the class. `explain` scales it to [-1, 1].
        verdict: "shown", or why it isn't: "blank" (the film), "constant" (the map), "unstable", "unfaithful".
        numbers: Figures by name; None where one can't be given.
        labels: The superpixels, where the method has some.
        method: Its name.
    """

    values: NDArray[np.float32]
    verdict: str = "shown"
    numbers: dict[str, Any] = field(default_factory=dict)
    labels: Labels | None = None
    method: str = ""


class Explainer:
    """Explains the scores of one network; without a count LIME gets 80 superpixels, or 12 colours."""

    def __init__(self, network: Network, *, options: LimeOptions, count: int | None = None) -> None:
        self.network, self.options, self.count = network, options, count

    @cached_property
    def gradcam(self) -> GradCam:
        from pneumo_tf.explain.gradcam import GradCam

        return GradCam(self.network.model)

    def called(self, film: Film) -> tuple[int, NDArray[np.float32]]:
        """The class that the exact network calls a film, and its scores (K,).

        Raises:
            FilmError: A film of another size than the network's.
        """
        self._check_size(film)
        scores = np.asarray(self.network.exact(film[None]))
        return int(self.network.decide(scores)[0]), scores[0]

    def explain(self, film: Film, method: str, *, explained: int, lesion: fidelity.Mask | None = None,
                lungs: fidelity.Mask | None = None) -> Finding:
        """Explain the score of one class, by its index, of one film by one of METHODS.

        The map is measured against the lesion and the lungs, bool (H, W), where they are known.

        Raises:
            FilmError: A film of another size, or with a single superpixel.
            OptionError: An option that the method has no use for.
        """
        check_methods([method])
        self._check_size(film)
        if superpixels.is_blank(film):
            return Finding(np.zeros(film.shape[:2], np.float32), "blank", method=method)
        start = time.perf_counter()
        found = METHODS[method](self, film, explained)
        seconds = round(time.perf_counter() - start, 3)
        values = scaled(found.values)
        verdict = "constant" if np.ptp(values) < _SMALLEST_RANGE else found.verdict
        judged = self._judged(film, values, explained=explained, lesion=lesion, lungs=lungs)
        return replace(found, method=method, values=values, verdict=verdict,
                       numbers={"seconds": seconds, **found.numbers, **judged})

    def _check_size(self, film: Film) -> None:
        check_film(film)
        needed = tuple(self.network.model.input_shape[1:])
        if film.shape != needed:
            raise FilmError("A film must have the size of the network's input.",
                            received=f"{film.shape} where {needed} is needed",
                            remedy="Read it with the network's own read().")

    def _judged(self, film: Film, values: NDArray[np.float32], *, explained: int,
                lesion: fidelity.Mask | None, lungs: fidelity.Mask | None) -> dict[str, Any]:
        """Figures that every map has, and those of what is known to lie on the film."""
        down = fidelity.deletion(film, values, self.network.quick, explained=explained)
        up = fidelity.insertion(film, values, self.network.quick, explained=explained)
        numbers: dict[str, Any] = {"deletion": down.area, "insertion": up.area,
                                   "deletion_log_odds": down.log_odds, "insertion_log_odds": up.log_odds}
        if lesion is not None:
            numbers |= {"points_inside": fidelity.points_inside(values, lesion),
                        "mass_inside": fidelity.mass_inside(values, lesion),
                        "lesion_share": float(lesion.mean()), "chance": float(fidelity.near(lesion).mean())}
        if lungs is not None:
            inside, share = fidelity.mass_inside(values, lungs), float(lungs.mean())
            numbers |= {"mass_in_lungs": inside, "lungs_share": share,
                        "beside_lungs": inside is not None and inside < fidelity.LEAST_IN_LUNGS * share}
        return numbers


def scaled(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """A map divided by its largest size, so that it lies in [-1, 1]."""
    largest = np.abs(values).max()
    return (values / largest if largest > 0 else values).astype(np.float32)


def _gradcam(explainer: Explainer, film: Film, explained: int) -> Finding:
    return Finding(explainer.gradcam.signed_map(film, explained))


def _occlusion(explainer: Explainer, film: Film, explained: int) -> Finding:
    return Finding(occlusion_map(film, explainer.network.quick, explained=explained))


def occlusion_map(film: Film, scorer: Scorer, *, explained: int, patch: float = 0.2, step: float = 0.5,
                  absent: str = "mean") -> NDArray[np.float32]:
    """How far the log-odds of a class fall on average while a pixel is covered, float32 (H, W), signed.

    No gradients, no surrogate: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks,
    ECCV 2014. The side of the square patch is a share of the film's shorter side, the step between two of
    its places a share of the patch; it shows what `filling` says.

    Raises:
        FilmError: Another shape or dtype than uint8 (H, W, 3).
    """
    check_film(film)
    side = max(1, round(patch * min(film.shape[:2])))
    tops, lefts = ([*range(0, length - side, max(1, round(step * side))), length - side]
                   for length in film.shape[:2])  # the last patches lie flush with the edge
    places = [np.s_[top : top + side, left : left + side] for top in tops for left in lefts]
    fill = superpixels.filling(film, absent)
    before = log_odds(scorer(film[None])[:, explained].astype(np.float64))
    fallen, covered = np.zeros(film.shape[:2]), np.zeros(film.shape[:2])
    for start in range(0, len(places), superpixels.BATCH):
        batch = places[start : start + superpixels.BATCH]
        films = np.repeat(film[None], len(batch), axis=0)
        for each, place in zip(films, batch, strict=True):
            each[place] = fill[place]
        after = log_odds(scorer(films)[:, explained].astype(np.float64))
        for place, fall in zip(batch, before - after, strict=True):
            fallen[place] += fall
            covered[place] += 1
    return (fallen / covered).astype(np.float32)


def _lime(explainer: Explainer, film: Film, explained: int, *, segmentation: str) -> Finding:
    network, options = explainer.network, explainer.options
    labels = superpixels.segment(film, segmentation, count=explainer.count, seed=options.seed)
    if not labels.any():  # SLIC may find a single superpixel, and then there is nothing to compare
        return Finding(np.zeros(labels.shape, np.float32), "constant", labels=labels)
    explanation = explain_by_lime(film, labels, network.quick, explained=explained, options=options,
                                  decide=network.decide)
    halves = fidelity.stability(list(explanation.halves))
    numbers = {"samples": explanation.samples, "superpixels": len(explanation.weights), "r2": explanation.r2,
               "halves_spearman": halves.spearman, "halves_overlap": halves.overlap,
               "first": [{"superpixel": int(number), "weight": float(explanation.weights[number])}
                         for number in explanation.ranked()[:10]]}
    return Finding(explanation.signed_map(), fidelity.verdict(explanation), numbers, labels)


METHODS: dict[str, Callable[[Explainer, Film, int], Finding]] = {
    "gradcam": _gradcam, "occlusion": _occlusion,
    **{f"lime-{name}": partial(_lime, segmentation=name) for name in superpixels.SEGMENTATIONS}}


def check_methods(methods: Sequence[str]) -> None:
    """Refuse methods that don't exist.

    Raises:
        OptionError: One doesn't, or there are none.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise OptionError("A method must be one that this program knows.",
                          received=", ".join(unknown) or "no method",
                          remedy=f"Choose among: {', '.join(METHODS)}.")
