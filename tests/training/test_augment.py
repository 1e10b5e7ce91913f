"""Views against closed forms, NumPy's own turns and flips, and Keras's generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
from keras._tf_keras.keras.preprocessing.image import ImageDataGenerator
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from pneumo_tf.training.augment import CLEAN, FILMS, Augmentation, View, apply_view, sample_view, view_rng

SIDE = 64
Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def noise_film(request: pytest.FixtureRequest) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, request.param), dtype=np.uint8)


@pytest.fixture
def smooth_film() -> np.ndarray:
    rough = np.random.default_rng(1).normal(size=(SIDE, SIDE))
    smooth = gaussian_filter(rough, 5)
    scaled = 255 * (smooth - smooth.min()) / np.ptp(smooth)
    return scaled.astype(np.uint8)[..., None]


@pytest.fixture
def ramp() -> np.ndarray:
    """Every grey level, 16 × 16."""
    return np.arange(256, dtype=np.uint8).reshape(16, 16, 1)


def disc(radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return ((rows**2 + columns**2 < radius**2) * 200).astype(np.uint8)[..., None]


@pytest.mark.parametrize("view", [CLEAN, View(noise_seed=7)], ids=["clean", "through every step"])
def test_the_default_view_is_the_film_itself_in_new_memory(noise_film: np.ndarray, view: View) -> None:
    seen = apply_view(noise_film, view)
    np.testing.assert_array_equal(seen, noise_film, strict=True)
    assert not np.shares_memory(seen, noise_film)


def test_a_view_leaves_its_film_unchanged(noise_film: np.ndarray) -> None:
    before = noise_film.copy()
    apply_view(noise_film, sample_view(FILMS, view_rng(0, 0, 0)))
    np.testing.assert_array_equal(noise_film, before)


@pytest.mark.parametrize(("view", "turned"), [
    (View(rotation=90), lambda film: np.rot90(film)),
    (View(rotation=-90), lambda film: np.rot90(film, -1)),
    (View(rotation=180), lambda film: film[::-1, ::-1]),
    (View(flip=True), lambda film: np.fliplr(film)),
    (View(flip=True, rotation=90), lambda film: np.rot90(np.fliplr(film))),
])
def test_turns_and_flips_are_those_of_numpy(noise_film: np.ndarray, view: View, turned: Change) -> None:
    np.testing.assert_array_equal(apply_view(noise_film, view), turned(noise_film))


def test_a_shift_moves_to_the_right_and_down_and_leaves_black_behind(noise_film: np.ndarray) -> None:
    expected = np.zeros_like(noise_film)
    expected[8:, 4:] = noise_film[:-8, :-4]
    np.testing.assert_array_equal(apply_view(noise_film, View(shift_x=4 / SIDE, shift_y=8 / SIDE)), expected)


def test_magnifying_a_disc_twice_doubles_its_radius() -> None:
    np.testing.assert_allclose(apply_view(disc(10), View(scale=2)).mean(), disc(20).mean(), rtol=0.03)


def test_aspect_widens_as_much_as_it_flattens() -> None:
    rows, columns = np.nonzero(apply_view(disc(10), View(aspect=4))[..., 0] > 100)
    assert np.ptp(columns) + 1 == pytest.approx(40, abs=2)
    assert np.ptp(rows) + 1 == pytest.approx(10, abs=2)


@pytest.mark.parametrize(("view", "closed_form"), [
    (View(gamma=1.35), lambda v: 255 * (v / 255) ** 1.35),
    (View(gamma=0.5), lambda v: 255 * (v / 255) ** 0.5),
    (View(brightness=1.15), lambda v: 1.15 * v),
    (View(contrast=0.75), lambda v: v.mean() + 0.75 * (v - v.mean())),
    (View(contrast=1.3, brightness=0.85), lambda v: 0.85 * (v.mean() + 1.3 * (v - v.mean()))),
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


def test_noise_has_its_deviation_and_stays_grey() -> None:
    flat = np.full((200, 200, 3), 128, np.uint8)
    seen = apply_view(flat, View(noise=6, noise_seed=3))
    assert seen[..., 0].std() == pytest.approx(6, rel=0.03)
    assert seen.mean() == pytest.approx(128, abs=0.1)
    assert (seen == seen[..., :1]).all()
    assert not np.array_equal(seen, apply_view(flat, View(noise=6, noise_seed=4)))


def test_a_lower_jpeg_quality_loses_more(smooth_film: np.ndarray) -> None:
    views = [apply_view(smooth_film, View(jpeg_quality=quality)).astype(int) for quality in (100, 90, 35, 5)]
    losses = [float(np.abs(view - smooth_film).mean()) for view in views]
    assert losses[0] == 0
    assert losses == sorted(set(losses))
    assert losses[-1] < 10


def test_grey_repeated_in_three_channels_is_seen_the_same(smooth_film: np.ndarray) -> None:
    view = View(rotation=7, scale=1.1, gamma=0.8, contrast=1.2, blur=1, noise=4, noise_seed=1)
    colour = apply_view(np.repeat(smooth_film, 3, axis=-1), view)
    np.testing.assert_array_equal(colour, np.repeat(apply_view(smooth_film, view), 3, axis=-1))


@pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")
@pytest.mark.parametrize(("view", "transform"), [
    (View(rotation=11), {"theta": 11}),
    (View(shift_x=0.055, shift_y=-0.03), {"tx": -0.055 * SIDE, "ty": 0.03 * SIDE}),
    (View(rotation=-8, scale=1.25), {"theta": -8, "zx": 0.8, "zy": 0.8}),
    (View(flip=True, scale=0.9), {"flip_horizontal": True, "zx": 1 / 0.9, "zy": 1 / 0.9}),
])
def test_geometry_agrees_with_the_generator_of_keras(
        smooth_film: np.ndarray, view: View, transform: dict[str, float]) -> None:
    generator = ImageDataGenerator(fill_mode="constant", cval=0, data_format="channels_last")
    expected = generator.apply_transform(smooth_film.astype("float32"), transform)
    inside = np.s_[12:-12, 12:-12]
    difference = np.abs(apply_view(smooth_film, view)[inside].astype(float) - expected[inside])
    assert difference.mean() < 1
    assert difference.max() < 4


def test_parameters_are_drawn_inside_their_ranges_and_all_over_them() -> None:
    rng = view_rng(0, 0, 0)
    views = [asdict(sample_view(FILMS, rng)) for _ in range(500)]
    ranges = asdict(FILMS)
    ranges["shift_x"] = ranges["shift_y"] = ranges.pop("shift")
    assert ranges.pop("flip") == 0
    for name, (low, high) in ranges.items():
        values = np.array([view[name] for view in views])
        assert low <= values.min() < low + 0.05 * (high - low), name
        assert high - 0.05 * (high - low) < values.max() <= high, name
    assert not any(view["flip"] for view in views)


@pytest.mark.parametrize("name", ["scale", "aspect", "gamma"])
def test_factors_are_drawn_evenly_about_one(name: str) -> None:
    """A uniform draw from 0.5 to 2 would shrink only a third of the films."""
    rng, augmentation = np.random.default_rng(0), Augmentation(**{name: (0.5, 2)})
    drawn = np.log2([getattr(sample_view(augmentation, rng), name) for _ in range(2000)])
    np.testing.assert_allclose(np.quantile(drawn, [0.25, 0.5, 0.75]), [-0.5, 0, 0.5], atol=0.06)


def test_flips_come_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    flips = [sample_view(Augmentation(flip=0.3), rng).flip for _ in range(2000)]
    assert np.mean(flips) == pytest.approx(0.3, abs=0.04)


def test_a_view_depends_on_seed_film_and_repeat_and_not_on_the_order_of_drawing() -> None:
    names = [(seed, film, repeat) for seed in (0, 1) for film in (0, 1) for repeat in (0, 1)]
    forwards = {name: sample_view(FILMS, view_rng(*name)) for name in names}
    backwards = {name: sample_view(FILMS, view_rng(*name)) for name in reversed(names)}
    assert forwards == backwards
    assert len(set(forwards.values())) == len(names)
