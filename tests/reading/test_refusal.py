"""What is refused and why: every code on a picture that deserves it, and none on a film that is right."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage import data
from sklearn.datasets import load_sample_images

from pneumo_tf.evaluation.novelty import fit_novelty
from pneumo_tf.evaluation.shift import FACTS, Sample
from pneumo_tf.evaluation.sides import fit_sides, side_differences
from pneumo_tf.phantoms.skin import draw_skin
from pneumo_tf.phantoms.write import draw_phantom
from pneumo_tf.reading.refusal import CODES, DOUBTS, REFUSALS, TURNS, Judge, Verdict, put_right
from pneumo_tf.report.words import language, languages
from pneumo_tf.runs.reference import Reference

CHEST = Judge(language("en"), 128, is_grey=True, is_chest=True, reference=None)
OTHER = replace(CHEST, is_grey=False, is_chest=False)
KINDS = ("normal", "bacteria", "virus")


@pytest.fixture(scope="module")
def films() -> list[Image.Image]:
    """Nine synthetic chest films, grey as they come."""
    return [Image.fromarray(draw_phantom(KINDS[seed % 3], patient_seed=seed, film_seed=seed).film)
            for seed in range(9)]


def test_every_code_is_explained_in_every_language() -> None:
    assert set(CODES) == {*REFUSALS, *DOUBTS}
    for code, reasons in CODES.items():
        assert reasons.keys() == set(languages())
        assert len(set(reasons.values())) == len(reasons), code


def test_no_film_that_is_right_is_refused(films: list[Image.Image]) -> None:
    assert [CHEST.look(film) for film in films] == [Verdict()] * len(films)
    assert [CHEST.look(film.convert("RGB")) for film in films[:2]] == [Verdict()] * 2


@pytest.mark.parametrize(("code", "spoil"), [
    ("upside_down", lambda film: film.transpose(Image.Transpose.ROTATE_180)),
    ("sideways", lambda film: film.transpose(Image.Transpose.ROTATE_90)),
    ("sideways", lambda film: film.transpose(Image.Transpose.ROTATE_270)),
    ("inverted", ImageOps.invert)])
def test_a_film_that_lies_wrongly_is_said_and_can_be_put_right(
        films: list[Image.Image], code: str, spoil: Callable[[Image.Image], Image.Image]) -> None:
    for film in films:
        verdict = CHEST.look(spoil(film))
        assert verdict.refusal == code
        righted = put_right(spoil(film), verdict.turn)
        np.testing.assert_array_equal(np.asarray(righted), np.asarray(film))
        assert CHEST.look(righted) == Verdict()


def test_every_way_to_put_a_film_right_undoes_itself_or_its_opposite(films: list[Image.Image]) -> None:
    for turn, back in (("half", "half"), ("left", "right"), ("mirror", "mirror"), ("negative", "negative")):
        again = put_right(put_right(films[0], turn), back)
        np.testing.assert_array_equal(np.asarray(again), np.asarray(films[0]))
    assert set(TURNS) == {"half", "left", "right", "mirror"}
    assert put_right(films[0], "") is films[0]


NOISE = np.random.default_rng(0)
EMPTY = {"black": np.zeros((300, 400)), "white": np.full((300, 400), 255),
         "nearly alike": NOISE.normal(120, 2, (300, 400)), "noise": NOISE.integers(0, 256, (300, 400)),
         "coarse noise": np.kron(NOISE.integers(0, 256, (75, 100)), np.ones((4, 4)))}


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("judge", [CHEST, OTHER], ids=["a chest run", "another"])
def test_what_shows_nothing_is_refused_by_every_run(name: str, judge: Judge) -> None:
    assert judge.look(Image.fromarray(EMPTY[name].astype(np.uint8))).refusal == "no_picture"


def test_a_film_of_half_the_networks_pixels_is_the_smallest_that_is_taken(films: list[Image.Image]) -> None:
    assert CHEST.look(films[0].resize((90, 64))) == Verdict()
    assert CHEST.look(films[0].resize((90, 63))).refusal == "too_small"


@pytest.mark.parametrize("picture", [data.astronaut, data.chelsea, data.coffee,
                                     lambda: load_sample_images().images[0],
                                     lambda: load_sample_images().images[1]])
def test_photographs_in_colour_are_no_films_and_grey_ones_show_no_lungs(
        picture: Callable[[], np.ndarray]) -> None:
    photograph = Image.fromarray(picture())
    assert CHEST.look(photograph).refusal == "in_colour"
    assert CHEST.look(photograph.convert("L")).refusal == "not_frontal_chest"
    assert OTHER.look(photograph) == Verdict()


def test_skin_is_refused_by_a_chest_run_and_taken_by_another() -> None:
    skin = Image.fromarray(draw_skin("malignant", patient_seed=1, film_seed=1).film)
    assert CHEST.look(skin).refusal == "in_colour"
    assert OTHER.look(skin) == Verdict()


@pytest.fixture(scope="module")
def knowing(films: list[Image.Image]) -> Judge:
    """A judge that knows 80 films by their features, and their sides from nine drawn ones and their likes."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(160, 20)).astype(np.float32)
    novelty = fit_novelty(features[:80], np.arange(80) % 2, features[80:])
    small = [np.asarray(film.resize((96, 96)))[..., None] for film in films]
    many = [np.roll(film, (rng.integers(-2, 3), rng.integers(-2, 3)), (0, 1)) for film in small * 6]
    sides = fit_sides(side_differences(many), side_differences(many))
    assert novelty is not None
    assert sides is not None
    own = Sample(np.zeros((1, 21)), np.zeros((1, len(FACTS))))
    return replace(CHEST, reference=Reference(novelty, own, sides))


