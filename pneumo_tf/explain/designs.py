"""Which superpixels are present in which perturbed film.

Every design gives each superpixel presence with probability ½. They differ in what the rows have to do with
each other: the more evenly they cover the cube, the fewer are needed for the same answer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

from pneumo_tf.errors import OptionError

Presence = NDArray[np.bool_]


def draw_presence(design: str, superpixels: int, samples: int, *, seed: int = 0) -> Presence:
    """Presence vectors of a design, always the same for the same seed.

    Args:
        design: "bernoulli": independent fair coins. "antithetic": fair coins in pairs of a vector and its
            opposite, so that whatever two superpixels do only together cancels out. "hadamard": such pairs,
            and in every block of rows each two superpixels meet equally often, so that no superpixel is
            mistaken for another.
        superpixels: d, at least 1.
        samples: n, at least 1.
        seed: Of the coins.

    Returns:
        bool (n, d).

    Raises:
        OptionError: Another design.
    """
    if design not in DESIGNS:
        raise OptionError("Samples must be drawn by a design that this program knows.", received=design,
                          remedy=f"Choose one of: {', '.join(DESIGNS)}.")
    return DESIGNS[design](superpixels, samples, np.random.default_rng(seed))


def block_size(design: str, superpixels: int) -> int:
    """Rows after which a design is complete: its figures are best at a multiple of them."""
    return {"bernoulli": 1, "antithetic": 2, "hadamard": 2 * _order(superpixels)}[design]


def _bernoulli(superpixels: int, samples: int, rng: np.random.Generator) -> Presence:
    return rng.random((samples, superpixels)) < 0.5


def _antithetic(superpixels: int, samples: int, rng: np.random.Generator) -> Presence:
    return _with_opposites(_bernoulli(superpixels, -(-samples // 2), rng))[:samples]


def _hadamard(superpixels: int, samples: int, rng: np.random.Generator) -> Presence:
    """Folded-over Hadamard matrices (Plackett and Burman, Biometrika 1946), drawn anew for each block."""
    blocks = -(-samples // block_size("hadamard", superpixels))
    return np.concatenate([_hadamard_block(superpixels, rng) for _ in range(blocks)])[:samples]


def _hadamard_block(superpixels: int, rng: np.random.Generator) -> Presence:
    """Random columns, signs and order of rows; opposites balance the constant column too."""
    order = _order(superpixels)
    columns = rng.permutation(order)[:superpixels]
    signs = rng.choice([-1, 1], superpixels)
    rows = hadamard(order)[:, columns] * signs > 0
    return _with_opposites(rows[rng.permutation(order)])


def _order(superpixels: int) -> int:
    """The smallest power of two with a column for each superpixel."""
    return 1 << (superpixels - 1).bit_length()


def _with_opposites(rows: Presence) -> Presence:
    """Each row followed by its opposite."""
    return np.stack([rows, ~rows], axis=1).reshape(-1, rows.shape[1])


DESIGNS: dict[str, Callable[[int, int, np.random.Generator], Presence]] = {
    "bernoulli": _bernoulli, "antithetic": _antithetic, "hadamard": _hadamard}
