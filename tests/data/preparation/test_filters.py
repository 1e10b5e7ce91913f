"""Filters against the tutorial's own Pillow calls, and against what each mode must come to."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from pneumo_tf.data.images import to_eight_bits
from pneumo_tf.data.preparation.filters import FilterOptions, apply_filters, framed_and_filtered
from pneumo_tf.data.preparation.lungs import lungs_box
from pneumo_tf.errors import OptionError
from pneumo_tf.phantoms.write import draw_phantom

UNCHANGED = FilterOptions(brightness=1, contrast=1, size=64)


@pytest.fixture
def grey() -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16), np.uint8)
    return Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)


def tutorial(image: Image.Image) -> Image.Image:
    image = ImageEnhance.Brightness(image).enhance(0.7)
    image = ImageEnhance.Contrast(image).enhance(2.0)
    image.thumbnail((299, 299), Image.Resampling.LANCZOS)
    return image


def same(first: Image.Image, second: Image.Image) -> bool:
    return first.mode == second.mode and np.array_equal(np.asarray(first), np.asarray(second))


def test_a_grey_film_comes_out_as_the_tutorial_made_it(grey: Image.Image) -> None:
    assert same(apply_filters(grey, FilterOptions()), tutorial(grey))


def test_a_colour_photograph_comes_out_as_the_tutorial_made_it(grey: Image.Image) -> None:
    photograph = Image.merge("RGB", [grey, grey.rotate(180), grey.rotate(90)])
    assert same(apply_filters(photograph, FilterOptions(color=True)), tutorial(photograph))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_grey_film_gives_the_same_pixels_however_it_was_stored(grey: Image.Image, mode: str) -> None:
    stored = to_eight_bits(grey.convert(mode))
    assert same(apply_filters(stored, FilterOptions()), apply_filters(grey, FilterOptions()))


def test_a_palette_of_greys_gives_the_same_pixels_as_grey(grey: Image.Image) -> None:
    palette = grey.copy()
    palette.putpalette(bytes(level for grey_level in range(256) for level in [grey_level] * 3))
    assert palette.mode == "P"
    assert same(apply_filters(to_eight_bits(palette), FilterOptions()), apply_filters(grey, FilterOptions()))


def test_nothing_of_the_original_file_is_carried_along(grey: Image.Image) -> None:
    grey.info["comment"] = b"patient: Ana"
    file = BytesIO()
    apply_filters(grey, UNCHANGED).save(file, "JPEG")
    assert b"Ana" not in file.getvalue()


@pytest.mark.parametrize(("fit", "size"), [("thumbnail", (64, 48)), ("pad", (64, 64)), ("squash", (64, 64))])
def test_each_fit_has_its_canvas(grey: Image.Image, fit: str, size: tuple[int, int]) -> None:
    assert apply_filters(grey, FilterOptions(size=64, fit=fit)).size == size


def test_a_thumbnail_never_enlarges(grey: Image.Image) -> None:
    assert apply_filters(grey, FilterOptions(size=5000)).size == grey.size


def test_pad_centres_the_film_on_black() -> None:
    padded = np.asarray(apply_filters(Image.new("L", (200, 100), 255), FilterOptions(1, 1, 100, "pad")))
    assert (padded[:25] == 0).all()
    assert (padded[25:75] == 255).all()
    assert (padded[75:] == 0).all()


def test_options_survive_json() -> None:
    options = FilterOptions(0.5, 1.5, 224, "pad", True)
    assert FilterOptions.from_json({**options.to_json(), "per_class": 3}) == options


@pytest.mark.parametrize("wrong", [{"brightness": 0}, {"contrast": float("nan")}, {"size": 0},
                                   {"fit": "stretch"}])
def test_options_without_meaning_are_refused(wrong: dict) -> None:
    with pytest.raises(OptionError, match=f"The {next(iter(wrong))} must be"):
        FilterOptions(**wrong)


def test_crop_keeps_the_square_in_the_middle(grey: Image.Image) -> None:
    options = FilterOptions(brightness=1, contrast=1, size=480, fit="crop")
    assert np.array_equal(np.asarray(apply_filters(grey, options)), np.asarray(grey)[:, 80:560])
    upright = grey.rotate(90, expand=True)
    assert np.array_equal(np.asarray(apply_filters(upright, options)), np.asarray(upright)[80:560])


@pytest.fixture(scope="module")
def chest() -> Image.Image:
    return Image.fromarray(draw_phantom("normal", patient_seed=21, film_seed=22).film)


def test_lungs_hides_how_wide_the_film_was_framed(chest: Image.Image) -> None:
    wide = ImageOps.expand(chest, (chest.width // 4, 10, chest.width // 4, 30))
    seen = [np.asarray(apply_filters(film, FilterOptions(1, 1, 64, "lungs"))) for film in (chest, wide)]
    squashed = [np.asarray(apply_filters(film, FilterOptions(1, 1, 64, "squash"))) for film in (chest, wide)]
    assert seen[0].shape == (64, 64)
    assert np.corrcoef(seen[0].ravel(), seen[1].ravel())[0, 1] > 0.95
    assert np.corrcoef(squashed[0].ravel(), squashed[1].ravel())[0, 1] < 0.8


def test_lungs_keeps_the_lungs_and_leaves_the_shoulders_out(chest: Image.Image) -> None:
    box = lungs_box(np.asarray(chest))
    assert box is not None
    ours = np.asarray(apply_filters(chest, FilterOptions(1, 1, 64, "lungs")))
    inner = chest.crop(box.widened(0.05).pixels(*chest.size)).resize((64, 64), Image.Resampling.LANCZOS)
    assert np.array_equal(ours, np.asarray(inner))


@pytest.mark.parametrize(("fit", "tone"), [("thumbnail", (0.7, 2)), ("crop", (0.7, 2)), ("lungs", (1, 1)),
                                           ("auto", (None, None))])
def test_the_tutorials_tone_is_for_other_frames_than_the_lungs(fit: str, tone: tuple) -> None:
    options = FilterOptions(fit=fit)
    assert (options.brightness, options.contrast) == tone
    settled = replace(FilterOptions(0.5, fit="auto"), fit="lungs")
    assert (settled.brightness, settled.contrast) == (0.5, 1)


def test_how_a_film_was_framed_is_known_as_shares(chest: Image.Image) -> None:
    wide = ImageOps.expand(chest, (chest.width // 2, 0), fill=0)
    ImageDraw.Draw(wide).rectangle((0, 0, wide.width // 10, wide.height // 10), fill=255)
    facts = [{name: float(text) for name, text in framed_and_filtered(film, FilterOptions(fit="lungs"))
              .framing.items()} for film in (chest, wide)]
    assert facts[1]["near_black"] == pytest.approx((facts[0]["near_black"] + 1) / 2, abs=0.02)
    assert facts[1]["lungs_width"] == pytest.approx(facts[0]["lungs_width"] / 2, rel=0.1)
    assert facts[1]["lungs_height"] == pytest.approx(facts[0]["lungs_height"], rel=0.1)
    assert facts[1]["corner_marks"] == pytest.approx((0.1 / 0.15) ** 2 / 4, rel=0.05)


def test_a_film_without_lungs_is_cropped_to_its_middle(grey: Image.Image) -> None:
    films = [apply_filters(grey, FilterOptions(1, 1, 64, fit)) for fit in ("lungs", "crop")]
    assert same(*films)


def test_colour_is_kept_in_the_crop(grey: Image.Image) -> None:
    film = apply_filters(grey.convert("RGB"), FilterOptions(size=32, fit="crop", color=True))
    assert (film.mode, film.size) == ("RGB", (32, 32))
