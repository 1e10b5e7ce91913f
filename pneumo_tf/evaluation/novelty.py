"""How far a film lies from all that a network was trained on, in the network's own features.

The distance is that to the nearest training films of one class (Sun et al., Out-of-Distribution Detection
with Deep Nearest Neighbors, ICML 2022). What is kept of a training film is no picture, but 64 numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

RATE = 0.01  # of films like the run's own that a threshold gives away
METHOD = "distance to the 3 nearest training films of one class"
FEWEST = 5  # training and validation films each, below which nothing is told
_NEIGHBOURS, _DIRECTIONS = 3, 64
_ENOUGH = 1500  # films that directions are learnt from
_LEAST = 1e-3  # spread along a direction, over the widest's, that still counts as one
_PART = 256

Vectors = NDArray[np.floating]


@dataclass(frozen=True)
class Space:
    """The directions along which training films differ most, and the distance from all of these.

    Attributes:
        mean: float32 (D,), of the training films.
        basis: float32 (D, r), orthonormal.
        spread: float32 (r + 1,), the training films' deviation along each direction, and away from them.
    """

    mean: Vectors
    basis: Vectors
    spread: Vectors

    @classmethod
    def of(cls, features: Vectors) -> Space:
        """The space of training films' features (n, D)."""
        from sklearn.decomposition import PCA  # only a training needs it, and an answer must not wait for it

        some = features[:: max(1, len(features) // _ENOUGH)]
        found = PCA(min(_DIRECTIONS, len(some) - 1, some.shape[1]), svd_solver="randomized", iterated_power=3,
                    random_state=0).fit(some)
        basis = found.components_.T.astype(np.float16).astype(np.float32)  # as it is kept
        bare = cls(found.mean_.astype(np.float32), basis, np.ones(1))
        spread = np.sqrt(np.mean(bare.coordinates(features) ** 2, axis=0))
        return replace(bare, spread=np.maximum(spread, _LEAST * spread.max()) + np.float32(1e-9))

    def coordinates(self, features: Vectors) -> NDArray[np.float32]:
        """Features (n, D) as float32 (n, r + 1), the last being the distance from all directions."""
        away = np.asarray(features, np.float32) - self.mean
        along = away @ self.basis
        left = np.maximum((away**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return np.column_stack([along, np.sqrt(left)]).astype(np.float32)


@dataclass(frozen=True)
class Novelty:
    """What is known of the training films, and from where on a film is unlike all of them.

    Attributes:
        space: Their directions.
        films: float16 (m, r), training films along these.
        labels: uint8 (m,), their classes.
        threshold: The largest distance of a film that isn't refused.
    """

    space: Space
    films: Vectors
    labels: NDArray[np.uint8]
    threshold: float

    def distances(self, features: Vectors) -> NDArray[np.float64]:
        """The distance of each film by its features (n, D).

        Every direction is divided by the root of its spread, halfway between Euclid's distance and
        Mahalanobis's, which was measured to refuse most of what is no film for the run.
        """
        found = np.empty(len(features))
        for start in range(0, len(features), _PART):
            part = self.space.coordinates(features[start : start + _PART]) * self._weights
            nearest = np.min([_to_nearest(part[:, :-1], films) for films in self._classes], axis=0)
            found[start : start + _PART] = np.hypot(nearest, part[:, -1])
        return found

    @cached_property
    def _weights(self) -> Vectors:
        return 1 / np.sqrt(self.space.spread)

    @cached_property
    def _classes(self) -> list[Vectors]:
        """The films of each class, weighted; not anew for every film that comes in alone."""
        return [self.films[self.labels == label] * self._weights[:-1] for label in np.unique(self.labels)]


def fit_novelty(training: Vectors, labels: NDArray[np.integer], validation: Vectors) -> Novelty | None:
    """Learn what training films are like, and fix the threshold on validation films of other patients.

    Args:
        training: (n, D), features of films as they are.
        labels: (n,), their classes.
        validation: (m, D).

    Returns:
        None where there are too few films.
    """
    if min(len(training), len(validation)) < FEWEST:
        return None
    space = Space.of(training)
    films = space.coordinates(training)[:, :-1].astype(np.float16)
    unbounded = Novelty(space, films, labels.astype(np.uint8), float("inf"))
    return replace(unbounded, threshold=float(np.exp(upper_bound(np.log(unbounded.distances(validation))))))


def upper_bound(values: NDArray[np.floating], rate: float = RATE) -> float:
    """What a further value exceeds with the probability `rate`.

    Conformal prediction: of n values and a further one each is the k-th largest as likely as another. Too few
    values for that leave the bound of a normal distribution, at least the largest value.
    """
    count = len(values)
    rank = int(np.ceil((count + 1) * (1 - rate)))
    if rank <= count:
        return float(np.sort(values)[rank - 1])
    from scipy.stats import t  # likewise

    reach = t.ppf(1 - rate, count - 1) * values.std(ddof=1) * np.sqrt(1 + 1 / count)
    return float(max(values.max(), values.mean() + reach))


def _to_nearest(points: Vectors, films: Vectors) -> NDArray[np.float32]:
    """The mean distance of each point from the films next to it."""
    squared = (points**2).sum(axis=1)[:, None] + (films**2).sum(axis=1) - 2 * points @ films.T
    count = min(_NEIGHBOURS, len(films))
    nearest = np.partition(squared, count - 1, axis=1)[:, :count]
    return np.asarray(np.sqrt(np.maximum(nearest, 0)).mean(axis=1), np.float32)
