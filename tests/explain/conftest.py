"""A film of shaded tiles, and networks whose answers are known from the tiles that are present."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

SIDE, TILES = 32, 16  # 4 × 4 tiles of 8 × 8 pixels


@pytest.fixture(scope="session")
def tiles() -> np.ndarray:
    """int32 (32, 32): the number of each pixel's tile."""
    rows, columns = np.mgrid[:SIDE, :SIDE] // 8
    return (4 * rows + columns).astype(np.int32)


@pytest.fixture(scope="session")
def tiled_film(tiles: np.ndarray) -> np.ndarray:
    """uint8 (32, 32, 3): each tile in a shade of its own, with a little grain, none of it black."""
    shades = np.random.default_rng(3).permutation(np.linspace(60, 230, TILES))[tiles]
    grain = np.random.default_rng(4).integers(-6, 7, (SIDE, SIDE))
    return np.repeat((shades + grain).astype(np.uint8)[..., None], 3, axis=-1)


@pytest.fixture(scope="session")
def network_of(tiles: np.ndarray) -> Callable[..., Callable[[np.ndarray], np.ndarray]]:
    """Networks of two classes whose log-odds are a function of which tiles aren't black.

    Called with the weight of each tile and a bias, or with any function of presence vectors.
    """
    corners = np.array([np.argwhere(tiles == number)[0] for number in range(TILES)])

    def build(weights: np.ndarray | Callable[[np.ndarray], np.ndarray], bias: float = 0.0
              ) -> Callable[[np.ndarray], np.ndarray]:
        def score(films: np.ndarray) -> np.ndarray:
            present = films[:, corners[:, 0], corners[:, 1], 0] > 0
            odds = weights(present) if callable(weights) else present @ weights + bias
            positive = 1 / (1 + np.exp(-odds))
            return np.stack([1 - positive, positive], axis=1).astype(np.float32)

        return score

    return build
