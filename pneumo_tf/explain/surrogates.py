"""The surrogates of LIME: simple models g from presence vectors to a network's answers around one film.

Each is a choice of G and of the complexity Ω(g) in the definition of LIME (Ribeiro, Singh and Guestrin, "Why
Should I Trust You?", KDD 2016): logistic and ridge regression with the square of the weights, or with their
absolute values where only a few superpixels may be used; a tree with its number of leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumo_tf.errors import OptionError, check_known
from pneumo_tf.explain.superpixels import Presence

Numbers = NDArray[np.float64]
Fit = Callable[["Samples", float, int], tuple[Numbers, Numbers]]

_LEAVES = 16
_HALVINGS = 14  # of the range in which the penalty for so many superpixels lies


@dataclass(frozen=True)
class Samples:
    """The training set of a surrogate."""

    presence: Presence  # (n, d)
    answers: Numbers  # (n,), the network's answer for each perturbed film
    closeness: Numbers  # (n,), above 0, the weight of each

    def rows(self, chosen: NDArray[np.int_] | slice) -> Samples:
        """Some of the samples."""
        return Samples(self.presence[chosen], self.answers[chosen], self.closeness[chosen])

    def joined(self, others: Samples) -> Samples:
        """These samples, then the others."""
        return Samples(np.concatenate([self.presence, others.presence]),
                       np.concatenate([self.answers, others.answers]),
                       np.concatenate([self.closeness, others.closeness]))

    def columns(self, chosen: NDArray[np.int_]) -> Samples:
        """Some of the superpixels."""
        return Samples(self.presence[:, chosen], self.answers, self.closeness)

    @property
    def is_constant(self) -> bool:
        """All answers are the same."""
        return bool(np.ptp(self.answers) == 0)


@dataclass(frozen=True)
class Fitted:
    """A surrogate's weights, float (d,), and its weighted R²; None where the network's answers don't vary."""

    weights: Numbers
    r2: float | None


def fit_surrogate(kind: str, samples: Samples, *, strength: float = 1.0, keep: int | None = None,
                  seed: int = 0) -> Fitted:
    """Fit g to the network's answers, each weighted by its closeness to the film.

    Args:
        kind: "logistic" (answers in [0, 1]), "ridge" or "tree".
        strength: Inverse of the penalty on the weights, as C in scikit-learn; the tree knows none.
        keep: Superpixels that g may use at most; None leaves it all.
        seed: Of ties in the tree.

    Returns:
        Signed weights: of log-odds for "logistic", else of the answer; for a tree, the mean change of its
        answer when the superpixel appears. All 0 where the answers don't vary.

    Raises:
        OptionError: Another kind, nothing to keep.
    """
    check_known("surrogate", kind, SURROGATES)
    superpixels = samples.presence.shape[1]
    if keep is not None and keep < 1:
        raise OptionError("An explanation must keep at least one superpixel.", received=f"{keep}")
    if samples.is_constant:
        return Fitted(np.zeros(superpixels), None)
    chosen = np.arange(superpixels)
    if keep is not None and keep < superpixels:
        chosen = _CHOOSE[kind](samples, keep)
    weights = np.zeros(superpixels)
    weights[chosen], predicted = SURROGATES[kind](samples.columns(chosen), strength, seed)
    return Fitted(weights, weighted_r2(samples, predicted))


def weighted_r2(samples: Samples, predicted: Numbers) -> float | None:
    """1 minus the weighted squared error over the weighted variance of the answers; None without any."""
    centre = np.average(samples.answers, weights=samples.closeness)
    spread = np.average((samples.answers - centre) ** 2, weights=samples.closeness)
    if spread <= 0:
        return None
    return float(1 - np.average((samples.answers - predicted) ** 2, weights=samples.closeness) / spread)


def _logistic(samples: Samples, strength: float, seed: int) -> tuple[Numbers, Numbers]:
    """The likelihood of equation 2: an answer of 0.7 counts as 0.7 of a yes and 0.3 of a no."""
    from sklearn.linear_model import LogisticRegression

    rows, yes, weights = _as_yes_and_no(samples)
    model = LogisticRegression(C=strength, max_iter=500).fit(rows, yes, weights)
    return model.coef_[0], model.predict_proba(samples.presence)[:, 1]


