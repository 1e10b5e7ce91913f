"""Perturbations change what they are called after, and nothing else."""

import numpy as np
import pytest

from pneumo_tf.studies.perturbations import perturbations, rescaled, without_border, without_corners

SIDE = 100


@pytest.fixture
def film() -> np.ndarray:
    """A smooth grey film, bright everywhere."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    grey = 120 + 60 * np.sin(rows / 17) * np.cos(columns / 23)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)


def test_every_perturbation_gives_another_film_and_leaves_its_own_alone(film: np.ndarray) -> None:
    before = film.copy()
    for name, change in perturbations(SIDE).items():
        changed = change(film)
        assert (changed.shape, changed.dtype) == (film.shape, np.uint8), name
        assert (changed != film).any(), name
        assert (film == before).all(), name


def test_border_and_corners_are_black_and_the_rest_stays(film: np.ndarray) -> None:
    border, corners = without_border(film), without_corners(film)
    assert not border[:8].any()
    assert not border[:, -8:].any()
    assert (border[8:-8, 8:-8] == film[8:-8, 8:-8]).all()
    assert not corners[:18, :18].any()
    assert not corners[-18:, -18:].any()
    assert (corners[18:-18] == film[18:-18]).all()
    assert (corners[:, 18:-18] == film[:, 18:-18]).all()


def test_half_the_resolution_keeps_the_large_and_loses_the_small(film: np.ndarray) -> None:
    squares = (np.indices((SIDE, SIDE)).sum(axis=0) % 2 * 255).astype(np.uint8)
    chequered = np.repeat(squares[..., None], 3, axis=-1)
    assert np.abs(rescaled(film, 0.5).astype(int) - film).max() <= 2
    assert np.ptp(rescaled(chequered, 0.5)[2:-2, 2:-2]) <= 1


def test_flip_and_negative_undo_themselves(film: np.ndarray) -> None:
    every = perturbations(SIDE)
    for name in ("flip", "negative"):
        assert (every[name](every[name](film)) == film).all()
    assert (every["flip"](film) == film[:, ::-1]).all()


def test_brightness_and_contrast_go_the_way_they_say(film: np.ndarray) -> None:
    every = perturbations(SIDE)
    assert every["darker"](film).mean() < film.mean() < every["brighter"](film).mean()
    assert every["less_contrast"](film).std() < film.std() < every["more_contrast"](film).std()


def test_turning_counter_clockwise_moves_the_right_hand_side_up() -> None:
    film = np.zeros((SIDE, SIDE, 3), np.uint8)
    film[45:55, 80:90] = 255
    turned = perturbations(SIDE)["rotate_+10"](film)
    assert np.argwhere(turned[..., 0] > 128)[:, 0].mean() < 48
