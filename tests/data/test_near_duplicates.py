import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.data import near_duplicates as room
from pneumo_tf.data.near_duplicates import find_pairs, near_duplicates


def make_film(seed: int) -> np.ndarray:
    """A chest in the coarse, like all others, with fine structure of its own."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:160j, -1:1:160j]
    chest = 190 - 120 * (np.exp(-((x - 0.4) ** 2 + y**2) * 6) + np.exp(-((x + 0.4) ** 2 + y**2) * 6))
    fine = cv2.resize(generator.normal(0, 18, (48, 48)), (160, 160), interpolation=cv2.INTER_CUBIC)
    return np.clip(chest + fine, 0, 255).astype(np.uint8)


def recompressed(film: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(film).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


COPIES = {
    "saved again": lambda film: recompressed(film, 20),
    "of half the size": lambda film: cv2.resize(film, (80, 80), interpolation=cv2.INTER_AREA),
    "brightened": lambda film: (255 * (film / 255) ** 0.7).astype(np.uint8),
    "darkened": lambda film: (film * 0.6).astype(np.uint8),
    "in colour": lambda film: np.repeat(film[:, :, None], 3, axis=2),
    "turned by a degree": lambda film: cv2.warpAffine(film, cv2.getRotationMatrix2D((80, 80), 1, 1),
                                                      (160, 160), borderMode=cv2.BORDER_REPLICATE),
}


@pytest.fixture
def films():
    return [make_film(seed) for seed in range(30)]


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_found_however_it_was_made(films, change):
    pairs = find_pairs([*films, COPIES[change](films[4])])
    assert [(pair.first, pair.second) for pair in pairs] == [(4, 30)]
    assert 0.85 <= pairs[0].likeness <= 1


def test_films_that_are_alike_only_in_the_coarse_are_no_pair(films):
    small = [cv2.resize(film, (32, 32), interpolation=cv2.INTER_AREA).ravel() for film in films]
    assert np.corrcoef(small).min() > 0.9
    assert find_pairs(films) == []


def test_pairs_are_found_across_the_blocks_that_are_compared_at_a_time():
    films = [np.random.default_rng(seed).integers(0, 255, (64, 64), dtype=np.uint8) for seed in range(600)]
    films[599], films[300] = films[2], films[310]
    assert [(pair.first, pair.second) for pair in find_pairs(films)] == [(2, 599), (300, 310)]


def test_blank_films_are_like_nothing():
    assert find_pairs([np.full((90, 90), grey, np.uint8) for grey in (0, 0, 255, 128)]) == []
    assert find_pairs([]) == []


def test_films_may_come_one_by_one_and_differ_in_size(films):
    stream = (film for film in [films[0], COPIES["of half the size"](films[0])[:, :, None], films[1]])
    assert len(find_pairs(stream)) == 1


def test_pairs_across_splits_come_first_with_patients_and_labels(films):
    places = [("train", "p0", "N"), ("train", "p1", "P"), ("train", "p1", "P"), ("test", "p2", "N")]
    cohort = Cohort(tuple(Radiograph(f"f{row}", label, split=split, patient=patient)
                          for row, (split, patient, label) in enumerate(places)))
    found = near_duplicates(cohort, [films[0], films[1], films[1], recompressed(films[0], 20)])
    assert (found["films"], found["pairs"], found["across"]) == (4, 2, 1)
    assert found["found"][0]["ids"] == ["f0", "f3"]
    assert found["found"][0]["splits"] == ["train", "test"]
    assert found["found"][0]["patients"] == ["p0", "p2"]
    assert found["found"][1]["ids"] == ["f1", "f2"]
    json.dumps(found, allow_nan=False)


def test_copies_among_too_many_films_to_compare_all_are_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    films = [rng.integers(0, 256, (64, 64), dtype=np.uint8) for _ in range(300)]
    copies = [np.clip(film + rng.normal(0, 12, film.shape), 0, 255).astype(np.uint8) for film in films[:60]]
    blank = [np.full((64, 64), 7, np.uint8)] * 2
    exact = find_pairs([*films, *copies, *blank])
    monkeypatch.setattr(room, "_MANY", 0)
    found = find_pairs([*films, *copies, *blank])
    assert [(pair.first, pair.second) for pair in exact] == [(pair.first, pair.second) for pair in found]
    assert sorted(pair.second - pair.first for pair in found) == [300] * 60
    assert [pair.likeness for pair in found] == pytest.approx([pair.likeness for pair in exact], abs=1e-6)
