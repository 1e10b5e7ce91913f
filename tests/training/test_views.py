"""Views: drawn from ranges and presets, then acting on films, against closed forms, NumPy and Pillow."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr
from scipy.stats import kstest

from pneumo_tf.errors import OptionError
from pneumo_tf.training.views import (
    CLEAN,
    FILMS,
    PRESETS,
    Augmentation,
    View,
    affine_matrix,
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
                                  f"Choose one of: {', '.join(PRESETS)}.")


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


SIDE = 64
Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def noise_film(request: pytest.FixtureRequest) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, request.param), dtype=np.uint8)


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def smooth_film(request: pytest.FixtureRequest) -> np.ndarray:
    rough = np.random.default_rng(1).normal(size=(SIDE, SIDE, request.param))
    smooth = gaussian_filter(rough, (5, 5, 0))
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


@pytest.fixture
def ramp() -> np.ndarray:
    """Every grey level, 16 × 16."""
    return np.arange(256, dtype=np.uint8).reshape(16, 16, 1)


def disc(radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return ((rows**2 + columns**2 < radius**2) * 200).astype(np.uint8)[..., None]


def flat(grey: int, side: int = 200) -> np.ndarray:
    return np.full((side, side, 3), grey, np.uint8)


def through_pillow(film: np.ndarray, quality: int) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(film.squeeze()).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).reshape(film.shape)


@pytest.mark.parametrize("view", [CLEAN, View(noise_seed=7), View(border="nearest")])
def test_the_default_view_is_the_film_itself_in_new_memory(noise_film: np.ndarray, view: View) -> None:
    seen = apply_view(noise_film, view)
    np.testing.assert_array_equal(seen, noise_film, strict=True)
    assert not np.shares_memory(seen, noise_film)


EVERYTHING = View(rotation=5, shear=3, crop=(0.1, 0.1, 0.8, 0.8), gamma=1.1, contrast=1.1, blur=0.5,
                  multiply=(0.9, 1.1), noise=2, jpeg_quality=80, erase=(0.1, 0.2, 0.3, 0.1))


@pytest.mark.parametrize("view", [EVERYTHING, View(erase=(0, 0, 0.5, 0.5)), View(multiply=(1.2, 1.5)),
                                  View(brightness=0.5), View(flip=True, border="constant")])
def test_a_view_keeps_the_shape_of_its_film_and_leaves_it_unchanged(
        noise_film: np.ndarray, view: View) -> None:
    before = noise_film.copy()
    seen = apply_view(noise_film, view)
    assert (seen.shape, seen.dtype) == (before.shape, before.dtype)
    assert not np.array_equal(seen, before)
    np.testing.assert_array_equal(noise_film, before)


@pytest.mark.parametrize("border", ["black", "nearest", "constant"])
@pytest.mark.parametrize(("changes", "turned"), [
    ({"rotation": 90}, np.rot90),
    ({"rotation": -90}, lambda film: np.rot90(film, -1)),
    ({"rotation": 180}, lambda film: film[::-1, ::-1]),
    ({"flip": True}, np.fliplr),
    ({"flip_vertical": True}, np.flipud),
    ({"flip": True, "rotation": 90}, lambda film: np.rot90(np.fliplr(film))),
    ({"flip_vertical": True, "rotation": 90}, lambda film: np.rot90(np.flipud(film))),
])
def test_turns_and_flips_are_those_of_numpy(
        noise_film: np.ndarray, changes: dict, turned: Change, border: str) -> None:
    np.testing.assert_array_equal(apply_view(noise_film, View(**changes, border=border)), turned(noise_film))


@pytest.mark.parametrize("border", ["black", "constant"])
def test_a_shift_moves_to_the_right_and_down_and_leaves_black_behind(
        noise_film: np.ndarray, border: str) -> None:
    expected = np.zeros_like(noise_film)
    expected[8:, 4:] = noise_film[:-8, :-4]
    view = View(shift_x=4 / SIDE, shift_y=8 / SIDE, border=border)
    np.testing.assert_array_equal(apply_view(noise_film, view), expected)


def test_the_nearest_border_continues_the_edge(noise_film: np.ndarray) -> None:
    expected = np.pad(noise_film, ((8, 0), (4, 0), (0, 0)), mode="edge")[:-8, :-4]
    view = View(shift_x=4 / SIDE, shift_y=8 / SIDE, border="nearest")
    np.testing.assert_array_equal(apply_view(noise_film, view), expected)


def test_magnifying_a_disc_twice_doubles_its_radius() -> None:
    np.testing.assert_allclose(apply_view(disc(10), View(scale=2)).mean(), disc(20).mean(), rtol=0.03)


def test_aspect_widens_as_much_as_it_flattens() -> None:
    rows, columns = np.nonzero(apply_view(disc(10), View(aspect=4))[..., 0] > 100)
    assert np.ptp(columns) + 1 == pytest.approx(40, abs=2)
    assert np.ptp(rows) + 1 == pytest.approx(10, abs=2)


def test_shear_makes_an_upright_line_lean_like_italics() -> None:
    line = np.zeros((SIDE, SIDE, 1), np.uint8)
    line[:, 31:33] = 200
    seen = apply_view(line, View(shear=20))[..., 0].astype(float)
    inside = slice(4, -4)
    place = (seen * np.arange(SIDE)).sum(axis=1)[inside] / seen.sum(axis=1)[inside]
    above_centre = ((SIDE - 1) / 2 - np.arange(SIDE))[inside]
    np.testing.assert_allclose(place, 31.5 + np.tan(np.deg2rad(20)) * above_centre, atol=0.1)


@pytest.mark.parametrize("box", [(0, 0, 0.5, 0.5), (0.25, 0.125, 0.7, 0.8), (0.613, 0.4, 0.3, 0.41)])
def test_a_crop_is_resized_as_by_pillow(smooth_film: np.ndarray, box: tuple) -> None:
    left, top, width, height = (SIDE * edge for edge in box)
    expected = np.asarray(Image.fromarray(smooth_film.squeeze()).resize(
        (SIDE, SIDE), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height)))
    seen = apply_view(smooth_film, View(crop=box, border="nearest"))
    inside = np.s_[3:-3, 3:-3]  # at the very edge we see beyond the box, Pillow does not
    np.testing.assert_allclose(seen[inside], expected.reshape(seen.shape)[inside].astype(float), atol=1.01)


def test_a_crop_comes_before_all_other_geometry() -> None:
    box = (0.2, 0.1, 0.5, 0.6)
    view = View(rotation=10, scale=1.1, aspect=0.9, shear=4, shift_x=0.1, flip=True)
    whole = np.vstack([affine_matrix(View(crop=box), 50, 80), [0, 0, 1]])
    composed = affine_matrix(view, 50, 80) @ whole
    both = View(rotation=10, scale=1.1, aspect=0.9, shear=4, shift_x=0.1, flip=True, crop=box)
    np.testing.assert_allclose(affine_matrix(both, 50, 80), composed, atol=1e-9)


@pytest.mark.parametrize(("view", "closed_form"), [
    (View(gamma=1.35), lambda v: 255 * (v / 255) ** 1.35),
    (View(gamma=0.5), lambda v: 255 * (v / 255) ** 0.5),
    (View(brightness=1.15), lambda v: 1.15 * v),
    (View(offset=-20), lambda v: v - 20),
    (View(contrast=0.75), lambda v: v.mean() + 0.75 * (v - v.mean())),
    (View(contrast=1.3, brightness=0.85, offset=3), lambda v: 0.85 * (v.mean() + 1.3 * (v - v.mean())) + 3),
])
def test_grey_levels_follow_their_closed_form(ramp: np.ndarray, view: View, closed_form: Change) -> None:
    expected = np.clip(closed_form(ramp.astype(float)), 0, 255)
    np.testing.assert_allclose(apply_view(ramp, view), expected, atol=0.501)


def test_blur_turns_an_edge_into_the_normal_distribution() -> None:
    edge = np.zeros((SIDE, SIDE, 1), np.uint8)
    edge[:, SIDE // 2:] = 200
    distance = np.arange(SIDE) - (SIDE - 1) / 2
    seen = apply_view(edge, View(blur=1.2))[SIDE // 2, :, 0]
    np.testing.assert_allclose(seen, 200 * ndtr(distance / 1.2), atol=4)


def test_additive_noise_has_its_deviation_and_stays_grey() -> None:
    seen = apply_view(flat(128), View(noise=6, noise_seed=3))
    assert seen[..., 0].std() == pytest.approx(6, rel=0.03)
    assert seen.mean() == pytest.approx(128, abs=0.1)
    assert (seen == seen[..., :1]).all()
    assert not np.array_equal(seen, apply_view(flat(128), View(noise=6, noise_seed=4)))


def test_every_channel_value_is_multiplied_by_a_factor_of_its_own() -> None:
    factors = apply_view(flat(160), View(multiply=(1.2, 1.5), noise_seed=3)) / 160
    assert factors.min() >= 1.2 - 0.5 / 160
    assert factors.max() <= 1.5 + 0.5 / 160
    assert kstest(factors.ravel(), "uniform", args=(1.2, 0.3)).statistic < 0.02  # whole levels are 1/48 apart
    by_channel, neighbours = factors.reshape(-1, 3), factors[..., 0]
    assert np.abs(np.corrcoef(by_channel.T) - np.eye(3)).max() < 0.02
    assert abs(np.corrcoef(neighbours[:, 1:].ravel(), neighbours[:, :-1].ravel())[0, 1]) < 0.02


def test_multiplied_values_are_clipped_at_white_and_black_stays_black() -> None:
    view = View(multiply=(1.2, 1.5))
    assert (apply_view(flat(220), view) == 255).all()
    assert (apply_view(flat(0), view) == 0).all()


def test_a_lower_jpeg_quality_loses_more(smooth_film: np.ndarray) -> None:
    views = [apply_view(smooth_film, View(jpeg_quality=quality)).astype(int) for quality in (100, 90, 35, 5)]
    losses = [float(np.abs(view - smooth_film).mean()) for view in views]
    assert losses[0] == 0
    assert losses == sorted(set(losses))
    assert losses[-1] < 25


@pytest.mark.parametrize("quality", [1, 35, 60.9, 75, 99])
def test_a_jpeg_is_the_one_pillow_writes(smooth_film: np.ndarray, quality: float) -> None:
    seen = apply_view(smooth_film, View(jpeg_quality=quality))
    np.testing.assert_array_equal(seen, through_pillow(smooth_film, int(quality)))


def test_an_erased_box_is_black_and_the_rest_is_not_touched(noise_film: np.ndarray) -> None:
    expected = noise_film.copy()
    expected[16:32, 8:40] = 0
    np.testing.assert_array_equal(apply_view(noise_film, View(erase=(0.125, 0.25, 0.5, 0.25))), expected)


def test_grey_repeated_in_three_channels_is_seen_the_same() -> None:
    grey = disc(20)
    view = View(rotation=7, scale=1.1, gamma=0.8, contrast=1.2, blur=1, noise=4, noise_seed=1)
    colour = apply_view(np.repeat(grey, 3, axis=-1), view)
    np.testing.assert_array_equal(colour, np.repeat(apply_view(grey, view), 3, axis=-1))


def as_published(image: np.ndarray, view: View) -> np.ndarray:
    """The preset `films` as it stood when its figures were measured, written out step by step."""
    height, width = image.shape[:2]
    warped = cv2.warpAffine(image, affine_matrix(view, height, width), (width, height)).reshape(image.shape)
    levels = np.linspace(0, 1, 256) ** view.gamma * 255
    mean = levels[warped].mean()
    levels = (mean + (levels - mean) * view.contrast) * view.brightness
    pixels = cv2.LUT(warped, levels.astype(np.float32)).reshape(image.shape)
    if view.blur > 0.1:
        pixels = cv2.GaussianBlur(pixels, (0, 0), view.blur).reshape(image.shape)
    rng = np.random.default_rng(view.noise_seed)
    noise = rng.standard_normal((height, width, 1), dtype=np.float32)
    whole = np.clip(np.rint(pixels + view.noise * noise), 0, 255).astype(np.uint8)
    return through_pillow(whole, int(view.jpeg_quality))


def test_the_films_of_published_figures_keep_their_pixels(smooth_film: np.ndarray) -> None:
    for number in range(60):
        view = sample_view(FILMS, view_rng(0, number, 0))
        np.testing.assert_array_equal(apply_view(smooth_film, view), as_published(smooth_film, view))


@pytest.mark.parametrize("channels", [1, 3])
def test_sharpening_alone_steepens_an_edge_and_leaves_flat_parts(channels: int) -> None:
    film = np.full((60, 60, channels), 100, np.uint8)
    film[:, 30:] = 150
    sharp = apply_view(film, View(sharpen=1.0))
    assert sharp.shape == film.shape
    assert sharp[30, 29, 0] < 100 < 150 < sharp[30, 30, 0]
    assert (sharp[:, :20] == 100).all()
