"""Films in shards are films: found, read, missed and refused like those that have a file of their own."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from pneumo_tf.data.images import read_film_file, thumbnail
from pneumo_tf.data.labels import load_cohort, read_folder
from pneumo_tf.data.preparation.filters import FilterOptions
from pneumo_tf.data.preparation.prepare import PrepareOptions, prepare
from pneumo_tf.data.shards import is_file, open_file, read_bytes, shard_name, sizes_in, write_shard
from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.reading.incoming import find_given, opened
from pneumo_tf.runs.predictor import FilmReader
from pneumo_tf.training.pixels import decode_cohort


@pytest.fixture(scope="module")
def sharded(phantom_films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantoms, prepared into shards of ten."""
    target = tmp_path_factory.mktemp("sharded") / "clasificacion"
    prepare(phantom_films, target, PrepareOptions(shards=10), workers=2)
    return target


def test_a_film_of_a_shard_is_read_like_any_file(tmp_path: Path) -> None:
    shard = tmp_path / shard_name(3)
    write_shard(shard, [("a.jpeg", b"first"), ("b.jpeg", b"second")])
    assert list(sizes_in(shard)) == [("a.jpeg", 5), ("b.jpeg", 6)]
    assert read_bytes(shard / "b.jpeg") == open_file(shard / "b.jpeg").read() == b"second"
    assert is_file(shard / "a.jpeg")
    assert not is_file(shard / "c.jpeg")
    assert not is_file(tmp_path / shard_name(4) / "a.jpeg")
    with pytest.raises(FileNotFoundError):
        read_bytes(shard / "c.jpeg")
    with zipfile.ZipFile(shard) as archive:  # any program reads it, from any place in it
        assert archive.testzip() is None
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_shard_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    shard = tmp_path / shard_name(0)
    write_shard(shard, [("a.jpeg", b"old")])
    assert read_bytes(shard / "a.jpeg") == b"old"
    write_shard(shard, [("a.jpeg", b"another")])
    assert read_bytes(shard / "a.jpeg") == b"another"


def test_damage_in_a_shard_is_said_of_its_film(sharded: Path, tmp_path: Path) -> None:
    shard = tmp_path / shard_name(0)
    content = bytearray((sharded / shard_name(0)).read_bytes())
    content[5000] ^= 0xFF
    shard.write_bytes(content)
    first = next(iter(sizes_in(shard)))[0]
    with pytest.raises(FilmError, match=rf"{first} \(.*CRC"):
        read_film_file(shard / first)
    (tmp_path / shard_name(1)).write_bytes(content[:2000])
    with pytest.raises(FilmError, match=r"Every film must be readable|source must be readable"):
        read_folder(tmp_path)


def test_prepared_films_are_the_same_in_shards_as_in_files(sharded: Path, prepared_films: Path) -> None:
    assert sorted(path.name for path in sharded.iterdir()) == \
        [*(shard_name(number) for number in range(5)), "manifest.csv", "prepared.json"]
    apart, together = read_folder(prepared_films), read_folder(sharded)
    known = ("id", "label", "patient", "subtype", "source", "sha256", "facts")
    for one, other in zip(apart, together, strict=True):
        assert [getattr(one, name) for name in known] == [getattr(other, name) for name in known]
        assert read_bytes(sharded / other.file) == (prepared_films / one.file).read_bytes()
    assert apart.history == together.history


def test_labels_pixels_thumbnails_and_predictions_come_out_of_shards(sharded: Path, prepared_films: Path,
                                                                     tmp_path: Path) -> None:
    read_folder(sharded).write_csv(tmp_path / "labels.csv")
    cohort = load_cohort(tmp_path / "labels.csv", sharded, extension=None)
    pixels = [decode_cohort(films, folder, size=32, cache=None, workers=2)[1].batch(range(len(films)))
              for films, folder in ((cohort, sharded), (read_folder(prepared_films), prepared_films))]
    assert np.array_equal(*pixels)
    assert thumbnail(sharded / cohort.radiographs[7].file, (64, 64)).startswith(b"\xff\xd8")
    with opened(find_given([str(sharded)])) as films:
        incoming = list(films)
    assert sorted(film.id for film in incoming) == sorted(film.file for film in cohort)
    assert {film.read() for film in incoming} == {read_bytes(sharded / film.file) for film in cohort}


def test_a_run_of_other_films_knows_that_these_are_prepared(sharded: Path, tmp_path: Path) -> None:
    film = sharded / read_folder(sharded).radiographs[0].file
    assert FilmReader(32, FilterOptions(), tmp_path).is_ready(film)
    with pytest.raises(FilmError, match="prepared as the films of the run"):
        FilmReader(32, FilterOptions(size=77), tmp_path).is_ready(film)


def test_a_preparation_into_shards_goes_on_after_a_kill(phantom_films: Path, sharded: Path, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    target, options = tmp_path / "clasificacion", PrepareOptions(shards=10)
    from pneumo_tf.data.preparation import tasks

    written = []

    def killed(path: Path, films: object) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write_shard(path, films)  # type: ignore[arg-type]

    monkeypatch.setattr(tasks, "write_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(phantom_films, target, options)
    waiting = {path: path.stat().st_mtime_ns for path in (target / ".prepare").glob("*.zip")}
    assert len(waiting) == 3
    monkeypatch.setattr(tasks, "write_shard", write_shard)
    prepare(phantom_films, target, options)
    kept = {(target / path.name).stat().st_mtime_ns for path in waiting}
    assert kept == set(waiting.values())
    assert {path.name: path.read_bytes() for path in target.iterdir()} == \
        {path.name: path.read_bytes() for path in sharded.iterdir()}


def test_classes_that_are_prepared_by_name_have_shards_of_their_own(phantom_films: Path,
                                                                    tmp_path: Path) -> None:
    target = tmp_path / "clasificacion"
    for label in ("NORMAL", "PNEUMONIA"):
        source = next(path for path in phantom_films.rglob(label) if path.is_dir())
        prepare(source, target, PrepareOptions(FilterOptions(size=32), name=label, shards=10))
    names = sorted({film.file.partition("/")[0] for film in read_folder(target)})
    assert names == sorted(path.name for path in target.glob("*.zip"))
    assert names[0] == "films-NORMAL-00000.zip"
    prepare(source, target, PrepareOptions(FilterOptions(size=32), name="PNEUMONIA"), force=True)
    assert [path.name for path in target.glob("*-PNEUMONIA-*.zip")] == []
    assert {film.file.partition("/")[2] != "" for film in read_folder(target) if film.label == "PNEUMONIA"} \
        == {False}


def test_shards_hold_no_choice_of_films() -> None:
    with pytest.raises(OptionError, match="every film of a source"):
        PrepareOptions(per_class=5, shards=10)
