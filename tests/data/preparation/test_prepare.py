"""Whole preparations of small sources: what is written, what is dropped, what is never touched."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.data.preparation import prepare as room
from pneumo_tf.data.preparation.filters import FilterOptions
from pneumo_tf.data.preparation.prepare import PrepareOptions, prepare
from pneumo_tf.data.preparation.record import read_prepared
from pneumo_tf.data.preparation.target import Target
from pneumo_tf.data.preparation.tasks import NO_LUNGS
from pneumo_tf.errors import FilmError, LabelError, OptionError

QUIRKS = Path(__file__).resolve().parents[3] / "../shared/data/archive_quirks.zip"
needs_quirks = pytest.mark.skipif(not QUIRKS.exists(), reason="the quirky archive isn't here")


def film(seed: int, format: str = "JPEG") -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8), np.uint8)
    file = BytesIO()
    Image.fromarray(small).resize((80, 60), Image.Resampling.BICUBIC).save(file, format)
    return file.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four NORMAL films of three patients, three PNEUMONIA films of two."""
    names = ["NORMAL/IM-0001-0001.jpeg", "NORMAL/IM-0002-0001.jpeg", "NORMAL/IM-0002-0002.jpeg",
             "NORMAL/IM-0010-0001.jpeg", "PNEUMONIA/person1_bacteria_1.jpeg",
             "PNEUMONIA/person1_bacteria_2.jpeg", "PNEUMONIA/person1_virus_3.jpeg"]
    return write(tmp_path / "films", {name: film(seed) for seed, name in enumerate(names)})


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "clasificacion"


def test_films_get_a_number_in_their_class_and_a_row_in_the_manifest(source: Path, target: Path) -> None:
    prepare(source, target)
    rows = pd.read_csv(target / "manifest.csv", dtype=str)
    assert list(rows) == ["id", "clase", "file", "patient", "subtype", "source", "sha256", "format", "mode",
                          "width", "height", "bytes", "jpeg_quality", "near_black", "corner_marks"]
    assert list(rows["id"]) == ["NORMAL-1", "NORMAL-2", "NORMAL-3", "NORMAL-4",
                                "PNEUMONIA-1", "PNEUMONIA-2", "PNEUMONIA-3"]
    assert list(rows["source"][[0, 3]]) == ["NORMAL/IM-0001-0001.jpeg", "NORMAL/IM-0010-0001.jpeg"]
    assert list(rows["patient"][4:]) == ["bacteria-1", "bacteria-1", "virus-1"]
    assert sorted(path.name for path in target.iterdir()) == sorted(
        [*rows["file"], "manifest.csv", "prepared.json"])


def test_films_look_as_the_tutorial_made_them_in_one_mode(source: Path, target: Path) -> None:
    prepare(source, target, PrepareOptions(FilterOptions(size=40)))
    image = Image.open(source / "NORMAL/IM-0001-0001.jpeg")
    image = ImageEnhance.Contrast(ImageEnhance.Brightness(image).enhance(0.7)).enhance(2.0)
    image.thumbnail((40, 40), Image.Resampling.LANCZOS)
    made = Image.open(target / "NORMAL-1.jpeg")
    assert (made.mode, made.size) == ("L", (40, 30))
    assert np.abs(np.asarray(made, float) - np.asarray(image, float)).mean() < 1  # what JPEG at 95 costs


def test_the_films_are_the_same_for_any_number_of_workers(tmp_path: Path, target: Path) -> None:
    names = [f"{label}/{n}.png" for label in ("benign", "malignant") for n in range(20)]
    source = write(tmp_path / "films", {name: film(seed, "PNG") for seed, name in enumerate(names)})
    prepare(source, tmp_path / "alone", workers=1)
    prepare(source, target, workers=2)
    assert contents(target) == contents(tmp_path / "alone")


