"""The oracle of views: what Keras's ImageDataGenerator makes of the same parameters, borders included."""

from __future__ import annotations

import runpy
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from keras._tf_keras.keras.preprocessing.image import ImageDataGenerator
from PIL import Image
from scipy.ndimage import gaussian_filter

from pneumo_tf.errors import OptionError
from pneumo_tf.training.views import CLEAN, affine_matrix, apply_view

pytestmark = pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "keras_view.py"
view_of_keras = runpy.run_path(str(SCRIPT))["view_of_keras"]
SHAPES = {"grey": (64, 64, 1), "colour": (64, 64, 3), "oblong": (48, 80, 1)}
Parameters = dict[str, Any]


@pytest.fixture(params=list(SHAPES))
def smooth_film(request: pytest.FixtureRequest) -> np.ndarray:
    """Bright up to its edges, so that a wrong border shows."""
    smooth = gaussian_filter(np.random.default_rng(1).normal(size=SHAPES[request.param]), (4, 4, 0))
    return (60 + 195 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


@pytest.fixture
def real_film(shared: Path) -> np.ndarray:
    with ZipFile(shared / "data/kermany_train_224.zip") as archive:
        name = next(name for name in archive.namelist() if name.endswith(".jpeg"))
        return np.asarray(Image.open(BytesIO(archive.read(name))).convert("L"))[..., None]


def differences(film: np.ndarray, parameters: Parameters, fill_mode: Any) -> np.ndarray:
    """Absolute differences in grey levels, pixel by pixel."""
    generator = ImageDataGenerator(fill_mode=fill_mode, cval=0)
    expected = generator.apply_transform(film.astype("float32"), parameters)
    view = view_of_keras(parameters, *film.shape[:2], border=fill_mode)
    return np.abs(apply_view(film, view) - expected)


@pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
@pytest.mark.parametrize("parameters", [
    {},
    {"theta": 11},
    {"theta": -30},
    {"tx": 6.3},
    {"ty": -4.7},
    {"tx": 8, "ty": 3},
    {"theta": 20, "tx": -9.1, "ty": 5.4},
    {"shear": 15},
    {"shear": -25, "theta": 8},
    {"zx": 0.7, "zy": 0.7},
    {"zx": 1.3, "zy": 0.8},
    {"zx": 1.2, "zy": 0.9, "theta": 40, "shear": 12, "tx": 5.5, "ty": -2.5},
    {"flip_horizontal": True},
    {"flip_vertical": True},
    {"flip_horizontal": True, "theta": 17, "tx": 4.2},
    {"flip_vertical": True, "theta": -17, "shear": 10, "zx": 0.9, "zy": 1.2},
    {"flip_horizontal": True, "flip_vertical": True, "theta": 25, "ty": 7.7, "zx": 1.1, "zy": 1.3},
], ids=str)
def test_geometry_is_that_of_keras(smooth_film: np.ndarray, parameters: Parameters, fill_mode: str) -> None:
    difference = differences(smooth_film, parameters, fill_mode)
    assert difference.mean() < 0.4  # of rounding, 0.25 is left
    assert difference.max() < 5


@pytest.mark.parametrize("brightness", [0.0, 0.5, 0.9, 1.0, 1.2, 1.5])
@pytest.mark.parametrize("geometry", [{}, {"theta": 13, "tx": 3.3, "flip_horizontal": True}], ids=str)
def test_brightness_is_that_of_keras(
        smooth_film: np.ndarray, geometry: Parameters, brightness: float) -> None:
    difference = differences(smooth_film, {**geometry, "brightness": brightness}, "nearest")
    assert difference.mean() <= 1
    assert difference.max() < 6


def random_parameters(shape: tuple[int, ...], seed: int) -> Parameters:
    generator = ImageDataGenerator(
        rotation_range=45, width_shift_range=0.3, height_shift_range=0.3, shear_range=25, zoom_range=0.4,
        horizontal_flip=True, vertical_flip=True, brightness_range=(0.5, 1.5))
    return generator.get_random_transform(shape, seed=seed)


@pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
def test_the_generators_own_draws_give_the_same_films(smooth_film: np.ndarray, fill_mode: str) -> None:
    for seed in range(30):
        parameters = random_parameters(smooth_film.shape, seed)
        assert differences(smooth_film, parameters, fill_mode).mean() <= 1, parameters


@pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
def test_a_real_film_is_seen_as_by_keras(real_film: np.ndarray, fill_mode: str) -> None:
    for seed in range(10):
        parameters = random_parameters(real_film.shape, seed)
        assert differences(real_film, parameters, fill_mode).mean() <= 1, parameters


def test_nothing_asked_for_is_nothing_done() -> None:
    parameters = {"theta": 0, "zx": 1, "brightness": None, "channel_shift_intensity": None}
    assert view_of_keras(parameters, 64, 64, border="black") == CLEAN
    np.testing.assert_allclose(affine_matrix(view_of_keras({}, 50, 80), 50, 80), np.eye(2, 3), atol=1e-12)


@pytest.mark.parametrize("parameters", [{"channel_shift_intensity": 5.0}, {"zx": 0}, {"zx": -1, "zy": 1}])
def test_what_no_view_can_show_is_refused(parameters: Parameters) -> None:
    with pytest.raises(OptionError, match="no channel shift, and its zooms lie above 0") as refusal:
        view_of_keras(parameters, 64, 64)
    assert str(parameters) in str(refusal.value)
