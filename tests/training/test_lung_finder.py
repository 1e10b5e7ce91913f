"""What the lung finder learns from: views that are repeatable, with masks that lie where the lungs went."""

from __future__ import annotations

import numpy as np
import pytest

from pneumo_tf.data.preparation.lungs import SIZE
from pneumo_tf.phantoms.write import Phantom
from pneumo_tf.training import lung_finder
from pneumo_tf.training.lung_finder import draw_wide_phantom, masks_loss, sample_pair


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return draw_wide_phantom(3)


def test_a_wide_phantom_shows_both_lungs_whole() -> None:
    for seed in range(4):
        lungs = draw_wide_phantom(seed).lungs
        assert 0.05 < lungs.mean() < 0.4
        assert not np.concatenate([lungs[0], lungs[-1], lungs[:, 0], lungs[:, -1]]).any()


def test_a_view_is_standardised_and_repeatable(phantom: Phantom) -> None:
    for seed in range(12):
        film, mask = sample_pair(phantom, np.random.default_rng(seed))
        again = sample_pair(phantom, np.random.default_rng(seed))
        assert film.shape == mask.shape == (SIZE, SIZE)
        assert abs(film.mean()) < 1e-3
        assert 0 <= mask.min() <= mask.max() <= 1
        assert np.array_equal(film, again[0])
        assert np.array_equal(mask, again[1])


def test_the_mask_goes_where_the_film_goes(phantom: Phantom) -> None:
    marked = Phantom(np.where(phantom.lungs, 255, 0).astype(np.uint8), phantom.lesion, phantom.lungs)
    for seed in range(12):
        film, mask = lung_finder._framed(marked, np.random.default_rng(seed))
        inside = np.zeros((SIZE, SIZE), bool)
        inside[6:-6, 6:-6] = True  # beyond the phantom's edge a film may go on, its lungs don't
        assert np.abs(film - mask)[inside].mean() < 0.05


def test_strange_views_have_no_lungs(phantom: Phantom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lung_finder, "_STRANGE", 1.0)
    assert not any(sample_pair(phantom, np.random.default_rng(seed))[1].any() for seed in range(20))


def test_the_loss_is_cross_entropy_plus_what_dice_lacks() -> None:
    truth = np.zeros((1, SIZE, SIZE, 1), np.float32)
    truth[:, :48] = 1
    logits = np.full_like(truth, 0.3)
    share, half = 1 / (1 + np.exp(-0.3)), truth.sum()
    dice = (2 * share * half + 20) / (half + share * truth.size + 20)
    expected = -(np.log(share) + np.log(1 - share)) / 2 + 1 - dice
    assert float(masks_loss(truth, logits)) == pytest.approx(expected, rel=1e-4)
    assert float(masks_loss(truth, 200 * (truth - 0.5))) == pytest.approx(0, abs=1e-4)
