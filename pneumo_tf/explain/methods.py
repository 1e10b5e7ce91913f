"""The methods by name, and what each finds on one film together with the figures that judge it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.explain import fidelity
from pneumo_tf.explain.gradcam import GradCam
from pneumo_tf.explain.lime import Explanation, LimeOptions, explain_by_lime
from pneumo_tf.explain.network import Network
from pneumo_tf.explain.occlusion import occlusion_map
from pneumo_tf.explain.overlay import scaled
from pneumo_tf.explain.perturbing import Scorer
from pneumo_tf.explain.scoring import network_scorer
from pneumo_tf.explain.superpixels import SEGMENTATIONS, Film, Labels, check_film, segment

METHODS = ("gradcam", "occlusion", *(f"lime-{name}" for name in SEGMENTATIONS))


@dataclass(frozen=True)
class Finding:
    """What a method says of a film.

    Attributes:
        method: Its name.
        values: float32 (H, W) in [-1, 1]: above 0 speaks for the class.
        verdict: "shown", or why it mustn't be: "constant", "unstable", "unfaithful".
        numbers: Figures by name; None where one can't be given.
        labels: The superpixels, where the method has some.
    """

    method: str
    values: NDArray[np.float32]
    verdict: str
    numbers: dict[str, Any] = field(default_factory=dict)
    labels: Labels | None = None


class Explainer:
    """Methods on one network; what they share is made once.

    Args:
        network: The classifier.
        options: Of LIME.
        count: Superpixels wanted; None takes what suits the segmentation.
        scorer: Of the network; None takes Keras in float32.
    """

    def __init__(self, network: Network, *, options: LimeOptions, count: int | None = None,
                 scorer: Scorer | None = None) -> None:
        self.network, self.options, self._count = network, options, count
        self.scorer = scorer or network_scorer(network.model)

    @cached_property
    def _camera(self) -> GradCam:
        return GradCam(self.network.model)

    def given(self, film: Film) -> tuple[int, NDArray[np.float32]]:
        """The class that a film is given, and its scores (K,).

        Raises:
            FilmError: A film of another size than the network's.
        """
        self._check_size(film)
        scores = np.asarray(self.scorer(film[None]))
        return int(self.network.decide(scores)[0]), scores[0]

    def explain(self, film: Film, method: str, *, explained: int,
                lesion: NDArray[np.bool_] | None = None) -> Finding:
        """What one method says of one class on one film.

        Args:
            film: uint8 (H, W, 3).
            method: One of METHODS.
            explained: The class.
            lesion: bool (H, W), where it is known.

        Raises:
            PneumoError: A film or an option that the method has no use for.
        """
        check_methods([method])
        self._check_size(film)
        start = time.perf_counter()
        explanation = self._by_lime(film, method, explained) if method.startswith("lime-") else None
        if explanation is not None:
            values = explanation.signed_map()
        elif method == "gradcam":
            values = scaled(self._camera.signed_map(film, explained))
        else:
            values = scaled(occlusion_map(film, self.scorer, explained=explained))
        numbers: dict[str, Any] = {"seconds": round(time.perf_counter() - start, 3)}
        numbers |= self._judged(film, values, explained=explained, lesion=lesion)
        if explanation is None:
            return Finding(method, values, "shown" if values.any() else "constant", numbers)
        return Finding(method, values, fidelity.verdict(explanation), _of_lime(explanation) | numbers,
                       explanation.labels)

    def _check_size(self, film: Film) -> None:
        check_film(film)
        needed = tuple(self.network.model.input_shape[1:])
        if film.shape != needed:
            raise FilmError("A film must have the size of the network's input.",
                            received=f"{film.shape} where {needed} is needed",
                            remedy="Read it with the network's own read().")

    def _by_lime(self, film: Film, method: str, explained: int) -> Explanation:
        labels = segment(film, method.removeprefix("lime-"), count=self._count, seed=self.options.seed)
        return explain_by_lime(film, labels, self.scorer, explained=explained, options=self.options,
                               decide=self.network.decide)

    def _judged(self, film: Film, values: NDArray[np.float32], *, explained: int,
                lesion: NDArray[np.bool_] | None) -> dict[str, Any]:
        """Figures that every map has."""
        down = fidelity.deletion(film, values, self.scorer, explained=explained)
        up = fidelity.insertion(film, values, self.scorer, explained=explained)
        numbers: dict[str, Any] = {"deletion": down.area, "insertion": up.area,
                                   "deletion_log_odds": down.log_odds, "insertion_log_odds": up.log_odds}
        if lesion is not None:
            numbers |= {"points_inside": fidelity.points_inside(values, lesion),
                        "mass_inside": fidelity.mass_inside(values, lesion),
                        "lesion_share": float(lesion.mean()), "chance": float(fidelity.near(lesion).mean())}
        return numbers


def _of_lime(explanation: Explanation) -> dict[str, Any]:
    halves = fidelity.steadiness(explanation)
    return {"samples": explanation.samples, "superpixels": len(explanation.weights), "r2": explanation.r2,
            "halves_spearman": halves.spearman, "halves_overlap": halves.overlap,
            "first": [{"superpixel": int(number), "weight": float(explanation.weights[number])}
                      for number in explanation.ranked()[:10]]}


def check_methods(methods: Sequence[str]) -> None:
    """Refuse methods that don't exist.

    Raises:
        OptionError: One doesn't, or there are none.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise OptionError("A method must be one that this program knows.",
                          received=", ".join(unknown) or "none",
                          remedy=f"Choose among: {', '.join(METHODS)}.")
