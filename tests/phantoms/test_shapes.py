"""Path lengths, places and textures of the drawn shapes, against geometry."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pneumo_tf.phantoms.shapes import Frame, curve, ellipsoid, outlined, profile, smoothstep, texture, tubes


@pytest.fixture
def frame() -> Frame:
    """A film of 2 × 1.5 body units at 200 pixels to the unit, its origin in the upper left corner."""
    return Frame(300, 400, np.array([[200.0, 0, 0], [0, 200.0, 0]]))


def test_a_beam_through_the_middle_of_a_solid_tube_crosses_its_diameter(frame: Frame) -> None:
    path = tubes(frame, curve([(-0.5, 0.75), (1.0, 0.75), (2.5, 0.75)], 0.2))
    assert path[150, 200] == pytest.approx(0.4, abs=1e-3)


@pytest.mark.parametrize(("slope", "hollow", "marrow"), [(0.0, 0.0, 0.0), (0.3, 0.0, 0.0), (0.3, 0.7, 0.25)])
def test_the_path_lengths_across_a_tube_add_up_to_its_cross_section(
        frame: Frame, slope: float, hollow: float, marrow: float) -> None:
    line = curve([(-0.5, 0.75 - 1.5 * slope), (1.0, 0.75), (2.5, 0.75 + 1.5 * slope)], 0.1)
    path = tubes(frame, line, hollow=hollow, marrow=marrow)
    across = path[:, 200].sum() / 200 * np.cos(np.arctan(slope))
    assert across == pytest.approx(np.pi * 0.1**2 * (1 - (1 - marrow) * hollow**2), rel=0.02)


def test_a_hollow_tube_is_densest_at_its_rims(frame: Frame) -> None:
    path = tubes(frame, curve([(-0.5, 0.75), (1.0, 0.75), (2.5, 0.75)], 0.2), hollow=0.8)[:, 200]
    assert path.argmax() in (150 - 32, 150 + 32)


def test_a_tube_beyond_the_film_leaves_it_empty(frame: Frame) -> None:
    assert not tubes(frame, curve([(5.0, 5.0), (6.0, 5.0), (7.0, 5.0)], 0.1)).any()


def test_a_tube_beside_the_film_reaches_back_in(frame: Frame) -> None:
    path = tubes(frame, curve([(0.2, -0.1), (1.0, -0.1), (1.8, -0.1)], 0.2))
    assert path[0, 200] == pytest.approx(2 * np.sqrt(0.2**2 - 0.1**2), rel=0.01)


def test_a_turned_frame_finds_every_body_point_where_it_drew_it() -> None:
    turned = Frame(300, 400, np.array([[190.0, -60, 220], [60, 190.0, 30]]))
    x, y = turned.grid
    points = np.array([[x[17, 230], y[17, 230]], [x[250, 9], y[250, 9]]], dtype=float)
    np.testing.assert_allclose(turned.to_film(points), [[230, 17], [9, 250]], atol=1e-3)
    assert turned.scale == pytest.approx(np.hypot(190, 60))


@pytest.mark.parametrize(("height", "width"), [(300, 400), (301, 399)])
def test_a_halved_frame_sees_the_same_body(height: int, width: int) -> None:
    whole = Frame(height, width, np.array([[190.0, -60, 220], [60, 190.0, 30]]))
    for fine, coarse in zip(whole.grid, whole.halved().grid, strict=True):
        np.testing.assert_allclose(whole.doubled(coarse)[1:-2, 1:-2], fine[1:-2, 1:-2], atol=1e-4)


def test_an_ellipsoid_is_deepest_at_its_centre_and_has_the_volume_of_one(frame: Frame) -> None:
    depth = ellipsoid(frame, (1.0, 0.75), (0.5, 0.3), tilt=0.4)
    assert depth[150, 200] == pytest.approx(1, abs=1e-4)
    assert depth.sum() / 200**2 == pytest.approx(2 / 3 * np.pi * 0.5 * 0.3, rel=0.01)


def test_a_cushion_covers_its_outline_and_nothing_else(frame: Frame) -> None:
    around = [(1 + 0.5 * np.cos(a), 0.75 + 0.5 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 12)[:-1]]
    cushion = outlined(frame, around, rounding=0.1)
    disc = cv2.circle(np.zeros((300, 400), np.uint8), (200, 150), 100, 1, -1)
    assert ((cushion > 0) != disc).mean() < 0.01
    assert cushion[150, 200] == 1


def test_a_profile_passes_through_its_knots_and_is_constant_beyond() -> None:
    values = profile(np.array([-9.0, 0.0, 1.0, 2.0, 9.0], np.float32), [(0.0, 1.0), (1.0, 5.0), (2.0, 6.0)])
    np.testing.assert_allclose(values, [1, 1, 5, 6, 6], atol=0.01)


def test_a_texture_is_standardised_and_repeatable() -> None:
    clouds = [texture(np.random.default_rng(3), coarsest=0.3, octaves=4) for _ in range(2)]
    assert np.array_equal(*clouds)
    assert (clouds[0].mean(), clouds[0].std()) == pytest.approx((0, 1), abs=1e-4)


def test_a_step_rises_from_nothing_to_everything_over_its_width() -> None:
    values = smoothstep(np.array([-1, -0.1, 0, 0.1, 1], np.float32), 0.2)
    np.testing.assert_allclose(values, [0, 0, 0.5, 1, 1], atol=1e-6)
