"""LIME: which superpixels a network's answer for one film hangs on.

Ribeiro, Singh and Guestrin, "Why Should I Trust You?", KDD 2016. The film x is described by which of its
superpixels are present: x' is a vector of ones. Films z with some superpixels absent are scored, each is
weighted by its closeness π = exp(−d²/σ²) with the cosine distance d(x', z'), and a simple model g is fitted
to the network's answers; its weights are the explanation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.explain.designs import block_size, draw_presence
from pneumo_tf.explain.perturbing import BATCH, Scorer, filling, scores_of
from pneumo_tf.explain.superpixels import Film, Labels, check_film
from pneumo_tf.explain.surrogates import Fitted, Numbers, Presence, Samples, fit_surrogate

ANSWERS = ("kept", "probability", "log_odds")
TOP = 5  # superpixels whose ranking must hold still
Decide = Callable[[NDArray[np.float32]], NDArray[np.int_]]


@dataclass(frozen=True, kw_only=True)
class LimeOptions:
    """How an explanation is made; the defaults are those of the assignment.

    Attributes:
        samples: Perturbed films.
        design: How their presence vectors are drawn: "bernoulli", "antithetic" or "hadamard".
        absent: What stands in place of a superpixel: "zero", "mean" or "blur".
        answers: What g imitates: "kept" is 1 where the film keeps its class and 0 elsewhere; or the
            "probability" of the class, or its "log_odds" (not for the logistic surrogate).
        surrogate: "logistic", "ridge" or "tree".
        sigma: Width σ of the kernel.
        strength: Inverse of the penalty on g's weights.
        keep: Superpixels that g may use; None leaves it all.
        seed: Of all that is random.
        stop_early: Stop once the five first superpixels stay the same.
    """

    samples: int = 1000
    design: str = "bernoulli"
    absent: str = "zero"
    answers: str = "kept"
    surrogate: str = "logistic"
    sigma: float = 0.25
    strength: float = 1.0
    keep: int | None = None
    seed: int = 0
    stop_early: bool = False


@dataclass(frozen=True)
class Explanation:
    """What speaks for a class and what against it, superpixel by superpixel.

    Attributes:
        labels: int32 (H, W), the superpixels.
        weights: float (d,), signed: above 0 speaks for the class.
        r2: How well the surrogate follows the network, weighted; None where the answers don't vary.
        samples: Perturbed films that were scored.
        halves: Weights from each half of the samples alone, float (2, d); how far they agree tells how
            steady the explanation is.
    """

    labels: Labels
    weights: Numbers
    r2: float | None
    samples: int
    halves: Numbers

    @property
    def is_constant(self) -> bool:
        """The network answered the same whatever was absent, so there is nothing to explain."""
        return self.r2 is None

    def ranked(self) -> NDArray[np.int_]:
        """Superpixels by the size of their weight, largest first, without those of weight 0."""
        order = np.argsort(-np.abs(self.weights), kind="stable")
        return order[self.weights[order] != 0]

    def signed_map(self) -> NDArray[np.float32]:
        """The weight of each pixel's superpixel, float32 (H, W), the largest of size 1."""
        largest = np.abs(self.weights).max()
        scaled = self.weights / largest if largest > 0 else self.weights
        return scaled[self.labels].astype(np.float32)


def explain_by_lime(film: Film, labels: Labels, scorer: Scorer, *, explained: int | None = None,
                    options: LimeOptions | None = None, decide: Decide | None = None,
                    advance: Callable[[int], None] = lambda _: None) -> Explanation:
    """Explain one score of one film.

    Args:
        film: uint8 (H, W, 3).
        labels: int (H, W), its superpixels, from 0 without gaps.
        scorer: Films to scores.
        explained: Class to explain; None takes the one the film is given.
        options: How.
        decide: Scores (n, K) to classes (n,); None takes the highest score.
        advance: Told after each batch how many films were scored.

    Raises:
        FilmError: Another shape or dtype, or superpixels of another film, or only one of them.
        OptionError: An option without meaning; fewer samples than superpixels.
    """
    options = options or LimeOptions()
    decide = decide or _highest
    _check(film, labels, options)
    wanted = int(decide(scorer(film[None]))[0]) if explained is None else explained
    samples = _draw(film, labels, scorer, options=options, advance=advance,
                    answer=lambda scores: _answers(scores, wanted, options.answers, decide))
    fitted = fit(samples, options)
    pairs = np.arange(len(samples.answers)) // 2 % 2  # a vector and its opposite stay together
    halves = [fit(samples.rows(np.flatnonzero(pairs == half)), options).weights for half in (0, 1)]
    return Explanation(labels, fitted.weights, fitted.r2, len(samples.answers), np.stack(halves))


