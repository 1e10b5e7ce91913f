"""An archive is fetched from a server of all kinds: with ranges, without, that hangs up, that lies."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests

from pneumo_tf.data import download
from pneumo_tf.data.download import (
    ARCHIVES,
    STAYING_SECURE,
    Archive,
    archive_at,
    fetch,
    published_hash,
    unpack,
)
from pneumo_tf.errors import FilmError, StorageError

_FILMS = {f"chest_xray/{split}/{label}/{label}-{number}.jpeg": bytes([number]) * 70_000
          for split in ("train", "test") for label in ("NORMAL", "PNEUMONIA") for number in range(1, 4)}


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


@dataclass
class Server:
    """What the server has and how it behaves; `asked` are the ranges that it was asked for."""

    url: str = ""
    content: bytes = field(default_factory=lambda: zipped(_FILMS))
    tag: str = '"first"'
    ranges: bool = True
    hangs_up_after: int = 10**9  # bytes of each answer
    refuses: list[int] = field(default_factory=list)  # statuses of the next answers
    asked: list[str] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def archive(self) -> Archive:
        return archive_at(f"{self.url}/films.zip")


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            state.asked.append(asked)
            if state.refuses:
                self.send_error(state.refuses.pop(0))
                return
            fits = state.ranges and asked and self.headers.get("If-Range") == state.tag
            start = int(asked[6:-1]) if fits else 0
            if fits and start >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.content)}")
                self.end_headers()
                return
            self.send_response(206 if fits else 200)
            if fits:
                size = len(state.content)
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.send_header("ETag", state.tag)
            self.send_header("Content-Length", str(len(state.content) - start))
            self.end_headers()
            self.wfile.write(state.content[start:start + state.hangs_up_after])

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{running.server_port}"
    Thread(target=running.serve_forever, daemon=True).start()
    yield state
    running.shutdown()
    running.server_close()


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_archive_arrives_whole_and_leaves_nothing_beside_it(server: Server, tmp_path: Path) -> None:
    assert fetch(server.archive, tmp_path / "films.zip", sha256=server.sha256) == server.sha256
    assert (tmp_path / "films.zip").read_bytes() == server.content
    assert names(tmp_path) == {"films.zip"}


def test_a_connection_that_ends_early_is_taken_up_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.hangs_up_after = 300_000  # of which whole blocks are kept
    fetch(server.archive, tmp_path / "films.zip", sha256=server.sha256, pause=0)
    assert server.asked == ["", "bytes=262144-", "bytes=524288-", "bytes=786432-"]


def test_another_process_goes_on_where_one_was_killed(server: Server, tmp_path: Path) -> None:
    server.hangs_up_after = 400_000
    part = tmp_path / "films.zip.part"
    with pytest.raises(requests.RequestException, match=r"Incomplete|broken"):
        download._receive(server.archive, part)
    server.hangs_up_after = 10**9
    fetch(server.archive, tmp_path / "films.zip", sha256=server.sha256)
    assert server.asked == ["", "bytes=393216-"]


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "films.zip.part"
    part.write_bytes(server.content[:1000])
    part.with_suffix(".part.json").write_text('"\\"first\\""')
    server.ranges = False
    assert fetch(server.archive, tmp_path / "films.zip") == server.sha256


def test_two_versions_of_an_archive_are_never_mixed(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "films.zip.part"
    part.write_bytes(b"older bytes" * 1000)
    part.with_suffix(".part.json").write_text('"\\"older\\""')
    assert fetch(server.archive, tmp_path / "films.zip") == server.sha256


def test_a_part_that_was_whole_already_is_taken(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "films.zip.part"
    part.write_bytes(server.content)
    part.with_suffix(".part.json").write_text('"\\"first\\""')
    assert fetch(server.archive, tmp_path / "films.zip", sha256=server.sha256) == server.sha256


def test_a_wrong_hash_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FilmError, match=f"{server.sha256} where {'0' * 64} is known"):
        fetch(server.archive, tmp_path / "films.zip", sha256="0" * 64)
    assert names(tmp_path) == set()


def test_an_archive_that_lies_there_is_checked_and_never_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "films.zip").write_bytes(server.content)
    assert fetch(server.archive, tmp_path / "films.zip", sha256=server.sha256) == server.sha256
    with pytest.raises(FilmError, match="known hash"):
        fetch(server.archive, tmp_path / "films.zip", sha256="0" * 64)
    assert server.asked == []
    assert (tmp_path / "films.zip").is_file()


def test_what_a_kill_left_beside_a_whole_archive_goes(server: Server, tmp_path: Path) -> None:
    fetch(server.archive, tmp_path / "films.zip")
    (tmp_path / "films.zip.part.json").write_text('"\\"first\\""')
    fetch(server.archive, tmp_path / "films.zip", sha256=server.sha256)
    assert names(tmp_path) == {"films.zip"}


def test_a_page_instead_of_an_archive_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>Please log in</html>"
    with pytest.raises(FilmError, match=r"undamaged \.zip"):
        fetch(server.archive, tmp_path / "films.zip")
    assert names(tmp_path) == set()


def test_a_busy_server_is_asked_again_and_a_missing_file_isnt(server: Server, tmp_path: Path) -> None:
    server.refuses = [503, 429]
    fetch(server.archive, tmp_path / "films.zip", pause=0)
    server.refuses = [404]
    with pytest.raises(FilmError, match="HTTP 404"):
        fetch(server.archive, tmp_path / "others.zip", pause=0)
    assert len(server.asked) == 4


def test_without_a_network_the_message_says_what_to_save_where(tmp_path: Path) -> None:
    nowhere = Archive("films", "films.zip", "http://127.0.0.1:9/films.zip", page="https://example.org/films")
    with pytest.raises(FilmError) as refusal:
        fetch(nowhere, tmp_path / "films.zip", pause=0)
    assert f"fetch https://example.org/films on another machine, save it as {tmp_path / 'films.zip'}" \
        in refusal.value.remedy


def test_a_disk_without_room_is_known_before_anything_arrives(server: Server, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(StorageError, match="MiB free"):
        fetch(server.archive, tmp_path / "films.zip")
    assert names(tmp_path) <= {"films.zip.part"}


def test_the_publisher_is_asked_for_the_hash(server: Server) -> None:
    files = {"other.zip": "1" * 64, "films.zip": "A" * 64}
    server.content = json.dumps([{"filename": name, "content_details": {"sha256_hash": sha256}}
                                 for name, sha256 in files.items()]).encode()
    known = Archive("films", "films.zip", "", listing=server.url)
    assert published_hash(known) == "a" * 64
    server.content = b"<html>"
    assert published_hash(known) == ""
    assert published_hash(Archive("films", "films.zip", "", listing="http://127.0.0.1:9/")) == ""


@pytest.mark.parametrize(("asked", "target", "followed"), [
    ("https://a.org/net.h5", "https://b.org/net.h5", True), ("https://a.org/net.h5", "/other.h5", True),
    ("https://a.org/net.h5", "http://a.org/net.h5", False), ("https://a.org/net.h5", "//b.org/x", True),
    ("https://a.org/net.h5", "file:///etc/passwd", False),
    ("http://a.org/net.h5", "http://b.org/x", True)])
def test_a_download_never_leaves_https(asked: str, target: str, followed: bool) -> None:
    response = requests.Response()
    response.status_code, response.url = 302, asked
    response.headers["Location"] = target
    try:
        STAYING_SECURE["response"](response)
    except requests.exceptions.RequestException:
        assert not followed
    else:
        assert followed


@pytest.mark.parametrize("name", ["normal/CON.jpeg", "normal/film.jpeg:evil.exe.jpeg", "nul/film.jpeg",
                                  "normal./film.jpeg", "normal/a\x07.jpeg"])
def test_names_that_are_something_else_on_windows_are_not_unpacked(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        archive.writestr(name, b"film")
    with pytest.raises(FilmError, match=r"the same on every system.*--no-unpack"):
        unpack(tmp_path / "films.zip", tmp_path / "films")
    assert not (tmp_path / "films").exists()


def test_films_are_unpacked_and_nothing_else_is(tmp_path: Path) -> None:
    others = {"__MACOSX/chest_xray/._a.jpeg": b"x", "chest_xray/run.sh": b"rm", "chest_xray/.DS_Store": b"x"}
    (tmp_path / "films.zip").write_bytes(zipped(_FILMS | others))
    listing = unpack(tmp_path / "films.zip", tmp_path / "films")
    assert names(tmp_path / "films") == set(_FILMS)
    assert set(listing.others) == set(others)
    assert unpack(tmp_path / "films.zip", tmp_path / "films") == listing  # it is there already


@pytest.mark.parametrize("name", ["../evil.jpeg", "/etc/evil.jpeg", "a\\..\\..\\evil.jpeg", "C:\\evil.jpeg"])
def test_no_member_leaves_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "films.zip").write_bytes(zipped(_FILMS | {name: b"x"}))
    with pytest.raises(FilmError, match="lead out"):
        unpack(tmp_path / "films.zip", tmp_path / "films")
    assert names(tmp_path) == {"films.zip"}


def test_a_folder_with_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "films.zip").write_bytes(zipped(_FILMS))
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "letter.txt").write_text("dear")
    with pytest.raises(FilmError, match="something else"):
        unpack(tmp_path / "films.zip", tmp_path / "films")
    assert names(tmp_path / "films") == {"letter.txt"}


def test_what_is_known_of_the_public_archives_is_whole() -> None:
    for name, archive in ARCHIVES.items():
        assert archive.name == name
        assert archive.file.endswith(".zip")
        assert all(url.startswith("https://") for url in (archive.url, archive.page, archive.listing))
