"""What views are drawn from: ranges, presets, and one random stream for each film."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import kstest

from pneumo_tf.errors import OptionError
from pneumo_tf.training.augment import (
    FILMS,
    PRESETS,
    Augmentation,
    View,
    apply_view,
    get_preset,
    sample_view,
    view_rng,
)


def drawn(augmentation: Augmentation, count: int = 500) -> list[View]:
    rng = np.random.default_rng(0)
    return [sample_view(augmentation, rng) for _ in range(count)]


def values(views: list[View], name: str) -> np.ndarray:
    return np.array([getattr(view, name) for view in views])


@pytest.fixture
def small_film() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 40, 1), dtype=np.uint8)


def test_parameters_are_drawn_inside_their_ranges_and_all_over_them() -> None:
    views = drawn(FILMS)
    ranges = {**asdict(FILMS), "shift_x": FILMS.shift, "shift_y": FILMS.shift}
    for name in ("rotation", "scale", "aspect", "shift_x", "shift_y", "gamma", "contrast", "brightness",
                 "blur", "noise", "jpeg_quality"):
        low, high = ranges[name]
        seen = values(views, name)
        assert low <= seen.min() < low + 0.05 * (high - low), name
        assert high - 0.05 * (high - low) < seen.max() <= high, name


def test_shear_is_drawn_evenly() -> None:
    shears = values(drawn(Augmentation(shear=(-10, 30))), "shear")
    assert kstest(shears, "uniform", args=(-10, 40)).pvalue > 0.01


@pytest.mark.parametrize("name", ["scale", "aspect", "gamma"])
def test_factors_are_drawn_evenly_about_one(name: str) -> None:
    """A uniform draw from 0.5 to 2 would shrink only a third of the films."""
    factors = np.log2(values(drawn(Augmentation(**{name: (0.5, 2)}), 2000), name))
    np.testing.assert_allclose(np.quantile(factors, [0.25, 0.5, 0.75]), [-0.5, 0, 0.5], atol=0.06)


@pytest.mark.parametrize("name", ["flip", "flip_vertical"])
def test_flips_come_as_often_as_asked(name: str) -> None:
    flips = values(drawn(Augmentation(**{name: 0.3}), 2000), name)
    assert flips.mean() == pytest.approx(0.3, abs=0.04)


def test_a_crop_has_the_areas_aspects_and_places_of_torchvision() -> None:
    """Its algorithm, where no draw is refused: area and logarithmic aspect uniform, then the free room."""
    views = drawn(Augmentation(crop_area=(0.08, 0.5), crop_aspect=(3 / 4, 4 / 3)), 1000)
    left, top, width, height = np.array([view.crop for view in views]).T
    for seen, start, length in [
            (width * height, 0.08, 0.42), (np.log(width / height), np.log(3 / 4), np.log(16 / 9)),
            (left / (1 - width), 0, 1), (top / (1 - height), 0, 1)]:
        assert kstest(seen, "uniform", args=(start, length)).pvalue > 0.01


def test_a_crop_never_leaves_the_film() -> None:
    left, top, width, height = np.array([view.crop for view in drawn(get_preset("skin"))]).T
    assert min(left.min(), top.min()) >= 0
    assert max((left + width).max(), (top + height).max()) <= 1 + 1e-12
    assert (width * height).min() < 0.15
    assert (width * height).max() > 0.9


def test_a_crop_that_cannot_fit_is_the_largest_in_the_middle() -> None:
    view = drawn(Augmentation(crop_area=(1, 1), crop_aspect=(2, 3)), 1)[0]
    assert view.crop == (0, 0.25, 1, 0.5)


def test_erased_boxes_come_as_often_and_as_large_as_asked() -> None:
    views = drawn(Augmentation(erase=0.25, erase_area=(0.02, 0.3), erase_aspect=(0.5, 2)), 2000)
    boxes = np.array([view.erase for view in views if view.erase])
    assert len(boxes) / len(views) == pytest.approx(0.25, abs=0.03)
    assert kstest(boxes[:, 2] * boxes[:, 3], "uniform", args=(0.02, 0.28)).pvalue > 0.01


def test_parameters_that_nobody_asks_for_take_no_draw() -> None:
    """So the views of older runs can be drawn again: ten numbers, a seed, a quality and a flip each."""
    rng, replay = np.random.default_rng(0), np.random.default_rng(0)
    sample_view(FILMS, rng)
    replay.random(10)
    replay.integers(2**32)
    replay.random(2)
    assert rng.bit_generator.state == replay.bit_generator.state


def test_films_are_never_flipped_and_its_ranges_are_those_of_the_published_figures() -> None:
    assert get_preset("films") == FILMS == Augmentation(
        rotation=(-12, 12), scale=(0.85, 1.25), aspect=(0.9, 1.1), shift=(-0.06, 0.06), gamma=(0.75, 1.35),
        contrast=(0.75, 1.3), brightness=(0.85, 1.15), blur=(0, 1.2), noise=(0, 6), jpeg_quality=(35, 100))
    assert not any(view.flip or view.flip_vertical for view in drawn(FILMS))


def test_without_augmentation_a_film_stays_as_it_is(small_film: np.ndarray) -> None:
    seen = apply_view(small_film, sample_view(get_preset("none"), view_rng(0, 0, 0)))
    np.testing.assert_array_equal(seen, small_film)


@pytest.mark.parametrize("name", ["tutorial", "skin"])
def test_continued_borders_let_no_black_in(name: str) -> None:
    white = np.full((48, 48, 1), 255, np.uint8)
    assert all((apply_view(white, view) == 255).all() for view in drawn(get_preset(name), 50))


def test_the_tutorial_turns_and_shifts_as_far_as_its_generator() -> None:
    views = drawn(get_preset("tutorial"))
    for name, limit in (("rotation", 30), ("shift_x", 0.2), ("shift_y", 0.2)):
        assert kstest(values(views, name), "uniform", args=(-limit, 2 * limit)).pvalue > 0.01, name
    assert values(views, "flip").mean() == pytest.approx(0.5, abs=0.07)


def test_the_assignment_flips_left_to_right_turns_and_brightens(small_film: np.ndarray) -> None:
    views = drawn(get_preset("assignment"))
    assert values(views, "flip").mean() == pytest.approx(0.5, abs=0.07)
    assert not values(views, "flip_vertical").any()
    assert kstest(values(views, "rotation"), "uniform", args=(-20, 40)).pvalue > 0.01
    grey = np.full((64, 64, 1), 100, np.uint8)
    middle = np.stack([apply_view(grey, view)[24:40, 24:40] for view in views[:20]])
    assert (middle.min(), middle.max()) == (120, 150)


def test_an_unknown_preset_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(OptionError) as refusal:
        get_preset("mirror")
    assert str(refusal.value) == ("An augmentation is known by one of its names. Received: mirror. "
                                  "Choose one of none, films, tutorial, skin, assignment.")


def test_a_view_depends_on_seed_film_and_repeat_and_not_on_the_order_of_drawing() -> None:
    names = [(seed, film, repeat) for seed in (0, 1) for film in (0, 1) for repeat in (0, 1)]
    forwards = {name: sample_view(FILMS, view_rng(*name)) for name in names}
    backwards = {name: sample_view(FILMS, view_rng(*name)) for name in reversed(names)}
    assert forwards == backwards
    assert len(set(forwards.values())) == len(names)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_number_of_threads_never_changes_a_pixel(small_film: np.ndarray, preset: str) -> None:
    def draw(name: tuple[int, int]) -> np.ndarray:
        return apply_view(small_film, sample_view(PRESETS[preset], view_rng(3, *name)))

    names = [(film, epoch) for epoch in range(3) for film in range(20)]
    alone = [draw(name) for name in names]
    for threads in (1, 2, 5):
        with ThreadPoolExecutor(threads) as pool:
            np.testing.assert_array_equal(list(pool.map(draw, names)), alone)
