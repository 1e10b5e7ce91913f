"""Films decoded as Keras decodes them; damaged ones dropped without moving the others."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.data.images import read_film_file
from pneumo_tf.errors import FilmError, StorageError
from pneumo_tf.training import pixels as pixels_module
from pneumo_tf.training.pixels import Pixels, decode_cohort, load_film, resized
from pneumo_tf.training.store import Cache


def picture(mode: str, *, seed: int = 0) -> Image.Image:
    shape = (90, 120) if mode == "L" else (90, 120, 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def cohort_of(files: Sequence[str]) -> Cohort:
    return Cohort(tuple(Radiograph(id=f"film-{file}", label="NORMAL", file=file) for file in files))


@pytest.fixture
def grey_folder(tmp_path: Path) -> Path:
    """70 grey films, more than are read at a time, each of one level, its number, but for a speck."""
    folder = tmp_path / "grey"
    folder.mkdir()
    for level in range(70):
        film = np.full((20, 30), level, np.uint8)
        film[0, 0] += 1
        Image.fromarray(film).save(folder / f"{level:02}.png")
    return folder


@pytest.fixture
def damaged_folder(grey_folder: Path) -> Path:
    """The same with a truncated film, a web page, an empty file and a missing one among them."""
    picture("L").save(grey_folder / "whole.jpeg")
    (grey_folder / "01.png").write_bytes((grey_folder / "whole.jpeg").read_bytes()[:2000])
    (grey_folder / "02.png").write_text("<!DOCTYPE html>")
    (grey_folder / "65.png").write_bytes(b"")
    (grey_folder / "66.png").unlink()
    return grey_folder


def decode(folder: Path, files: Sequence[str], *, size: int = 8, workers: int = 3) -> tuple[Cohort, Pixels]:
    return decode_cohort(cohort_of(files), folder, size=size, cache=Cache(folder / "cache"), workers=workers)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the files that were decoded."""
    sizes: list[int] = []

    def counting(content: bytes, **options: int | None) -> Image.Image:
        sizes.append(len(content))
        return original(content, **options)

    original = pixels_module.read_film
    monkeypatch.setattr(pixels_module, "read_film", counting)
    return sizes


ALL = [f"{level:02}.png" for level in range(70)]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [32, 200])
def test_a_film_has_the_pixels_that_keras_loads(tmp_path: Path, mode: str, size: int) -> None:
    path = tmp_path / "film.jpeg"
    picture(mode).save(path)
    expected = keras.utils.load_img(path, target_size=(size, size), interpolation="bilinear")
    np.testing.assert_array_equal(load_film(path, size), np.asarray(expected), strict=True)
    grey = keras.utils.load_img(path, target_size=(size, size), interpolation="bilinear",
                                color_mode="grayscale")
    ours = resized(read_film_file(path), size, channels=1)
    np.testing.assert_array_equal(ours[..., 0], np.asarray(grey), strict=True)


