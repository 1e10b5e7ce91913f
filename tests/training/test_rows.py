"""Arrays filled row by row: what is there is found again, what isn't whole is made again."""

from __future__ import annotations

import json
import mmap
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

from pneumo_tf.errors import StorageError
from pneumo_tf.training.rows import FACTS, JOURNAL, VALUES, DiskRows, MemoryRows, read_rows

SHAPE = (6, 5, 3)
FACTS_OF = {"format": 1, "kind": "films", "key": {"films": "abc"}, "shape": list(SHAPE), "dtype": "float32"}
DATA = np.random.default_rng(0).normal(size=SHAPE).astype("float32")


def reopened(folder: Path, **changes: object) -> DiskRows:
    return DiskRows(folder / "films-1", {**FACTS_OF, **changes}, what="six films")


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
    with pytest.raises(ValueError, match="read-only"):
        reopened(half_filled).values()[0] = 0


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16"])
def test_values_keep_their_type_and_their_bits(tmp_path: Path, dtype: str) -> None:
    data = (DATA * 50).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    rows = reopened(tmp_path, dtype=dtype)
    rows.claim(range(6))
    rows.write(range(6), data)
    found = reopened(tmp_path, dtype=dtype).values()
    assert found.dtype == data.dtype
    assert found.tobytes() == data.tobytes()


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
    (FACTS, b""), (FACTS, b'{"format": 1, "ki'), (JOURNAL, b"\x00" * 47), (VALUES, b"\x00" * 100)])
def test_a_file_cut_short_means_all_of_it_is_made_again(
        half_filled: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (half_filled / "films-1" / name).write_bytes(content)
    rows = reopened(half_filled)
    assert capsys.readouterr().err == "Cache: six films is damaged and is made again.\n"
    assert rows.claim(range(6)).tolist() == list(range(6))
    rows.write(range(6), DATA)
    np.testing.assert_array_equal(reopened(half_filled).values(), DATA)


@pytest.mark.parametrize("name", [FACTS, JOURNAL, VALUES])
def test_a_lost_file_means_all_of_it_is_made_again(half_filled: Path, name: str) -> None:
    (half_filled / "films-1" / name).unlink()
    assert reopened(half_filled).claim(range(6)).tolist() == list(range(6))


@pytest.mark.parametrize("change", [{"format": 0}, {"format": 2}, {"dtype": "float16"}, {"key": {}}])
def test_what_another_version_kept_is_made_again_and_that_is_said(
        half_filled: Path, change: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    facts = half_filled / "films-1" / FACTS
    facts.write_text(json.dumps({**json.loads(facts.read_text()), **change}))
    rows = reopened(half_filled)
    assert capsys.readouterr().err == "Cache: six films was kept by another version and is made again.\n"
    assert rows.claim(range(6)).tolist() == list(range(6))
    assert rows.blank() == []


def test_the_size_is_said_before_anything_is_made_and_what_is_there_when_it_goes_on(
        half_filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    big = DiskRows(half_filled / "films-2", {**FACTS_OF, "shape": [10, 5_000_000]}, what="ten films")
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
    rows = DiskRows(tmp_path / "films-1", {**FACTS_OF, "shape": [1000, 100_000]}, what="many films")
    rows.claim([7])
    rows.write([7], np.ones((1, 100_000)))
    assert (tmp_path / "films-1" / VALUES).stat().st_blocks * 512 < 2_000_000


def test_memory_behaves_like_the_disk_for_as_long_as_it_lasts() -> None:
    rows = MemoryRows(SHAPE, "float32")
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
