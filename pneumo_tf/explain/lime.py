"""LIME: the superpixels that a network's answer for one film depends on.

Ribeiro, Singh and Guestrin, "Why Should I Trust You?", KDD 2016. The film x is described by which of its
superpixels are present: x' is a vector of ones. Films z with some superpixels absent are scored, each is
weighted by its closeness π = exp(−d²/σ²) with the cosine distance d(x', z'), and a simple model g is fitted
to the network's answers; its weights are the explanation.

The designs at the end say which superpixels are present in which sample. Each gives every superpixel presence
with probability ½; the more evenly the samples cover the cube, the fewer are needed for the same answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard
from scipy.special import logit

from pneumo_tf.errors import FilmError, OptionError, check_known
from pneumo_tf.explain.superpixels import (
    BATCH,
    Film,
    Labels,
    Presence,
    Scorer,
    check_film,
    filling,
    scores_of,
)
from pneumo_tf.explain.surrogates import Fitted, Numbers, Samples, fit_surrogate

DESIGNS = ("bernoulli", "antithetic", "hadamard")
ANSWERS = ("kept", "probability", "log_odds")
TOP = 5  # superpixels that must stay the same for stop_early
Decide = Callable[[NDArray[np.float32]], NDArray[np.int_]]  # scores (n, K) to classes (n,)


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
    """The weight of each superpixel for one class.

    Attributes:
        weights: float (d,), signed: above 0 speaks for the class.
        r2: How well the surrogate follows the network, weighted; None where the answers don't vary.
        samples: Perturbed films that were scored.
        halves: Weights from each half of the samples alone, float (2, d), from which stability is measured.
    """

    labels: Labels
    weights: Numbers
    r2: float | None
    samples: int
    halves: Numbers

    def ranked(self) -> NDArray[np.int_]:
        """Superpixels by the size of their weight, largest first, without those of weight 0."""
        order = np.argsort(-np.abs(self.weights), kind="stable")
        return order[self.weights[order] != 0]

    def signed_map(self) -> NDArray[np.float32]:
        """The weight of each pixel's superpixel, float32 (H, W)."""
        return self.weights[self.labels].astype(np.float32)


def explain_by_lime(film: Film, labels: Labels, scorer: Scorer, *, explained: int, options: LimeOptions,
                    decide: Decide = lambda scores: scores.argmax(axis=1)) -> Explanation:
    """Explain the score of one class, by its index, of one film.

    Raises:
        FilmError: Another shape or dtype, or superpixels of another film, or only one of them.
        OptionError: An option without meaning; fewer samples than superpixels.
    """
    _check(film, labels, options)
    samples = _draw(film, labels, scorer, options=options,
                    answer=lambda scores: _answers(scores, explained, options.answers, decide))
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
          answer: Callable[[NDArray[np.float32]], Numbers]) -> Samples:
    """Score perturbed films: all that are allowed, or until the first superpixels stay the same."""
    superpixels = int(labels.max()) + 1
    presence = draw_presence(options.design, superpixels, options.samples, seed=options.seed)
    fill = filling(film, options.absent, labels)
    step = options.samples
    if options.stop_early:  # two looks at the ranking lie whole blocks apart, with enough samples to fit g
        block = block_size(options.design, superpixels)
        step = -(-max(2 * superpixels, 2 * BATCH) // block) * block
    drawn: Samples | None = None
    leaders: frozenset[int] | None = None
    for start in range(0, len(presence), step):
        rows = presence[start : start + step]
        answers = answer(scores_of(film, fill, labels, rows, scorer=scorer))
        new = Samples(rows, answers, closeness(rows, options.sigma))
        drawn = new if drawn is None else drawn.joined(new)
        before, leaders = leaders, _leaders(drawn, options) if options.stop_early else None
        if leaders is not None and leaders == before:
            break
    assert drawn is not None
    return drawn


def _leaders(samples: Samples, options: LimeOptions) -> frozenset[int] | None:
    """The five first superpixels; None where the answers don't vary yet."""
    if samples.is_constant:
        return None
    weights = fit(samples, replace(options, keep=None)).weights
    return frozenset(np.argsort(-np.abs(weights), kind="stable")[:TOP].tolist())


def _answers(scores: NDArray[np.float32], explained: int, wanted: str, decide: Decide) -> Numbers:
    """What g is to imitate, float (n,)."""
    if wanted == "kept":
        return (decide(scores) == explained).astype(np.float64)
    probability = scores[:, explained].astype(np.float64)
    return probability.clip(0, 1) if wanted == "probability" else log_odds(probability)


def log_odds(probability: Numbers) -> Numbers:
    """log p − log(1 − p), as far as float32 can tell p from 0 and 1."""
    return np.asarray(logit(probability.clip(1e-6, 1 - 1e-6)))


def _check(film: Film, labels: Labels, options: LimeOptions) -> None:
    check_film(film)
    if labels.shape != film.shape[:2]:
        raise FilmError("Superpixels must be those of the film.",
                        received=f"superpixels {labels.shape} for a film {film.shape[:2]}",
                        remedy="Segment the film that is explained.")
    superpixels = int(labels.max()) + 1
    if superpixels < 2:
        raise FilmError("A film must have at least two superpixels to compare.", received="one superpixel",
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


def draw_presence(design: str, superpixels: int, samples: int, *, seed: int = 0) -> Presence:
    """Presence vectors of a design, always the same for the same seed; at least one of each number.

    - `bernoulli`: independent fair coins.
    - `antithetic`: fair coins in pairs of a vector and its opposite, so that whatever two superpixels do only
      together cancels out.
    - `hadamard`: such pairs, and in every block of rows each two superpixels meet equally often, so that no
      superpixel is mistaken for another.
    """
    check_known("design", design, DESIGNS)
    rng = np.random.default_rng(seed)
    if design == "bernoulli":
        return rng.random((samples, superpixels)) < 0.5
    if design == "antithetic":
        rows = rng.random((-(-samples // 2), superpixels)) < 0.5
    else:
        blocks = -(-samples // block_size(design, superpixels))
        rows = np.concatenate([_hadamard_block(superpixels, rng) for _ in range(blocks)])
    return np.stack([rows, ~rows], axis=1).reshape(-1, superpixels)[:samples]  # each before its opposite


def block_size(design: str, superpixels: int) -> int:
    """Rows after which a design is complete: its figures are best at a multiple of them."""
    return {"bernoulli": 1, "antithetic": 2, "hadamard": 2 * _order(superpixels)}[design]


def _hadamard_block(superpixels: int, rng: np.random.Generator) -> Presence:
    """A Hadamard matrix with random columns, signs and order of rows.

    The opposites that follow (Plackett and Burman, Biometrika 1946) balance the constant column too.
    """
    order = _order(superpixels)
    columns = rng.permutation(order)[:superpixels]
    signs = rng.choice([-1, 1], superpixels)
    rows = hadamard(order)[:, columns] * signs > 0
    return np.asarray(rows[rng.permutation(order)])


def _order(superpixels: int) -> int:
    """The smallest power of two with a column for each superpixel."""
    return 1 << (superpixels - 1).bit_length()