def test_what_is_unlike_all_films_is_refused(knowing: Judge, films: list[Image.Image]) -> None:
    pixels = np.asarray(films[0].convert("RGB").resize((128, 128)))
    assert knowing.judge(pixels, np.zeros(20)) == Verdict()
    assert knowing.judge(pixels, np.full(20, 9.0)).refusal == "unlike"
    assert knowing.judge(pixels, np.full(20, np.nan)).refusal == "unlike"


def test_a_mirrored_film_is_judged_but_said(knowing: Judge, films: list[Image.Image]) -> None:
    pixels = [np.asarray(ImageOps.mirror(film.convert("RGB")).resize((128, 128))) for film in films]
    mirrored = [knowing.judge(film, np.zeros(20)) for film in pixels]
    assert {verdict.refusal for verdict in mirrored} == {""}
    said = [verdict for verdict in mirrored if verdict.turn == "mirror"]
    assert len(said) > len(films) / 2
    assert {verdict.reason for verdict in said} == {CODES["mirrored"]["en"]}


def test_a_run_that_kept_nothing_says_so_and_refuses_nothing() -> None:
    verdict = CHEST.judge(np.zeros((128, 128, 3), np.uint8), np.zeros(20))
    assert verdict.refusal == ""
    assert "isn't known" in verdict.reason
    assert set(CHEST.not_known) == {"unlike", "mirrored"}
    assert set(OTHER.not_known) == {"in_colour", "not_frontal_chest", "unlike", "mirrored"}


def test_reasons_are_in_the_readers_language(films: list[Image.Image]) -> None:
    spanish = replace(CHEST, words=language("es"))
    assert spanish.look(ImageOps.flip(films[0]).transpose(Image.Transpose.FLIP_LEFT_RIGHT)).reason == \
        CODES["upside_down"]["es"]


def test_judging_needs_neither_keras_nor_scikit_learn() -> None:
    script = ("import sys, pneumo_tf.reading.refusal\n"
              "print(sorted({'keras', 'tensorflow', 'sklearn'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          check=True).stdout == "[]\n"
