import tracemalloc

import cv2
import numpy as np
import pytest

from pneumo_tf.evaluation.pixel_facts import NAMES, pixel_facts


def only(film):
    return {name: float(values[0]) for name, values in pixel_facts([film]).items()}


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(40, 200, (60, 80), dtype=np.uint8)


def test_brightness_and_contrast_are_mean_and_standard_deviation(noise):
    found = only(noise)
    assert found["brightness"] == pytest.approx(noise.mean())
    assert found["contrast"] == pytest.approx(noise.std())


def test_the_border_is_what_lies_outside_the_box_of_the_film(noise):
    framed = np.zeros((100, 100), np.uint8)
    framed[10:70, 5:85] = noise
    assert only(framed)["border"] == pytest.approx(1 - 60 * 80 / 100**2)
    assert only(noise)["border"] == 0


def test_ringing_and_a_dark_lung_are_no_border(noise):
    dark_inside = noise.copy()
    dark_inside[20:40] = 0
    assert only(dark_inside)["border"] == 0
    ringing = np.zeros((100, 100), np.uint8)
    ringing[::2] = 9
    ringing[10:70, 5:85] = noise
    assert only(ringing)["border"] == pytest.approx(1 - 60 * 80 / 100**2)


def test_a_blurred_film_is_less_sharp(noise):
    assert only(cv2.GaussianBlur(noise, (0, 0), 2))["sharpness"] < only(noise)["sharpness"] - 1


def test_a_black_film_has_facts_too():
    assert only(np.zeros((8, 8), np.uint8)) == {"brightness": 0, "contrast": 0, "border": 1, "sharpness": 0}


def test_one_channel_three_channels_and_none_say_the_same(noise):
    films = [noise, noise[:, :, None], np.repeat(noise[:, :, None], 3, axis=2)]
    for values in pixel_facts(films).values():
        assert np.ptp(values) == pytest.approx(0, abs=1e-9)


def test_films_are_read_one_by_one():
    films = (np.full((1000, 1000), 7, np.uint8) for _ in range(40))
    tracemalloc.start()
    found = pixel_facts(films)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6  # all of them are 40 MB
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(NAMES, (40,))
