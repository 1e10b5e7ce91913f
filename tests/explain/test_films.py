"""Where lungs lie on the films that are explained, on phantoms whose lungs and lesions are known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pneumo_tf.data.preparation.filters import FilterOptions, find_lungs, framed_and_filtered
from pneumo_tf.explain import films
from pneumo_tf.phantoms.write import Phantom, draw_phantom

SIDE = 128


def at_size(mask: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(mask).resize((SIDE, SIDE), Image.Resampling.NEAREST))


def as_met(film: np.ndarray) -> np.ndarray:
    """uint8 (128, 128, 3)."""
    return np.asarray(Image.fromarray(film).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


@pytest.fixture(scope="module")
def sick() -> list[Phantom]:
    return [draw_phantom("bacteria", patient_seed=seed, film_seed=seed) for seed in range(8)]


def test_they_hold_the_true_lungs_and_not_much_else(sick: list[Phantom]) -> None:
    for phantom in sick:
        found = films.find_lungs(as_met(phantom.film))
        assert found is not None
        assert found[at_size(phantom.lungs)].mean() > 0.8
        assert found.mean() < 2 * phantom.lungs.mean() + 0.05


def test_a_lobe_that_is_white_belongs_to_them(sick: list[Phantom]) -> None:
    shares = []
    for phantom in sick:
        white = phantom.film.copy()
        white[phantom.lesion] = np.maximum(white[phantom.lesion], 190)
        found = films.find_lungs(as_met(white))
        if found is not None:
            shares.append(found[at_size(phantom.lesion)].mean())
    assert len(shares) >= 6
    assert np.median(shares) > 0.7


def test_they_are_found_on_films_that_were_cut_to_them(sick: list[Phantom]) -> None:
    for phantom in sick:
        film = Image.fromarray(phantom.film)
        cut = framed_and_filtered(film, FilterOptions(size=SIDE, fit="lungs"))
        assert cut.as_asked
        found = films.find_lungs(np.asarray(cut.image.convert("RGB")))
        assert found is not None
        box = find_lungs(film).widened(0.05).pixels(*film.size)
        truth = at_size(phantom.lungs[box[1] : box[3], box[0] : box[2]])
        assert found[truth].mean() > 0.8


def test_a_picture_without_lungs_has_none() -> None:
    assert films.find_lungs(np.full((SIDE, SIDE, 3), 90, np.uint8)) is None