def _ridge(samples: Samples, strength: float, seed: int) -> tuple[Numbers, Numbers]:
    from sklearn.linear_model import Ridge

    presence = samples.presence.astype(np.float64)
    model = Ridge(alpha=1 / strength).fit(presence, samples.answers, samples.closeness)
    return model.coef_, model.predict(presence)


def _tree(samples: Samples, strength: float, seed: int) -> tuple[Numbers, Numbers]:
    from sklearn.tree import DecisionTreeRegressor

    model = DecisionTreeRegressor(max_leaf_nodes=_LEAVES, min_samples_leaf=5, random_state=seed)
    model.fit(samples.presence, samples.answers, samples.closeness)
    weights = np.zeros(samples.presence.shape[1])
    for superpixel in np.flatnonzero(model.feature_importances_):
        present, absent = samples.presence.copy(), samples.presence.copy()
        present[:, superpixel], absent[:, superpixel] = True, False
        change = model.predict(present) - model.predict(absent)
        weights[superpixel] = np.average(change, weights=samples.closeness)
    return weights, model.predict(samples.presence)


def _as_yes_and_no(samples: Samples) -> tuple[Presence, NDArray[np.int_], Numbers]:
    """Rows that are answered with yes, then those with no, each with its share of the weight."""
    yes, no = samples.answers > 0, samples.answers < 1
    rows = np.concatenate([samples.presence[yes], samples.presence[no]])
    weights = np.concatenate([(samples.closeness * samples.answers)[yes],
                              (samples.closeness * (1 - samples.answers))[no]])
    return rows, np.repeat([1, 0], [yes.sum(), no.sum()]), weights


def _choose_by_logistic(samples: Samples, keep: int) -> NDArray[np.int_]:
    """The superpixels of the L1 path of logistic regression, as far as it has no more than `keep`."""
    from sklearn.linear_model import LogisticRegression

    rows, yes, weights = _as_yes_and_no(samples)

    def coefficients(strength: float) -> Numbers:
        # liblinear shrinks the intercept too, unless its column is large
        model = LogisticRegression(C=strength, l1_ratio=1.0, solver="liblinear", intercept_scaling=100.0,
                                   max_iter=500, random_state=0)
        return np.asarray(model.fit(rows, yes, weights).coef_[0])

    return _as_many(coefficients, keep)


def _choose_by_lasso(samples: Samples, keep: int) -> NDArray[np.int_]:
    """The same for linear regression."""
    from sklearn.linear_model import Lasso

    scale = float(samples.answers.std())

    def coefficients(strength: float) -> Numbers:
        model = Lasso(alpha=scale / strength / 1e3)
        return np.asarray(model.fit(samples.presence.astype(float), samples.answers,
                                    samples.closeness).coef_)

    return _as_many(coefficients, keep)


def _choose_by_tree(samples: Samples, keep: int) -> NDArray[np.int_]:
    """The superpixels that matter most to a tree of all."""
    return np.sort(np.argsort(-np.abs(_tree(samples, 1.0, 0)[0]), kind="stable")[:keep])


def _as_many(coefficients: Callable[[float], Numbers], keep: int) -> NDArray[np.int_]:
    """Superpixels with a weight at the weakest penalty that leaves no more than `keep`, by bisection."""
    low, high = 1e-5, 1e5
    best = np.array([], dtype=int)
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(low * high))
        chosen = np.flatnonzero(coefficients(middle))
        if len(chosen) > keep:
            high = middle
            continue
        low = middle
        best = chosen if len(chosen) else best
        if len(chosen) == keep:
            break
    return best


SURROGATES: dict[str, Fit] = {"logistic": _logistic, "ridge": _ridge, "tree": _tree}
_CHOOSE: dict[str, Callable[[Samples, int], NDArray[np.int_]]] = {
    "logistic": _choose_by_logistic, "ridge": _choose_by_lasso, "tree": _choose_by_tree}
