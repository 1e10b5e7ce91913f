"""Folders and zips that hold surprises: what is read, what is refused."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pytest

from pneumo_tf.data import sources as archive
from pneumo_tf.data.sources import Entry, open_source
from pneumo_tf.errors import FilmError


def zipped(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive_file:
        for name, data in members.items():
            archive_file.writestr(zipfile.ZipInfo(name), data, compression)
    return path


def files(source: Path) -> list[str]:
    with open_source(source) as opened:
        return sorted(entry.file for entry in opened.entries())


def test_a_zip_lists_and_reads_its_files_without_unpacking(tmp_path: Path) -> None:
    path = zipped(tmp_path / "films.zip", {"normal/": b"", "normal/radiografía 1.jpeg": b"film"})
    with open_source(path) as source:
        assert source.entries() == [Entry("normal/radiografía 1.jpeg", 4)]
        assert source.read("normal/radiografía 1.jpeg") == b"film"
    assert [child.name for child in tmp_path.iterdir()] == ["films.zip"]


def test_a_folder_lists_and_reads_its_files(tmp_path: Path) -> None:
    (tmp_path / "normal").mkdir()
    (tmp_path / "normal" / "a b.jpeg").write_bytes(b"film")
    with open_source(tmp_path) as source:
        assert source.entries() == [Entry("normal/a b.jpeg", 4)]
        assert source.read("normal/a b.jpeg") == b"film"


@pytest.mark.parametrize("name", ["../evil.jpeg", "normal/../../evil.jpeg", "/etc/evil.jpeg", "C:/evil.jpeg",
                                  "c:evil.jpeg", "\\evil.jpeg", "normal\\..\\evil.jpeg",
                                  "\\\\server\\share\\evil.jpeg", ".. /evil.jpeg", "normal/.../evil.jpeg"])
def test_a_member_that_leads_out_makes_the_archive_refused_whole(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "films.zip", {"normal/good.jpeg": b"film", name: b"evil"})
    with pytest.raises(FilmError, match="No member of an archive may lead out of it"):
        open_source(path)


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../..", b"good.jpeg"])
def test_a_link_makes_the_archive_refused_whole(tmp_path: Path, target: bytes) -> None:
    link = zipfile.ZipInfo("normal/evil.jpeg")
    link.create_system, link.external_attr = 3, 0o120777 << 16  # as Unix writes a symbolic link
    path = zipped(tmp_path / "films.zip", {"normal/good.jpeg": b"film"})
    with zipfile.ZipFile(path, "a") as archive_file:
        archive_file.writestr(link, target)
    with pytest.raises(FilmError, match=r"lead out of it\. Received: .*evil\.jpeg', a link"):
        open_source(path)


def test_two_dots_within_a_name_lead_nowhere(tmp_path: Path) -> None:
    assert files(zipped(tmp_path / "films.zip", {"normal/a..b.jpeg": b"film"})) == ["normal/a..b.jpeg"]


def test_a_member_that_unpacks_to_two_hundred_times_its_size_is_a_bomb(tmp_path: Path) -> None:
    path = zipped(tmp_path / "films.zip", {"normal/bomb.jpeg": bytes(11 * 2**20)})
    with pytest.raises(FilmError, match=r"bomb\.jpeg', [\d,]+ bytes that unpack to 11,534,336"):
        open_source(path)


def test_a_small_member_may_shrink_a_lot(tmp_path: Path) -> None:
    assert files(zipped(tmp_path / "films.zip", {"normal/blank.jpeg": bytes(2**20)})) == ["normal/blank.jpeg"]


def test_a_member_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_FILM", 1000)
    with pytest.raises(FilmError, match=r"large\.jpeg"):
        open_source(zipped(tmp_path / "films.zip", {"normal/large.jpeg": bytes(1001)}))


def test_an_archive_too_large_in_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_ARCHIVE", 1999)
    with pytest.raises(FilmError, match="in all"):
        open_source(zipped(tmp_path / "films.zip", {"a.jpeg": bytes(1000), "b.jpeg": bytes(1000)}))


def test_a_member_never_gives_more_bytes_than_it_declared(tmp_path: Path) -> None:
    path = zipped(tmp_path / "films.zip", {"a.jpeg": bytes(5000)})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<L", 5000), struct.pack("<L", 50)))
    with open_source(path) as source, pytest.raises(FilmError, match=r"a\.jpeg: Bad CRC-32"):
        source.read("a.jpeg")


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "films.zip", {"a.jpeg": b"film"}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # general purpose flags of the central directory
    path.write_bytes(bytes(data))
    with pytest.raises(FilmError, match="must not be encrypted"):
        open_source(path)


def test_a_damaged_member_is_refused_by_name(tmp_path: Path) -> None:
    path = zipped(tmp_path / "films.zip", {"a.jpeg": b"film" * 9}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"filmfilm", b"filmFILM", 1))
    with open_source(path) as source, pytest.raises(FilmError, match=r"a\.jpeg: Bad CRC-32"):
        source.read("a.jpeg")


@pytest.mark.parametrize("data", [b"", b"<html>sign in first</html>", b"PK\x03\x04 cut off"])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "films.zip").write_bytes(data)
    with pytest.raises(FilmError, match=r"folder or an undamaged \.zip"):
        open_source(tmp_path / "films.zip")


def test_a_missing_source_is_said_to_be_unreadable(tmp_path: Path) -> None:
    with pytest.raises(FilmError, match="No such file"):
        open_source(tmp_path / "nowhere.zip")


def test_links_to_folders_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    films, source = tmp_path / "films", tmp_path / "source"
    films.mkdir()
    source.mkdir()
    (films / "a.jpeg").write_bytes(b"film")
    (source / "normal").symlink_to(films)
    (films / "up").symlink_to(films)
    assert files(source) == ["normal/a.jpeg"]


def test_pipes_and_broken_links_are_listed_with_their_trouble(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpeg")
    (tmp_path / "link.jpeg").symlink_to(tmp_path / "nowhere")
    with open_source(tmp_path) as source:
        trouble = {entry.file: entry.trouble for entry in source.entries()}
    assert trouble == {"pipe.jpeg": "not a regular file",
                       "link.jpeg": "can't be opened (No such file or directory)"}


def test_the_folder_to_write_to_is_no_source(tmp_path: Path) -> None:
    for folder in ("normal", "clasificacion"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpeg").write_bytes(b"film")
    with open_source(tmp_path) as source:
        listed = [entry.file for entry in source.entries(without=tmp_path / "clasificacion")]
    assert listed == ["normal/a.jpeg"]


@pytest.mark.parametrize(("name", "expected"), [
    (b"NEUMONI\xcc\x81A", "NEUMONI\u0301A"),  # as a Mac writes it: UTF-8, and not said to be
    (b"NEUMON\xd6_\xa1A", "NEUMON╓_íA")])  # code page 437, which is what the standard takes then
def test_names_in_an_archive_that_tells_no_encoding_are_read(tmp_path: Path, name: bytes,
                                                            expected: str) -> None:
    path = zipped(tmp_path / "films.zip", {"x" * len(name) + "/a.png": b"film"})
    path.write_bytes(path.read_bytes().replace(b"x" * len(name), name))
    with open_source(path) as source:
        entry, = source.entries()
        assert (entry.file, source.read(entry.file)) == (f"{expected}/a.png", b"film")
