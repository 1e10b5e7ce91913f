"""Arrays that are kept: one for each key, filled by one process at a time, taken up again after a kill."""

from __future__ import annotations

import json
import mmap
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from pneumo_tf.errors import StorageError
from pneumo_tf.training import store
from pneumo_tf.training.store import (
    HEADER,
    JOURNAL,
    VALUES,
    Cache,
    DiskRows,
    Rows,
    open_rows,
    read_rows,
)

ROOT = Path(__file__).resolve().parents[2]
# A process of its own that fills ten rows and says which it had to make.
CHILD = """
import os, signal, sys
from pathlib import Path
import numpy as np
from pneumo_tf.training.store import Cache
folder, lives = Path(sys.argv[1]), int(sys.argv[2])
with Cache(folder).rows("films", {"of": 1}, shape=(10, 4), dtype="float32", what="ten films") as rows:
    missing = rows.claim(range(10))
    for row in missing:
        if row == lives:
            os.kill(os.getpid(), signal.SIGKILL)
        rows.write([row], np.full((1, 4), row))
print(missing.tolist())
"""


def start_child(folder: Path, *, lives: int = 99) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(lives)], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def rows_of(folder: Path, key: Any = 1) -> AbstractContextManager[Rows]:
    return Cache(folder).rows("films", {"of": key}, shape=(10, 4), dtype="float32", what="ten films")


def fill(folder: Path, key: Any = 1) -> list[int]:
    with rows_of(folder, key) as rows:
        missing = rows.claim(range(10))
        rows.write(missing, np.repeat(missing[:, None], 4, axis=1))
    return missing.tolist()


def test_the_same_key_finds_its_array_and_another_one_gets_another(tmp_path: Path) -> None:
    every = list(range(10))
    assert [fill(tmp_path, key) for key in (1, 1, 2, "1", {"a": [1]}, {"a": [1]})] == [
        every, [], every, every, every, []]
    assert [entry.kind for entry in Cache(tmp_path).entries()] == ["films"] * 4


def test_a_killed_process_leaves_what_it_finished(tmp_path: Path) -> None:
    child = start_child(tmp_path, lives=6)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert fill(tmp_path) == [6, 7, 8, 9]
    with rows_of(tmp_path) as rows:
        np.testing.assert_array_equal(rows.values(), np.arange(10)[:, None] * np.ones(4))


def test_a_second_process_waits_says_so_and_finds_it_done(tmp_path: Path) -> None:
    with rows_of(tmp_path) as rows:
        child = start_child(tmp_path)
        assert child.stderr is not None
        assert child.stderr.readline() == "Cache: another process is making ten films; waiting for it.\n"
        rows.write(rows.claim(range(10)), np.ones((10, 4)))
    assert child.communicate() == ("[]\n", "")


def test_many_processes_at_once_make_every_row_once(tmp_path: Path) -> None:
    said = [child.communicate()[0].strip() for child in [start_child(tmp_path) for _ in range(3)]]
    assert sorted(said) == [str(list(range(10))), "[]", "[]"]
    assert fill(tmp_path) == []


def test_what_lasts_is_freed_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), rows_of(tmp_path):
        raise KeyError
    assert fill(tmp_path) == list(range(10))