def test_a_zip_gives_the_same_films_as_its_folder(source: Path, target: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        for name, data in contents(source).items():
            archive.writestr(f"chest_xray/train/{name}", data)
    unpacked = prepare(source, tmp_path / "unpacked")
    zipped = prepare(tmp_path / "films.zip", target)
    assert [r.sha256 for r in zipped] == [r.sha256 for r in unpacked]
    assert {r.origin for r in zipped} == {"train"}
    images = [{name: data for name, data in contents(folder).items() if name.endswith("jpeg")}
              for folder in (target, tmp_path / "unpacked")]
    assert images[0] == images[1]


def test_every_dropped_file_is_listed_with_its_reason(source: Path, target: Path) -> None:
    copy = (source / "NORMAL/IM-0001-0001.jpeg").read_bytes()
    write(source, {"NORMAL/Thumbs.db": b"x", "NORMAL/empty.jpeg": b"", "NORMAL/page.jpeg": b"<html>",
                   "NORMAL/cut.jpeg": film(50)[:900], "NORMAL/z.jpeg": copy, "films/NORMAL/y.jpeg": copy})
    cohort = prepare(source, target, PrepareOptions(exclude=("films",)))
    assert [(step.stage, step.kept) for step in cohort.history] == \
        [("found in source", 11), ("readable films", 8), ("unique films", 7)]
    dropped = {film.file: film.reason for step in cohort.history for film in step.dropped}
    assert dropped == {"NORMAL/Thumbs.db": "system or hidden file",
                       "films/NORMAL/y.jpeg": "excluded by --exclude",
                       "NORMAL/empty.jpeg": "empty file", "NORMAL/cut.jpeg": "truncated or damaged image",
                       "NORMAL/page.jpeg": "not an image, whatever its name says",
                       "NORMAL/z.jpeg = NORMAL/IM-0001-0001.jpeg": "byte-identical copy"}


def deep(seed: int, largest: int) -> bytes:
    """A film in a file of 16 bits, with levels from 0 to the largest."""
    small = np.random.default_rng(seed).integers(0, largest + 1, (60, 80), np.uint16)
    small[0, :2] = 0, largest
    file = BytesIO()
    Image.fromarray(small).save(file, "PNG")
    return file.getvalue()


def test_films_of_twelve_bits_are_all_scaled_by_the_depth_of_their_set(tmp_path: Path, target: Path) -> None:
    films = {f"{label}/{n}.png": deep(n, largest) for n, (label, largest) in
             enumerate([("A", 4095), ("A", 2300), ("B", 3900), ("B", 500)])}
    cohort = prepare(write(tmp_path / "films", films), target, PrepareOptions(FilterOptions(1, 1, 80)))
    brightest = [int(np.asarray(Image.open(target / film.file)).max()) for film in cohort]
    assert [abs(seen - 255 * largest / 4095) < 12 for seen, largest in
            zip(brightest, (4095, 2300, 3900, 500), strict=True)] == [True] * 4
    recorded = read_prepared(target)
    assert recorded is not None
    assert recorded.filters.depth == 12
    noted = [(film.file, film.reason) for step in recorded.steps for film in step.noted]
    assert noted == [("B/3.png", "9 bits of grey, scaled as 12 like the others")]
    assert "depth" not in FilterOptions().to_json()


def test_two_classes_of_two_depths_are_not_prepared_apart(tmp_path: Path, target: Path) -> None:
    source = write(tmp_path / "films", {f"{label}/{n}.png": deep(n, largest) for n in range(2)
                                        for label, largest in (("A", 4095), ("B", 1023))})
    prepare(source / "A", target, PrepareOptions(name="A"))
    with pytest.raises(OptionError, match=r"depth 12 there and 10 here for A.*prepare the classes together"):
        prepare(source / "B", target, PrepareOptions(name="B"))


def test_what_is_no_film_by_its_pixels_is_left_out_with_the_reason(source: Path, target: Path) -> None:
    def png(image: Image.Image, **options: object) -> bytes:
        file = BytesIO()
        image.save(file, "PNG", **options)
        return file.getvalue()

    page = Image.open(BytesIO(film(90)))
    write(source, {"NORMAL/blank.png": png(Image.new("L", (90, 90), 40)),
                   "NORMAL/dot.png": png(page.resize((1, 1))),
                   "NORMAL/strip.png": png(page.resize((4000, 3))), "NORMAL/heart.nii": b"n+1",
                   "NORMAL/moving.png": png(page, save_all=True, append_images=[page.rotate(90)])})
    cohort = prepare(source, target)
    reasons = {left.file: left.reason for step in cohort.history for left in step.dropped}
    assert reasons == {
        "NORMAL/blank.png": "blank: every pixel alike", "NORMAL/dot.png": "too small for a film",
        "NORMAL/strip.png": "too small for a film", "NORMAL/moving.png": "several frames in one file",
        "NORMAL/heart.nii": "image format that isn't read: export it as PNG"}
    assert len(cohort) == 7


def test_classes_that_look_alike_are_refused(source: Path, target: Path) -> None:
    write(source, {"NEUMONIA/a.png": film(70, "PNG"), "NEUMONÍA/b.png": film(71, "PNG")})
    with pytest.raises(LabelError, match="'NEUMONIA' and 'NEUMONÍA'"):
        prepare(source, target)
    prepare(source / "NEUMONIA", target, PrepareOptions(name="neumonia"))
    with pytest.raises(LabelError, match="'NEUMONIA' and 'NEUMONÍA'"):
        prepare(source / "NEUMONÍA", target, PrepareOptions(name="neumonía"))


def test_of_a_nested_second_copy_the_outer_films_are_kept(source: Path, target: Path, tmp_path: Path) -> None:
    outer = tmp_path / "archive/chest"
    shutil.copytree(source, outer / "train")
    shutil.copytree(source, outer / "before-train/train")
    cohort = prepare(tmp_path / "archive", target)
    assert len(cohort) == 7
    assert all(film.source.startswith("chest/train/") for film in cohort)


def test_the_record_repeats_the_flow_and_the_filters(source: Path, target: Path) -> None:
    filters = FilterOptions(size=64, fit="pad")
    cohort = prepare(source, target, PrepareOptions(filters, per_class=2))
    record = json.loads((target / "prepared.json").read_text(encoding="utf-8"))
    assert (record["source"], record["found"], record["kept"]) == ("films", 7, 4)
    assert Counter(film["reason"] for film in record["dropped"]) == {"beyond --per-class 2": 3}
    recorded = read_prepared(target)
    assert recorded is not None
    assert recorded.filters == filters
    assert recorded.steps == cohort.history


def test_per_class_takes_exactly_so_many_or_all_there_are(source: Path, target: Path) -> None:
    cohort = prepare(source, target, PrepareOptions(per_class=4))
    assert Counter(cohort.labels) == {"NORMAL": 4, "PNEUMONIA": 3}
    fewer = prepare(source, target, PrepareOptions(per_class=1), force=True)
    assert Counter(fewer.labels) == {"NORMAL": 1, "PNEUMONIA": 1}
    assert len(list(target.glob("*.jpeg"))) == 2


def test_a_film_under_two_labels_is_refused_and_nothing_is_written(source: Path, target: Path) -> None:
    shutil.copy(source / "NORMAL/IM-0010-0001.jpeg", source / "PNEUMONIA/person7_virus_7.jpeg")
    with pytest.raises(FilmError, match=r"NORMAL/IM-0010-0001\.jpeg and PNEUMONIA/person7_virus_7\.jpeg"):
        prepare(source, target)
    assert not target.exists()
    assert len(prepare(source, target, PrepareOptions(exclude=("*person7*",)))) == 7


def test_the_same_error_page_in_two_classes_is_no_film_under_two_labels(source: Path, target: Path) -> None:
    write(source, {"NORMAL/x.jpeg": b"<html>", "PNEUMONIA/x.jpeg": b"<html>"})
    assert len(prepare(source, target)) == 7


@pytest.mark.parametrize(("files", "rule"), [
    ({}, "A source must hold films. Received: .* with no files"),
    ({"a/notes.txt": b"x"}, "1 files, none a film: not an image file"),
    ({"a.jpeg": film(1), "b.jpeg": film(2)}, "2 films and no class folder. .*--name NORMAL"),
    ({"normal/a.jpeg": film(1)}, "with NORMAL alone"),
    ({"a/a.jpeg": b"<html>", "b/b.jpeg": film(2)}, "none of 1 A films, e.g. a/a.jpeg: not an image"),
    ({"a/a.jpeg": film(1)[:900], "b/b.jpeg": film(2)[:900]}, "none of 1 A films, e.g. a/a.jpeg: truncated"),
])
def test_a_source_without_two_classes_of_films_is_refused(tmp_path: Path, target: Path,
                                                          files: dict[str, bytes], rule: str) -> None:
    (tmp_path / "films").mkdir()
    with pytest.raises(FilmError, match=rule):
        prepare(write(tmp_path / "films", files), target)
    assert not target.exists()


def test_a_source_that_is_its_own_target_is_refused(source: Path) -> None:
    with pytest.raises(OptionError, match="elsewhere than their originals"):
        prepare(source, source)


def test_a_target_within_the_source_is_not_taken_for_a_class(source: Path) -> None:
    prepare(source, source / "clasificacion")
    assert prepare(source, source / "clasificacion").classes == ["NORMAL", "PNEUMONIA"]


@pytest.mark.parametrize("name", ["../x", ".hidden", "  "])
def test_a_class_name_must_do_as_a_file_name(name: str) -> None:
    with pytest.raises(OptionError, match="A class name must do"):
        PrepareOptions(name=name)


def test_more_than_ten_thousand_numbers_are_possible() -> None:
    films = Cohort(tuple(Radiograph(f"{n}.jpeg", "NORMAL") for n in range(10_050)))
    assert room._numbered(films, {}).ids[-1] == "NORMAL-10050"


@needs_quirks
def test_the_quirky_archive_is_refused_for_its_film_under_two_labels(target: Path) -> None:
    with pytest.raises(FilmError, match=r"train/NORMAL/IM-0671-0001.jpeg and .*person9002_virus_9002.jpeg"):
        prepare(QUIRKS, target)
    assert not target.exists()


@needs_quirks
def test_the_quirky_archive_is_sorted_out_without_that_film(target: Path) -> None:
    cohort = prepare(QUIRKS, target, PrepareOptions(exclude=("*virus_9002*",)))
    assert [(step.kept, step.reasons()) for step in cohort.history] == [
        (68, {"macOS shadow file": 28, "system or hidden file": 2, "excluded by --exclude": 1}),
        (65, {"empty file": 1, "truncated or damaged image": 1, "not an image, whatever its name says": 1}),
        (36, {"byte-identical copy": 29})]
    assert not any("chest_xray/chest_xray" in film.source for film in cohort)
    assert {Image.open(target / film.file).mode for film in cohort} == {"L"}
    means = [np.asarray(Image.open(target / film.file)).mean() for film in cohort]
    assert max(means) < 150  # none turned white


def test_auto_frames_chests_by_their_lungs_and_leaves_other_pictures_whole(
        phantom_films: Path, tmp_path: Path) -> None:
    automatic = PrepareOptions(FilterOptions(size=64, fit="auto"))
    chests = prepare(phantom_films, tmp_path / "chests", automatic)
    recorded = json.loads((tmp_path / "chests/prepared.json").read_text())["options"]
    assert recorded["fit"] == "lungs"
    with Image.open(tmp_path / "chests" / chests.radiographs[0].file) as film:
        assert film.size == (64, 64)
    for label in ("a", "b"):
        (tmp_path / f"others/{label}").mkdir(parents=True)
        for number in range(4):
            noise = np.random.default_rng([ord(label), number]).integers(0, 256, (60, 90), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / f"others/{label}/{number}.png")
    others = prepare(tmp_path / "others", tmp_path / "noise", automatic)
    with Image.open(tmp_path / "noise" / others.radiographs[0].file) as film:
        assert film.size == (64, 43)


def test_a_film_without_lungs_is_kept_and_noted_also_when_the_preparation_goes_on(
        phantom_films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(phantom_films, tmp_path / "films")
    folder = next(path for path in sorted((tmp_path / "films").rglob("*")) if path.name == "NORMAL")
    noise = np.random.default_rng(0).integers(0, 256, (60, 90), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    options = PrepareOptions(FilterOptions(size=64, fit="lungs"))
    monkeypatch.setattr(Target, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "films", tmp_path / "target", options)
    monkeypatch.undo()
    cohort = prepare(tmp_path / "films", tmp_path / "target", options)
    noted = [film for step in cohort.history for film in step.noted]
    assert [(film.file.rpartition("/")[2], film.reason) for film in noted] == [("noise.png", NO_LUNGS)]