def fit(samples: Samples, options: LimeOptions) -> Fitted:
    """The surrogate of the options."""
    return fit_surrogate(options.surrogate, samples, strength=options.strength, keep=options.keep,
                         seed=options.seed)


def closeness(presence: Presence, sigma: float) -> Numbers:
    """π = exp(−d²/σ²) of each presence vector, with its cosine distance d to the whole film.

    With x' all ones the cosine is the root of the share that is present. A film without anything has no
    direction; it is as far away as can be, d = 1.
    """
    distance = 1 - np.sqrt(presence.mean(axis=1))
    return np.exp(-(distance**2) / sigma**2)


def _draw(film: Film, labels: Labels, scorer: Scorer, *, options: LimeOptions,
          answer: Callable[[NDArray[np.float32]], Numbers], advance: Callable[[int], None]) -> Samples:
    """Score perturbed films: all that are allowed, or until the ranking holds still."""
    superpixels = int(labels.max()) + 1
    presence = draw_presence(options.design, superpixels, options.samples, seed=options.seed)
    fill = filling(film, options.absent, labels)
    step = _round(options, superpixels)
    drawn: Samples | None = None
    leaders: frozenset[int] | None = None
    for start in range(0, len(presence), step):
        rows = presence[start : start + step]
        answers = answer(scores_of(film, fill, labels, rows, scorer=scorer, advance=advance))
        new = Samples(rows, answers, closeness(rows, options.sigma))
        drawn = new if drawn is None else _joined(drawn, new)
        before, leaders = leaders, _leaders(drawn, options) if options.stop_early else None
        if leaders is not None and leaders == before:
            break
    assert drawn is not None
    return drawn


def _round(options: LimeOptions, superpixels: int) -> int:
    """Samples between two looks at the ranking: whole blocks of the design, and enough to fit g."""
    if not options.stop_early:
        return options.samples
    block = block_size(options.design, superpixels)
    return -(-max(2 * superpixels, 2 * BATCH) // block) * block


def _leaders(samples: Samples, options: LimeOptions) -> frozenset[int] | None:
    """The five first superpixels; None where the answers don't vary yet."""
    if samples.is_constant:
        return None
    weights = fit(samples, replace(options, keep=None)).weights
    return frozenset(np.argsort(-np.abs(weights), kind="stable")[:TOP].tolist())


def _joined(first: Samples, second: Samples) -> Samples:
    return Samples(np.concatenate([first.presence, second.presence]),
                   np.concatenate([first.answers, second.answers]),
                   np.concatenate([first.closeness, second.closeness]))


def _answers(scores: NDArray[np.float32], explained: int, wanted: str, decide: Decide) -> Numbers:
    """What g is to imitate, float (n,)."""
    if wanted == "kept":
        return (decide(scores) == explained).astype(np.float64)
    probability = scores[:, explained].astype(np.float64)
    return probability.clip(0, 1) if wanted == "probability" else log_odds(probability)


def log_odds(probability: Numbers) -> Numbers:
    """log p − log(1 − p), as far as float32 can tell p from 0 and 1."""
    known = probability.clip(1e-6, 1 - 1e-6)
    return np.log(known) - np.log1p(-known)


def _highest(scores: NDArray[np.float32]) -> NDArray[np.int_]:
    return scores.argmax(axis=1)


def _check(film: Film, labels: Labels, options: LimeOptions) -> None:
    check_film(film)
    if labels.shape != film.shape[:2]:
        raise FilmError("Superpixels must be those of the film.",
                        received=f"superpixels {labels.shape} for a film {film.shape[:2]}",
                        remedy="Segment the film that is explained.")
    superpixels = int(labels.max()) + 1
    if superpixels < 2:
        raise FilmError("A film must have at least two superpixels to compare.", received="one",
                        remedy="Ask for more superpixels.")
    if options.samples < 2 * superpixels:
        raise OptionError("LIME needs at least two samples for each superpixel.",
                          received=f"{options.samples} samples for {superpixels} superpixels",
                          remedy=f"Take {10 * superpixels} samples or fewer superpixels.")
    unbounded = options.answers == "log_odds" and options.surrogate == "logistic"
    if options.answers not in ANSWERS or unbounded:
        raise OptionError(f"A surrogate imitates one of {', '.join(ANSWERS)}; the logistic one no log_odds.",
                          received=f"{options.answers} for {options.surrogate}")
    if not options.sigma > 0 or not options.strength > 0:
        raise OptionError("The kernel's width and the strength must be above 0.",
                          received=f"sigma {options.sigma}, strength {options.strength}")
