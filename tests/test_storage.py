"""Whatever happens while writing, the last good file stays."""

import errno
import json
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import pandas as pd
import pytest

from pneumo_tf.errors import StorageError
from pneumo_tf.storage import (
    from_csv,
    guarded,
    make_folder,
    read_arrays,
    read_json,
    replacing,
    write_csv,
    write_json,
    write_text,
)


def test_text_is_written_as_utf8_into_folders_made_on_the_way(tmp_path: Path) -> None:
    write_text(tmp_path / "a/b/radiografía.txt", "niño")
    assert (tmp_path / "a/b/radiografía.txt").read_bytes() == "niño".encode()
    assert len(list((tmp_path / "a/b").iterdir())) == 1


def test_a_killed_writing_leaves_the_last_good_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "result.csv"
    write_text(path, "good")
    with suppress(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "good"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_folder_leaves_no_litter(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), replacing(tmp_path / "export") as temporary:
        temporary.mkdir()
        (temporary / "part").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


_KILLED = """
import os, sys
from pathlib import Path
from pneumo_tf.storage import replacing
with replacing(Path(sys.argv[1])) as begun:
    begun.mkdir()
    (begun / "part").write_text("half")
    os._exit(9)
"""


def test_what_killed_processes_left_goes_when_the_next_one_writes_there(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path / "other")], check=False)
    (tmp_path / ".notes").write_text("a hidden file of somebody's")
    assert len(list(tmp_path.iterdir())) == 2
    with replacing(tmp_path / "export") as ours, replacing(tmp_path / "export") as another:
        another.mkdir()
        ours.mkdir()
    assert {path.name for path in tmp_path.iterdir()} == {".notes", "export"}


def test_what_a_living_process_writes_stays_while_another_writes_there(tmp_path: Path) -> None:
    with replacing(tmp_path / "export") as ours:
        ours.write_text("half")
        subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path / "export")], check=False)
        assert ours.read_text() == "half"
    assert (tmp_path / "export").read_text() == "half"


def test_a_folder_of_many_films_is_looked_through_once_and_not_for_each(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, glob = [], Path.glob
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: looked.append(folder) or glob(folder, pattern))
    for number in range(10):
        write_text(tmp_path / f"{number}.csv", "film")
    assert looked == [tmp_path]


def test_a_folder_gives_way_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export/old").write_text("")
    with replacing(tmp_path / "export") as begun:
        begun.mkdir()
        (begun / "new").write_text("")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "export", "export/new"]


@pytest.mark.parametrize("name", ["modelo.h5", "modelo.weights.h5", "labels.csv", "export"])
def test_the_temporary_name_is_hidden_beside_the_file_and_keeps_its_end(tmp_path: Path, name: str) -> None:
    with replacing(tmp_path / name) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.name.endswith(name)
        temporary.write_text("")


def test_json_is_readable_and_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"clase": "neumonía", "n": 1})
    assert "neumonía" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"clase": "neumonía", "n": 1}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("below", ["film.png/a.txt", "film.png/folder/a.txt"])
def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path, below: str) -> None:
    (tmp_path / "film.png").write_text("")
    with pytest.raises(StorageError, match=r"is a file, not a folder|in the way"):
        write_text(tmp_path / below, "")


def test_a_folder_where_a_file_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(StorageError, match="a folder of that name is in the way"):
        write_text(tmp_path / "a.txt", "")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(("number", "told"), [
    (errno.ENOSPC, "the disk is full). Free some space"), (errno.EROFS, "read-only). Name a folder"),
    (errno.EACCES, "permission denied). Name a folder"), (errno.EIO, "Input/output error)."),
])
def test_a_disk_that_refuses_is_told_in_words(tmp_path: Path, number: int, told: str) -> None:
    with pytest.raises(StorageError) as caught, guarded(tmp_path):
        raise OSError(number, "Input/output error")
    assert told in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a/b") == tmp_path / "a/b"
    assert list((tmp_path / "a/b").iterdir()) == []


def test_a_folder_that_cannot_be_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="folder with room and permission"):
        make_folder(tmp_path / "file")


# Each makes a spreadsheet compute, start a program or ask an address.
FORMULAS = ["=1+1", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x")', "+1+1", "-1+1|x", "@SUM(A1)", "\t=1",
            "＝1+1", "'=1+1", "''-x"]


def test_no_cell_and_no_heading_of_a_table_is_a_formula_and_all_come_back(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": FORMULAS, "=1+2": FORMULAS, "score": range(len(FORMULAS))})
    write_csv(tmp_path / "table.csv", frame)
    raw = pd.read_csv(tmp_path / "table.csv", dtype=str)
    for cell in [*raw.columns, *raw.to_numpy().ravel()]:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "＝"))
    back = from_csv(raw)
    assert list(back["id"]) == list(back["=1+2"]) == FORMULAS


@pytest.mark.parametrize("cell", ["-1", "+34915557", "-0.5", "-1e-05", "NORMAL-1", "niño", "'quoted'", ""])
def test_numbers_and_names_are_written_as_they_are(cell: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "table.csv", pd.DataFrame({"id": [cell, "x"]}))
    assert (tmp_path / "table.csv").read_text(encoding="utf-8") == f"id\n{cell or chr(34) * 2}\nx\n"


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a"], "p": pd.Series([-0.1], dtype="float32"), "is": [True], "n": [3]})
    write_csv(tmp_path / "table.csv", frame)
    assert (tmp_path / "table.csv").read_text() == "id,p,is,n\na,-0.1,True,3\n"


@pytest.mark.parametrize("text", [
    b"[" * 100_000, b'{"a":' * 100_000, b"NaN", b"[-Infinity]", b"1e999", b"1" * 10_000, b"\xff", b"", b"{]"])
def test_what_is_no_json_of_ours_is_a_value_error_whatever_it_is(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ValueError):  # noqa: PT011  (each has its own words)
        read_json(tmp_path / "a.json")


def _npz(path: Path, header: bytes, compression: int = ZIP_STORED) -> None:
    with ZipFile(path, "w", compression) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header)


@pytest.mark.parametrize("header", [
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"(" * 500, b"0" * 9000, b"\x80", b"["])
def test_arrays_that_lie_or_hold_objects_are_a_value_error(tmp_path: Path, header: bytes) -> None:
    _npz(tmp_path / "a.npz", header)
    with pytest.raises(ValueError):  # noqa: PT011
        read_arrays(tmp_path / "a.npz")


def test_arrays_that_unpack_without_end_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.npz", "w", ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(2**24))
    with pytest.raises(ValueError, match="that unpack to 16,777,216"):
        read_arrays(tmp_path / "a.npz")


def test_arrays_come_back(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(3), b=np.array("text"))
    kept = read_arrays(tmp_path / "a.npz")
    assert (kept["a"].tolist(), str(kept["b"])) == ([0, 1, 2], "text")
