"""What a folder of prepared films goes through: renewed class by class, interrupted, refused, replaced."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumo_tf import storage
from pneumo_tf.data.preparation import prepare as room
from pneumo_tf.data.preparation import target as folder_module
from pneumo_tf.data.preparation import tasks
from pneumo_tf.data.preparation.filters import FilterOptions
from pneumo_tf.data.preparation.prepare import PrepareOptions, prepare
from pneumo_tf.data.preparation.record import read_prepared
from pneumo_tf.errors import FilmError, OptionError, StorageError
from pneumo_tf.processes import ProcessError, in_processes

SMALL = FilterOptions(size=50)


def film(seed: int) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8), np.uint8)
    file = BytesIO()
    Image.fromarray(small).resize((80, 60), Image.Resampling.BICUBIC).save(file, "JPEG")
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


def test_each_class_may_be_prepared_by_itself(source: Path, target: Path, tmp_path: Path) -> None:
    prepare(source / "NORMAL", target, PrepareOptions(name="normal"))
    first = contents(target)
    cohort = prepare(source / "PNEUMONIA", target, PrepareOptions(name="PNEUMONIA"))
    together = prepare(source, tmp_path / "together")
    assert [(r.id, r.label, r.patient, r.sha256) for r in cohort] == \
        [(r.id, r.label, r.patient, r.sha256) for r in together]
    assert [(step.stage, step.kept) for step in cohort.history] == \
        [(step.stage, step.kept) for step in together.history]
    assert all(contents(target)[name] == data for name, data in first.items() if name.startswith("NORMAL"))


def test_one_class_is_renewed_without_disturbing_the_other(source: Path, target: Path) -> None:
    for label in ("NORMAL", "PNEUMONIA"):
        prepare(source / label, target, PrepareOptions(name=label))
    options = PrepareOptions(name="NORMAL", per_class=2)
    with pytest.raises(StorageError, match="per_class None there and 2 here"):
        prepare(source / "NORMAL", target, options)
    cohort = prepare(source / "NORMAL", target, options, force=True)
    assert Counter(cohort.labels) == {"NORMAL": 2, "PNEUMONIA": 3}
    assert {path.stem for path in target.glob("*.jpeg")} == set(cohort.ids)


def test_two_classes_are_never_filtered_in_two_ways(source: Path, target: Path) -> None:
    prepare(source / "NORMAL", target, PrepareOptions(name="NORMAL"))
    before = contents(target)
    with pytest.raises(OptionError, match="size 299 there and 50 here for NORMAL"):
        prepare(source / "PNEUMONIA", target, PrepareOptions(SMALL, name="PNEUMONIA"), force=True)
    assert contents(target) == before


def test_a_film_of_the_class_prepared_before_is_noticed(source: Path, target: Path) -> None:
    prepare(source / "NORMAL", target, PrepareOptions(name="NORMAL"))
    shutil.copy(source / "NORMAL/IM-0001-0001.jpeg", source / "PNEUMONIA/same.jpeg")
    with pytest.raises(FilmError, match=r"IM-0001-0001\.jpeg and same\.jpeg"):
        prepare(source / "PNEUMONIA", target, PrepareOptions(name="PNEUMONIA"))


@pytest.mark.parametrize("change", ["options", "films"])
def test_another_preparation_is_replaced_only_by_force(source: Path, target: Path, change: str) -> None:
    prepare(source, target)
    before = contents(target)
    options = PrepareOptions(FilterOptions(contrast=1.5)) if change == "options" else PrepareOptions()
    if change == "films":
        (source / "NORMAL/IM-0010-0001.jpeg").unlink()
    expected = "contrast 2.0 there and 1.5 here" if change == "options" else "other films"
    with pytest.raises(StorageError, match=f"{expected}.*--force"):
        prepare(source, target, options)
    assert contents(target) == before
    cohort = prepare(source, target, options, force=True)
    assert {path.stem for path in target.glob("*.jpeg")} == set(cohort.ids)
    assert not list(target.glob(".*"))


def test_files_named_like_ours_are_not_overwritten(source: Path, target: Path) -> None:
    write(target, {"PNEUMONIA-17.jpeg": b"mine", "notes.txt": b"mine"})
    with pytest.raises(StorageError, match=r"1 files named like ours, e\.g\. PNEUMONIA-17\.jpeg"):
        prepare(source, target)
    assert contents(target) == {"PNEUMONIA-17.jpeg": b"mine", "notes.txt": b"mine"}
    prepare(source, target, force=True)
    assert "PNEUMONIA-17.jpeg" not in contents(target)
    assert contents(target)["notes.txt"] == b"mine"


def test_a_finished_preparation_says_so_and_does_nothing(source: Path, target: Path) -> None:
    first = prepare(source, target)
    times = written_at(target)
    said: list[str] = []
    again = prepare(source, target, tell=said.append)
    assert said
    assert said[0].startswith("Already prepared")
    assert written_at(target) == times
    assert (again.ids, again.history) == (first.ids, first.history)


def written_at(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def interrupted_after(films: int) -> Callable[..., str]:
    filter_film, done = tasks.filter_film, Counter[str]()

    def act(*args: object, **options: object) -> str:
        done["films"] += 1
        if done["films"] > films:
            raise KeyboardInterrupt
        return filter_film(*args, **options)  # type: ignore[arg-type]

    return act


def test_an_interrupted_preparation_goes_on_where_it_stopped(source: Path, target: Path, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(room, "filter_film", interrupted_after(4))
        with pytest.raises(KeyboardInterrupt):
            prepare(source, target)
    waiting = written_at(target / ".prepare")
    assert len(waiting) == 2 * 4 + 1  # what is known of each film lies beside it; and the plan
    assert not list(target.glob("*.*eg"))
    with pytest.raises(StorageError, match="another preparation, not finished"):
        prepare(source, target, PrepareOptions(SMALL))
    with monkeypatch.context() as patch:
        patch.setattr(room, "filter_film", interrupted_after(6))
        with pytest.raises(KeyboardInterrupt):
            prepare(source, target)
    later = written_at(target / ".prepare")
    assert len(later) == 2 * 6 + 1
    assert all(later[path] == time for path, time in waiting.items() if path.suffix == ".jpeg")
    prepare(source, target)
    prepare(source, tmp_path / "undisturbed")
    assert contents(target) == contents(tmp_path / "undisturbed")


def test_a_kill_before_the_plan_is_written_is_gone_on_from(source: Path, target: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "write_json", killed)
        patch.setattr(storage, "_discard", lambda _: None)  # whoever is killed tidies nothing up
        with pytest.raises(KeyboardInterrupt):
            prepare(source, target)
    assert [path for path in target.glob(".*") if path.is_dir()]
    prepare(source, target)
    assert read_prepared(target) is not None


def test_a_kill_after_the_last_record_leaves_nothing_once_it_was_started_again(
        source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "remove", lambda _: None)
        prepare(source, target)
    assert (target / ".prepare").is_dir()
    prepare(source, target)
    assert sorted(path.name for path in target.glob(".*")) == []


def test_a_kill_while_films_get_their_names_is_gone_on_from(source: Path, target: Path, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(source, target)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _killed_at("NORMAL-3.jpeg", Path.replace))
        with pytest.raises(KeyboardInterrupt):
            prepare(source, target, PrepareOptions(SMALL), force=True)
    assert read_prepared(target) is None  # never a record of other films
    prepare(source, target, PrepareOptions(SMALL))
    prepare(source, tmp_path / "undisturbed", PrepareOptions(SMALL))
    assert contents(target) == contents(tmp_path / "undisturbed")


def _killed_at(name: str, replace: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    def act(self: Path, to: Path) -> Path:
        if Path(to).name == name:
            raise KeyboardInterrupt
        return replace(self, to)

    return act


def test_a_full_disk_leaves_no_half_written_film(source: Path, target: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> None:
        write(path, content[: len(content) // 2])
        if content:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="the disk is full"):
        prepare(source, target)
    assert not [path for path in contents(target) if not path.endswith(".json")]


def test_a_second_preparation_at_the_same_time_is_told_of_the_first(
        source: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filter_film, refusals = tasks.filter_film, []

    def with_another(*args: object, **options: object) -> str:
        if not refusals:
            for other, force in ((PrepareOptions(), False), (PrepareOptions(SMALL), False),
                                 (PrepareOptions(SMALL), True)):
                with pytest.raises(StorageError, match="in which another one is at work") as refusal:
                    room.prepare(source, target, other, force=force)
                refusals.append(refusal)
        return filter_film(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "filter_film", with_another)
    prepare(source, target)
    assert len(refusals) == 3
    monkeypatch.setattr(room, "filter_film", filter_film)
    prepare(source, tmp_path / "undisturbed")
    assert contents(target) == contents(tmp_path / "undisturbed")


def test_a_preparation_that_was_finished_meanwhile_is_not_overwritten(
        source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = room.refuse_two_labels

    def after_another(*films: object) -> None:
        monkeypatch.setattr(room, "refuse_two_labels", refuse)
        prepare(source, target)

    monkeypatch.setattr(room, "refuse_two_labels", after_another)
    with pytest.raises(StorageError, match="One preparation at a time"):
        prepare(source, target, PrepareOptions(SMALL))
    recorded = read_prepared(target)
    assert recorded is not None
    assert recorded.filters.size == 299


def test_a_file_in_the_way_of_the_folder_is_said(source: Path, target: Path) -> None:
    target.write_bytes(b"mine")
    with pytest.raises(StorageError, match="a file of that name is in the way"):
        prepare(source, target)
    assert target.read_bytes() == b"mine"


def test_a_broken_record_is_named(source: Path, target: Path) -> None:
    prepare(source, target)
    (target / "prepared.json").write_text("{}")
    with pytest.raises(FilmError, match=r"prepared\.json must be as prepare_pict\.py wrote it.*KeyError"):
        prepare(source, target)


def test_what_was_done_before_a_process_was_killed_is_gone_on_from(source: Path, target: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **options: object) -> list[str]:
        if options["description"] == "Filtering":
            raise ProcessError("Every process must live until the work is done.")
        return in_processes(*_, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "in_processes", killed)
    with pytest.raises(ProcessError):
        prepare(source, target)
    assert (target / ".prepare").is_dir()