def test_sixteen_bits_are_scaled_and_not_clipped_to_white(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    Image.fromarray(deep.astype(np.uint16)).save(tmp_path / "deep.png")
    np.testing.assert_allclose(load_film(tmp_path / "deep.png", 64)[..., 0], deep / 257, atol=1)


def test_a_film_that_was_stored_on_its_side_is_set_upright(tmp_path: Path) -> None:
    square, exif = picture("L").crop((0, 0, 64, 64)), Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    square.save(tmp_path / "sideways.png", exif=exif)
    np.testing.assert_array_equal(load_film(tmp_path / "sideways.png", 64)[..., 0],
                                  np.rot90(np.asarray(square), -1))


def test_a_part_of_a_film_is_refused(damaged_folder: Path) -> None:
    with pytest.raises(FilmError, match=r"must be a complete image\. Received: .*01\.png .*truncated"):
        load_film(damaged_folder / "01.png", 8)


def test_every_film_lies_in_the_row_of_its_radiograph(grey_folder: Path) -> None:
    cohort, pixels = decode(grey_folder, ALL)
    assert cohort.ids == [f"film-{file}" for file in ALL]
    assert pixels.store.shape == (70, 8, 8, 1)
    assert [int(pixels.film(row)[0, 0, 0]) for row in range(70)] == list(range(70))
    batch = pixels.batch([69, 3, 3])
    assert (batch.shape, batch.dtype) == ((3, 8, 8, 3), np.uint8)
    assert batch.mean(axis=(1, 2, 3)).tolist() == [69, 3, 3]


def test_unreadable_films_are_listed_and_the_others_keep_their_pixels(damaged_folder: Path) -> None:
    cohort, pixels = decode(damaged_folder, ALL)
    bad = ["01.png", "02.png", "65.png", "66.png"]
    step = cohort.history[-1]
    assert ([dropped.file for dropped in step.dropped], step.kept) == (bad, 66)
    assert [dropped.reason for dropped in step.dropped] == [
        "truncated or damaged image", "not an image, whatever its name says", "empty file", "unreadable"]
    levels = [int(file.removesuffix(".png")) for file in ALL if file not in bad]
    assert cohort.ids == [f"film-{level:02}.png" for level in levels]
    assert [int(pixels.film(row).max()) for row in range(len(pixels))] == levels
    assert pixels.batch(range(len(pixels))).max(axis=(1, 2, 3)).tolist() == levels


def test_one_colour_film_gives_all_of_them_three_channels(grey_folder: Path) -> None:
    picture("RGB").save(grey_folder / "colour.jpeg")
    _, pixels = decode(grey_folder, ["05.png", "colour.jpeg"])
    assert pixels.store.shape == (2, 8, 8, 3)
    assert (pixels.film(0) == 5).all()
    assert np.ptp(pixels.film(1).astype(int), axis=-1).any()


def test_a_folder_without_one_readable_film_is_refused(damaged_folder: Path) -> None:
    with pytest.raises(FilmError, match=r"Received: 3 files in .*grey, none of them a complete image"):
        decode(damaged_folder, ["01.png", "02.png", "66.png"])


def test_a_disk_without_room_is_noticed_before_anything_is_written(
        grey_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 70 * 8 * 8
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(StorageError, match="the disk is full"):
        decode(grey_folder, ALL)
    assert Cache(grey_folder / "cache").size() == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed))
    assert len(decode(grey_folder, ALL)[1]) == 70


def test_a_second_opening_decodes_nothing_and_gives_the_same(
        damaged_folder: Path, decoded: list[int]) -> None:
    cohort, pixels = decode(damaged_folder, ALL)
    assert len(decoded) == 69 + 3  # one isn't there, and three are asked for what is wrong with them
    decoded.clear()
    again, same = decode(damaged_folder, ALL, workers=1)
    assert len(decoded) == 3
    assert (again, same.key) == (cohort, pixels.key)
    np.testing.assert_array_equal(same.batch(range(len(same))), pixels.batch(range(len(pixels))))


def test_the_cache_and_the_memory_hold_the_same(damaged_folder: Path) -> None:
    kept_cohort, kept = decode(damaged_folder, ALL)
    cohort, pixels = decode_cohort(cohort_of(ALL), damaged_folder, size=8, cache=None, workers=2)
    assert (cohort, pixels.key) == (kept_cohort, kept.key)
    np.testing.assert_array_equal(pixels.batch(range(66)), kept.batch(range(66)))


def test_a_changed_film_is_noticed_even_if_its_size_and_date_are_not(grey_folder: Path) -> None:
    _, before = decode(grey_folder, ALL)
    film = grey_folder / "05.png"
    date = film.stat().st_mtime_ns
    Image.fromarray(np.asarray(Image.open(film)) + np.uint8(195)).save(film)
    os.utime(film, ns=(date, date))
    _, after = decode(grey_folder, ALL)
    assert (before.film(5)[0, 0, 0], after.film(5)[0, 0, 0]) == (5, 200)
    assert before.key != after.key


def test_what_the_pixels_depend_on_is_in_their_key(grey_folder: Path) -> None:
    keys = {decode(grey_folder, files, size=size)[1].key
            for files in (ALL, ALL[1:], ALL[::-1]) for size in (8, 9)}
    assert len(keys) == 6


