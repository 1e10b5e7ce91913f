"""The lung finder that is shipped, against the lungs of phantoms and against pictures that are no chests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from pneumo_tf.data.preparation.lungs import NETWORK, SIZE, Box, lung_logits, lungs_box
from pneumo_tf.phantoms.lesions import Kind
from pneumo_tf.phantoms.write import Phantom, draw_phantom

Film = NDArray[np.uint8]
RANDOM = np.random.default_rng(0)
NO_CHESTS = {
    "camera": skimage.data.camera(), "coins": skimage.data.coins(), "page": skimage.data.page(),
    "brick": skimage.data.brick(), "moon": skimage.data.moon(),
    "noise": RANDOM.integers(0, 256, (224, 224), np.uint8), "black": np.zeros((224, 224), np.uint8),
    "white": np.full((224, 224), 255, np.uint8), "ramp": np.tile(np.arange(224, dtype=np.uint8), (224, 1)),
}


@pytest.fixture(scope="module", params=["normal", "bacteria", "virus"])
def phantom(request: pytest.FixtureRequest) -> Phantom:
    kind: Kind = request.param
    return draw_phantom(kind, patient_seed=77, film_seed=78)


def overlap(one: Box | None, other: Box | None) -> float:
    """Area that two boxes share over the area that they cover together."""
    assert one is not None
    assert other is not None
    shared = ((min(one.right, other.right) - max(one.left, other.left))
              * (min(one.bottom, other.bottom) - max(one.top, other.top)))
    return shared / (area(one) + area(other) - shared)


def area(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)


def true_box(phantom: Phantom) -> Box:
    rows, columns = np.nonzero(phantom.lungs)
    height, width = phantom.lungs.shape
    return Box(columns.min() / width, rows.min() / height, columns.max() / width, rows.max() / height)


def test_the_box_holds_the_phantoms_lungs(phantom: Phantom) -> None:
    assert overlap(lungs_box(phantom.film), true_box(phantom)) > 0.85


def test_the_cells_that_are_lung_are_the_phantoms(phantom: Phantom) -> None:
    found = lung_logits(phantom.film) > 0
    true = cv2.resize(phantom.lungs.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_AREA) > 0.5
    assert 2 * np.count_nonzero(found & true) / (found.sum() + true.sum()) > 0.9


def test_a_mirrored_film_has_the_mirrored_box(phantom: Phantom) -> None:
    # A film of as many columns as the network's is mirrored without resampling.
    small = cv2.resize(phantom.film, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    box, mirrored = lungs_box(small), lungs_box(np.ascontiguousarray(small[:, ::-1]))
    assert box is not None
    assert mirrored is not None
    assert (1 - mirrored.right, mirrored.top, 1 - mirrored.left, mirrored.bottom) == pytest.approx(
        (box.left, box.top, box.right, box.bottom))


def test_a_darkened_film_keeps_its_box(phantom: Phantom) -> None:
    darkened = (200 * (phantom.film / 255) ** 1.6).astype(np.uint8)
    assert overlap(lungs_box(phantom.film), lungs_box(darkened)) > 0.9


def test_a_film_in_a_wider_frame_keeps_its_lungs(phantom: Phantom) -> None:
    width = phantom.film.shape[1]
    wider = cv2.copyMakeBorder(phantom.film, 0, 0, width // 6, width // 6, cv2.BORDER_CONSTANT)
    box = lungs_box(wider)
    assert box is not None
    narrowed = Box((box.left * 8 - 1) / 6, box.top, (box.right * 8 - 1) / 6, box.bottom)
    assert overlap(lungs_box(phantom.film), narrowed) > 0.85


@pytest.mark.parametrize("name", NO_CHESTS)
def test_what_is_no_chest_has_no_lungs(name: str) -> None:
    assert lungs_box(NO_CHESTS[name]) is None


def test_a_film_on_its_side_has_no_lungs(phantom: Phantom) -> None:
    assert lungs_box(np.ascontiguousarray(np.rot90(phantom.film))) is None


def test_threads_find_what_one_thread_finds(phantom: Phantom) -> None:
    with ThreadPoolExecutor(4) as pool:
        boxes = set(pool.map(lungs_box, [phantom.film] * 16))
    assert boxes == {lungs_box(phantom.film)}


@pytest.mark.parametrize("box", [Box(0, 0, 1, 1), Box(0.2, 0.3, 0.2, 0.3), Box(0.99, 0.99, 1, 1)])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (640, 480)])
def test_a_box_always_has_pixels_on_the_film(box: Box, size: tuple[int, int]) -> None:
    left, top, right, bottom = box.widened(0.05).pixels(*size)
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]


def test_the_network_is_small_enough_to_ship() -> None:
    assert NETWORK.stat().st_size <= 500_000
