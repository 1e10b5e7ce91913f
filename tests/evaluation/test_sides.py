"""Left and right: told where films have sides, and never guessed where they have none."""

from __future__ import annotations

import numpy as np
import pytest

from pneumo_tf.evaluation.sides import Sides, fit_sides, side_differences


def films(count: int, seed: int, *, heart: float = 25.0) -> np.ndarray:
    """uint8 (count, 48, 48, 1): noise, and a brighter half-moon right of the middle, more or less large."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:48, :48] / 48
    pictures = rng.normal(100, 20, (count, 48, 48))
    for picture in pictures:
        centre, radius = rng.normal([0.6, 0.62], 0.04), rng.uniform(0.12, 0.25)
        picture[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2] += heart
    return pictures.clip(0, 255).astype(np.uint8)[..., None]


@pytest.fixture(scope="module")
def sides() -> Sides:
    found = fit_sides(side_differences(films(200, 1)), side_differences(films(120, 2)))
    assert found is not None
    return found


def test_a_mirrored_film_is_told_from_a_right_one(sides: Sides) -> None:
    fresh = films(100, 3)
    assert np.mean([sides.is_mirrored(film) for film in fresh]) <= 0.04
    assert np.mean([sides.is_mirrored(film[:, ::-1]) for film in fresh]) > 0.9


def test_the_score_of_a_mirror_image_is_the_negative(sides: Sides) -> None:
    film = films(1, 4)[0]
    scores = sides.scores(side_differences([film, film[:, ::-1]]))
    assert scores[0] == pytest.approx(-scores[1], abs=1e-4)


@pytest.mark.parametrize("change", [lambda film: film // 2, lambda film: film // 2 + 90])
def test_neither_brightness_nor_contrast_nor_colour_changes_the_answer(sides: Sides, change) -> None:
    film = films(1, 5)[0]
    assert not sides.is_mirrored(change(film))
    assert sides.is_mirrored(change(film)[:, ::-1])
    assert sides.is_mirrored(np.repeat(change(film)[:, ::-1], 3, axis=2))


def test_films_without_sides_are_not_asked() -> None:
    training, validation = (side_differences(films(count, count, heart=0)) for count in (200, 100))
    assert fit_sides(training, validation) is None
    assert fit_sides(side_differences(films(10, 6)), side_differences(films(10, 7))) is None
