"""Scores that are made, not predicted."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from pneumo_tf.evaluation.scores import Scores


def make_scores(labels, positive_scores, *, patients=None) -> Scores:
    """Two classes, NORMAL and PNEUMONIA, from the positive's scores."""
    score = np.asarray(positive_scores, dtype=float)
    known = [""] * len(score) if patients is None else patients
    return Scores(("NORMAL", "PNEUMONIA"), "PNEUMONIA", tuple(f"film-{i}" for i in range(len(score))),
                  np.asarray(labels), np.column_stack([1 - score, score]), np.array(known, dtype=str))


def make_noisy(films: int, *, films_per_patient: int = 1, seed: int = 0) -> Scores:
    """Overlapping scores in steps of 0.01, so that ties occur."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, films)
    score = np.clip(np.round(generator.normal(0.35 + 0.3 * labels, 0.2), 2), 0, 1)
    return make_scores(labels, score, patients=[f"p{i // films_per_patient}" for i in range(films)])


def make_three_classes(films: int = 300) -> Scores:
    """NORMAL, bacteria and virus, each likeliest where it is true."""
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, films)
    values = generator.dirichlet([1, 1, 1], films) + 0.5 * np.eye(3)[labels]
    return Scores(("NORMAL", "bacteria", "virus"), "bacteria", tuple(f"f{i}" for i in range(films)), labels,
                  values / values.sum(axis=1, keepdims=True), np.array([f"p{i // 2}" for i in range(films)]))


@pytest.fixture
def scores_of() -> Callable[..., Scores]:
    return make_scores


@pytest.fixture
def noisy() -> Callable[..., Scores]:
    return make_noisy


@pytest.fixture
def honest() -> Scores:
    """Scores that are probabilities: as many films of a score p are positive as p says."""
    generator = np.random.default_rng(2)
    chance = expit(generator.normal(0, 2, 4000))
    return make_scores((generator.random(4000) < chance).astype(int), chance)


@pytest.fixture
def sharpened() -> Callable[..., Scores]:
    """Scores made too sure by a factor, and too high by a shift, on the logit."""
    def sharpen(scores: Scores, factor: float, shift: float = 0.0) -> Scores:
        score = expit(factor * logit(scores.positive_scores) + shift)
        return replace(scores, values=np.column_stack([1 - score, score]))

    return sharpen


@pytest.fixture
def three_classes() -> Scores:
    return make_three_classes()


@pytest.fixture
def tutorial(scores_of) -> Scores:
    """The published matrix of the tutorial: [[401, 4], [32, 418]]."""
    labels = [0] * 405 + [1] * 450
    return scores_of(labels, [0.1] * 401 + [0.9] * 4 + [0.1] * 32 + [0.9] * 418)