def test_clearing_frees_what_it_says_and_leaves_what_is_not_ours(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    fill(tmp_path, 1)
    fill(tmp_path, 2)
    theirs = [tmp_path / "notes.txt", tmp_path / "films-holiday/beach.jpg",
              tmp_path / f"films-{'0' * 32}/diary.txt", tmp_path / "runs/values.bin", tmp_path / "x.lock"]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    size = cache.size()
    assert size >= 2 * (10 * 4 * 4 + 10 * 8)
    assert cache.clear() == (size, [])
    assert (cache.entries(), cache.size(), cache.clear()) == ([], 0, (0, []))
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(theirs)


def test_an_array_that_is_being_made_is_not_cleared(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    with rows_of(tmp_path) as rows:
        rows.claim(range(10))
        _, in_use = Cache(tmp_path).clear()
        assert [entry.what for entry in in_use] == ["ten films"]
        rows.write(range(10), np.ones((10, 4)))
    assert fill(tmp_path) == []
    assert fill(tmp_path, 2) == list(range(10))


def test_a_link_to_elsewhere_is_not_followed(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere")
    kept = Cache(tmp_path / "elsewhere").entries()[0].folder
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / kept.name).symlink_to(kept)
    assert Cache(tmp_path / "cache").clear() == (0, [])
    assert fill(tmp_path / "elsewhere") == []


def test_a_damaged_array_is_listed_and_cleared_too(tmp_path: Path) -> None:
    fill(tmp_path)
    (Cache(tmp_path).entries()[0].folder / "facts.json").write_text("[]")
    assert [entry.what for entry in Cache(tmp_path).entries()] == ["kept by another version, or damaged"]
    Cache(tmp_path).clear()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a file of that name is in the way"), rows_of(tmp_path / "file"):
        pass
    with pytest.raises(StorageError, match=r"a part of the path is a file"), rows_of(tmp_path / "file/cache"):
        pass


def test_a_folder_that_does_not_exist_is_empty_and_stays_so(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "none")
    assert (cache.entries(), cache.size(), cache.clear()) == ([], 0, (0, []))
    assert not cache.folder.exists()


def test_without_a_cache_everything_stays_in_memory() -> None:
    with open_rows(None, "films", {}, shape=(2, 3), dtype="float32", what="two films") as rows:
        rows.write(rows.claim([0, 1]), np.ones((2, 3)))
    assert rows.values().sum() == 6


SHAPE = (6, 5, 3)
HEADER_OF = {"format": 1, "kind": "films", "key": {"films": "abc"}, "shape": list(SHAPE), "dtype": "float32"}
DATA = np.random.default_rng(0).normal(size=SHAPE).astype("float32")


def reopened(folder: Path, **changes: object) -> DiskRows:
    return DiskRows(folder / "films-1", {**HEADER_OF, **changes}, what="six films")


@pytest.fixture
def half_filled(tmp_path: Path) -> Path:
    """Rows 0, 2 and 5 written, row 3 known to have no value."""
    rows = reopened(tmp_path)
    rows.claim(range(6))
    rows.write([5, 0, 2], DATA[[5, 0, 2]])
    rows.write_blank([3])
    return tmp_path


def overwrite(path: Path, place: int, content: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(place)
        stream.write(content)


def test_what_was_written_is_found_and_only_the_rest_is_claimed(half_filled: Path) -> None:
    rows = reopened(half_filled)
    assert rows.claim(range(6)).tolist() == [1, 4]
    assert rows.claim([4, 0, 4, 2]).tolist() == [4]
    assert rows.blank() == [3]
    np.testing.assert_array_equal(rows.values()[[0, 2, 5]], DATA[[0, 2, 5]], strict=True)


def test_what_is_read_can_not_be_written_to(half_filled: Path) -> None:
    with pytest.raises(TypeError, match="item assignment"):
        reopened(half_filled).values()[0] = 0


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16"])
def test_values_keep_their_type_and_their_bits(tmp_path: Path, dtype: str) -> None:
    data = (DATA * 50).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    rows = reopened(tmp_path, dtype=dtype)
    rows.claim(range(6))
    rows.write(range(6), data)
    found = reopened(tmp_path, dtype=dtype).values()
    assert found.dtype == data.dtype
    assert np.asarray(found).tobytes() == data.tobytes()


@pytest.mark.parametrize("row", [0, 5])
def test_a_changed_byte_is_noticed_and_that_row_alone_is_made_again(
        half_filled: Path, row: int, capsys: pytest.CaptureFixture[str]) -> None:
    overwrite(half_filled / "films-1" / VALUES, row * 60 + 17, b"\xff")
    rows = reopened(half_filled)
    assert capsys.readouterr().err == "Cache: 1 of 6 rows damaged, made again: six films.\n"
    assert rows.claim([0, 2, 3, 5]).tolist() == [row]
    rows.write([row], DATA[[row]])
    assert reopened(half_filled).claim([0, 2, 3, 5]).tolist() == []


def test_a_changed_journal_never_passes_a_wrong_row_off_as_whole(half_filled: Path) -> None:
    overwrite(half_filled / "films-1" / JOURNAL, 1 * 8 + 4, b"\x01")  # says that row 1 is there
    overwrite(half_filled / "films-1" / JOURNAL, 4 * 8 + 4, b"\x07")  # says what no version says
    overwrite(half_filled / "films-1" / JOURNAL, 2 * 8, b"\x00\x00\x00")
    assert reopened(half_filled).claim(range(6)).tolist() == [1, 2, 4]


@pytest.mark.parametrize(("name", "content"), [
    (HEADER, b""), (HEADER, b'{"format": 1, "ki'), (JOURNAL, b"\x00" * 47), (VALUES, b"\x00" * 100)])
def test_a_file_cut_short_means_all_of_it_is_made_again(
        half_filled: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (half_filled / "films-1" / name).write_bytes(content)
    rows = reopened(half_filled)
    assert capsys.readouterr().err == "Cache: six films is damaged and is made again.\n"
    assert rows.claim(range(6)).tolist() == list(range(6))
    rows.write(range(6), DATA)
    np.testing.assert_array_equal(reopened(half_filled).values(), DATA)


@pytest.mark.parametrize("name", [HEADER, JOURNAL, VALUES])
def test_a_lost_file_means_all_of_it_is_made_again(half_filled: Path, name: str) -> None:
    (half_filled / "films-1" / name).unlink()
    assert reopened(half_filled).claim(range(6)).tolist() == list(range(6))


@pytest.mark.parametrize("change", [{"format": 0}, {"format": 2}, {"dtype": "float16"}, {"key": {}}])
def test_what_another_version_kept_is_made_again_and_that_is_said(
        half_filled: Path, change: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    facts = half_filled / "films-1" / HEADER
    facts.write_text(json.dumps({**json.loads(facts.read_text()), **change}))
    rows = reopened(half_filled)
    assert capsys.readouterr().err == "Cache: six films was kept by another version and is made again.\n"
    assert rows.claim(range(6)).tolist() == list(range(6))
    assert rows.blank() == []


def test_the_size_is_said_before_anything_is_made_and_what_is_there_when_it_goes_on(
        half_filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    big = DiskRows(half_filled / "films-2", {**HEADER_OF, "shape": [10, 5_000_000]}, what="ten films")
    big.claim(range(10))
    assert capsys.readouterr().err == f"Cache: 200 MB for ten films in {half_filled}.\n"
    reopened(half_filled).claim(range(6))
    assert capsys.readouterr().err == (
        f"Cache: 120 B for six films in {half_filled}; 4 of 6 are there.\n")
    reopened(half_filled).claim([0, 2])
    assert capsys.readouterr().err == ""


def test_a_disk_without_room_is_noticed_before_anything_is_written(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=6 * 60 - 1))
    with pytest.raises(StorageError, match=rf"Received: {tmp_path} \(the disk is full\)"):
        reopened(tmp_path).claim(range(6))
    assert list(tmp_path.iterdir()) == []
    assert reopened(tmp_path).claim(range(5)).tolist() == list(range(5))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_fills_up_meanwhile_is_a_storage_error(half_filled: Path) -> None:
    (half_filled / "films-1" / VALUES).unlink()
    rows = reopened(half_filled)
    rows.claim([1])
    (half_filled / "films-1" / VALUES).unlink()
    (half_filled / "films-1" / VALUES).symlink_to("/dev/full")
    with pytest.raises(StorageError, match="the disk is full"):
        rows.write([1], DATA[[1]])


@pytest.mark.skipif(not hasattr(os.stat_result, "st_blocks"), reason="no sparse files")
def test_rows_that_nobody_asked_for_take_no_room(tmp_path: Path) -> None:
    rows = DiskRows(tmp_path / "films-1", {**HEADER_OF, "shape": [1000, 100_000]}, what="many films")
    rows.claim([7])
    rows.write([7], np.ones((1, 100_000)))
    assert (tmp_path / "films-1" / VALUES).stat().st_blocks * 512 < 2_000_000


@pytest.fixture
def many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays whose files hold two of the six rows each."""
    monkeypatch.setattr(store, "_FILE_BYTES", 130)


@pytest.mark.usefixtures("many_files")
def test_an_array_of_several_files_is_one_array(tmp_path: Path) -> None:
    rows = reopened(tmp_path)
    rows.write(rows.claim([5, 0, 2, 3]), DATA[[0, 2, 3, 5]])
    assert sorted(path.name for path in (tmp_path / "films-1").iterdir()) == \
        sorted([HEADER, JOURNAL, VALUES, "values-1.bin", "values-2.bin"])
    assert reopened(tmp_path).claim(range(6)).tolist() == [1, 4]
    found = reopened(tmp_path).values()
    assert (len(found), found.shape, found.dtype) == (6, SHAPE, np.float32)
    nothing = np.array([], int)
    for index in (5, -1, np.int64(2), [5, 0, 2], np.array([3, 3]), slice(2, 4), ([5, 0], 1), nothing):
        np.testing.assert_array_equal(found[index], DATA[index])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found))[[0, 5]], DATA[[0, 5]])
    with pytest.raises(IndexError):
        found[[6]]


@pytest.mark.usefixtures("many_files")
def test_damage_in_one_of_several_files_costs_that_row_and_a_lost_file_all(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = reopened(tmp_path)
    rows.write(rows.claim(range(6)), DATA)
    overwrite(tmp_path / "films-1/values-1.bin", 60 + 17, b"\xff")
    assert reopened(tmp_path).claim(range(6)).tolist() == [3]
    (tmp_path / "films-1/values-2.bin").unlink()
    assert reopened(tmp_path).claim(range(6)).tolist() == list(range(6))
    assert "is damaged and is made again" in capsys.readouterr().err


@pytest.mark.usefixtures("many_files")
def test_all_files_of_an_array_are_counted_and_cleared(tmp_path: Path) -> None:
    fill(tmp_path)
    (entry,) = Cache(tmp_path).entries()
    assert len(list(entry.folder.iterdir())) == 4
    assert Cache(tmp_path).clear()[1] == []
    assert list(tmp_path.iterdir()) == []


def test_memory_behaves_like_the_disk_for_as_long_as_it_lasts() -> None:
    rows = Rows(SHAPE, "float32")
    assert rows.claim([5, 0, 2, 0]).tolist() == [0, 2, 5]
    rows.write([5, 0, 2], DATA[[5, 0, 2]])
    rows.write_blank([3])
    assert rows.blank() == [3]
    np.testing.assert_array_equal(rows.values()[[0, 2, 5]], DATA[[0, 2, 5]])


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="no way to give pages back here")
def test_rows_that_were_read_from_disk_leave_memory_again(tmp_path):
    """Resident pages of the mapping, as the system counts them."""
    smaps = Path("/proc/self/smaps")
    if not smaps.exists():
        pytest.skip("the system doesn't tell which pages are resident")
    np.arange(1 << 22, dtype=np.uint8).tofile(tmp_path / "values.bin")
    array = np.memmap(tmp_path / "values.bin", np.uint8, "r", shape=(64, 1 << 16))

    def resident() -> int:
        _, _, found = smaps.read_text().partition(str(tmp_path / "values.bin"))
        counted = re.search(r"Rss:\s+(\d+) kB", found)
        assert counted
        return int(counted[1])

    assert array.sum() > 0
    assert resident() == 1 << 12
    found = read_rows(array, np.array([1, 63]))
    np.testing.assert_array_equal(found, array[[1, 63]])
    read_rows(array, 5)
    assert resident() < 1 << 8