def test_names_and_labels_are_not(grey_folder: Path) -> None:
    _, pixels = decode(grey_folder, ALL)
    renamed = grey_folder.rename(grey_folder.with_name("renamed"))
    assert decode(renamed, ALL)[1].key == pixels.key


def test_an_interrupted_decoding_goes_on_where_it_was(
        grey_folder: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as interrupted:
        counting = pixels_module.read_film

        def breaking(content: bytes, **options: int | None) -> Image.Image:
            if len(decoded) == 66:
                raise KeyboardInterrupt
            return counting(content, **options)

        interrupted.setattr(pixels_module, "read_film", breaking)
        with pytest.raises(KeyboardInterrupt):
            decode(grey_folder, ALL, workers=1)
    decoded.clear()
    _, pixels = decode(grey_folder, ALL)
    assert len(decoded) == 70 - 64
    assert [int(pixels.film(row).max()) for row in range(70)] == list(range(70))


@pytest.mark.parametrize(("harm", "word"), [(Path.unlink, "vanished"), (Path.touch, ""),
                                            (lambda path: path.write_bytes(b"other"), "changed")])
def test_a_film_that_changes_or_vanishes_meanwhile_is_named(
        grey_folder: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], object],
        word: str) -> None:
    def harming(content: bytes, **options: int | None) -> Image.Image:
        harm(grey_folder / "69.png")
        monkeypatch.setattr(pixels_module, "read_film", original)
        return original(content, **options)

    original = pixels_module.read_film
    monkeypatch.setattr(pixels_module, "read_film", harming)
    if not word:
        assert len(decode(grey_folder, ALL, workers=1)[1]) == 70
        return
    with pytest.raises(FilmError, match=rf"Received: \S+69\.png, which {word} in the meantime\. Run the"):
        decode(grey_folder, ALL, workers=1)


def test_a_hash_that_the_audit_took_is_not_taken_again(grey_folder: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = [hashlib.sha256((grey_folder / file).read_bytes()).hexdigest() for file in ALL]
    _, expected = decode(grey_folder, ALL)
    monkeypatch.setattr(pixels_module, "file_sha256", None)
    pairs = zip(cohort_of(ALL), hashes, strict=True)
    cohort = Cohort(tuple(replace(film, file_sha256=sha256) for film, sha256 in pairs))
    _, pixels = decode_cohort(cohort, grey_folder, size=8, cache=Cache(grey_folder / "cache"), workers=3)
    assert pixels.key == expected.key


def test_a_film_that_vanished_since_the_audit_is_named(grey_folder: Path) -> None:
    film = replace(cohort_of(["gone.png"]).radiographs[0], file_sha256="0" * 64)
    with pytest.raises(FilmError, match=r"gone\.png, which vanished"):
        decode_cohort(Cohort((film,)), grey_folder, size=8, cache=None, workers=1)


def test_films_of_twelve_bits_are_scaled_alike_and_the_odd_one_is_noted(tmp_path: Path) -> None:
    levels = np.tile(np.linspace(0, 1, 40), (40, 1))
    for name, largest in (("a.png", 4095), ("b.png", 2047), ("c.png", 255)):
        Image.fromarray((levels * largest).astype(np.uint16)).save(tmp_path / name)
    cohort, pixels = decode(tmp_path, ["a.png", "b.png", "c.png"], size=40)
    assert pixels.depth == 12
    assert [int(pixels.film(row).max()) for row in range(3)] == [255, 127, 16]
    assert [noted.file for noted in cohort.history[-1].noted] == ["c.png"]
    alone, = decode(tmp_path, ["b.png"], size=40)[1].batch([0])
    assert alone.max() == 255  # in a set of its own
    assert load_film(tmp_path / "b.png", 40, depth=12).max() == 127


def test_a_blank_film_is_dropped_with_its_reason(grey_folder: Path) -> None:
    Image.new("L", (20, 20), 7).save(grey_folder / "03.png")
    cohort, pixels = decode(grey_folder, ALL[:5])
    dropped, = cohort.history[-1].dropped
    assert (dropped.file, dropped.reason, len(pixels)) == ("03.png", "blank: every pixel alike", 4)
