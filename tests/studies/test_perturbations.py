"""Perturbations change what they are called after, and nothing else."""

import cv2
import numpy as np
import pytest

from pneumo_tf.studies.perturbations import APART, HOSPITALS, STRESSES, perturbations, rescaled

SIDE = 100


@pytest.fixture
def film() -> np.ndarray:
    """A smooth grey film, bright everywhere."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    grey = 120 + 60 * np.sin(rows / 17) * np.cos(columns / 23)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [SIDE, SIDE // 3])
def test_every_perturbation_gives_another_film_and_leaves_its_own_alone(
        film: np.ndarray, channels: int, size: int) -> None:
    """At the network's size and larger, grey or in colour, square or not."""
    film = np.ascontiguousarray(film[:80, :, :channels])
    before = film.copy()
    for name, change in perturbations(size).items():
        changed = change(film)
        assert (changed.shape, changed.dtype) == (film.shape, np.uint8), name
        assert (changed != film).any(), name
        assert (film == before).all(), name


def test_border_and_corners_are_black_and_the_rest_stays(film: np.ndarray) -> None:
    border, corners = (perturbations(SIDE)[name](film) for name in ("border", "corners"))
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


def test_every_kind_is_in_the_table_and_what_stands_apart_is_the_negative() -> None:
    kinds = {row.kind for row in STRESSES.values()}
    assert kinds >= {"magnification", "shift", "crop", "mask", "aspect", "gamma", "contrast", "brightness",
                     "equalisation", "blur", "sharpening", "noise", "JPEG", "resolution", "mirror",
                     "hospital"}
    assert set(STRESSES) >= APART == {"negative"}
    scales = {row.view.scale for row in STRESSES.values() if row.kind == "magnification"}
    assert (min(scales), max(scales)) == (0.8, 1.4)


def test_a_training_tries_ten_or_so_of_several_kinds() -> None:
    brief = perturbations(SIDE, brief=True)
    assert 8 <= len(brief) <= 12
    assert set(brief) > HOSPITALS
    assert len({STRESSES[name].kind for name in brief}) >= 4


def test_an_invented_hospital_treats_all_films_alike_and_each_in_its_own_way(film: np.ndarray) -> None:
    every, again = perturbations(SIDE), perturbations(SIDE)
    seen = {name: every[name](film) for name in HOSPITALS}
    assert all((again[name](film) == picture).all() for name, picture in seen.items())
    assert len({picture.tobytes() for picture in seen.values()}) == len(HOSPITALS)


@pytest.mark.parametrize("name", ["noise", "blur", "half_size", "sharpen"])
def test_the_network_meets_about_the_same_whatever_the_size_of_the_film(name: str) -> None:
    rows, columns = np.mgrid[:400, :400]
    large = (120 + 60 * np.sin(rows / 11) * np.cos(columns / 13)).astype(np.uint8)[..., None]
    change = perturbations(100)[name]
    ours = rescaled_to(change(large), 100).astype(float)
    direct = change(rescaled_to(large, 100)).astype(float)
    assert abs((ours - direct).mean()) < 1
    assert ours.std() == pytest.approx(direct.std(), rel=0.1)


def rescaled_to(film: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(film, (size, size), interpolation=cv2.INTER_AREA)[..., None]
