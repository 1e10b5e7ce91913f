"""A folder of arrays: one for each key, filled by one process at a time, killed ones gone on with."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pneumo_tf.errors import StorageError
from pneumo_tf.training.cache import Cache, open_rows
from pneumo_tf.training.rows import Rows

ROOT = Path(__file__).resolve().parents[2]
# A process of its own that fills ten rows and says which it had to make.
CHILD = """
import os, signal, sys
from pathlib import Path
import numpy as np
from pneumo_tf.training.cache import Cache
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
