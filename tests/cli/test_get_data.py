"""get_data.py ends with what the archive holds and with the command that prepares it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pneumo_tf.cli.get_data import main


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(phantom_films: Path, tmp_path: Path) -> Iterator[str]:
    """Of an archive of phantoms, one of them also in the test folder, with a shadow file."""
    tree = shutil.copytree(phantom_films, tmp_path / "site/set/chest_xray")
    first = min((tree / "train/NORMAL").glob("*.jpeg"))
    (tree / "test/NORMAL").mkdir(parents=True)
    shutil.copy(first, tree / "test/NORMAL" / first.name)
    (tree / "._shadow.jpeg").write_bytes(b"x")
    shutil.make_archive(str(tmp_path / "site/films"), "zip", tmp_path / "site/set")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "site")))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/films.zip"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("unpacked", [True, False])
def test_an_archive_is_fetched_told_and_led_on(address: str, unpacked: bool, tmp_path: Path, printed_commands,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    films = tmp_path / "here/films"
    typed = [address, "-o", str(films), "--workers", "1", *([] if unpacked else ["--no-unpack"])]
    assert main(typed) == 0
    said = capsys.readouterr().out
    assert films.is_dir() is unpacked
    assert films.with_name("films.zip").is_file()
    assert "nobody's hash was known" in said
    assert "dropped 1: byte-identical copy" in said
    if not unpacked:
        assert "macOS shadow file" in said
    assert len(printed_commands.check(said)) == 1
    assert main(typed) == 0  # the same command again finds everything there


@pytest.mark.parametrize(("typed", "told"), [
    (["chest_xry"], "Did you mean chest_xray?"), (["--sha256", "12"], "64 hexadecimal digits"),
    (["ftp://example.org/a.zip"], "named, or given by its address"),
    (["http://example.org/a.zip"], "without https must have a known hash")])
def test_what_cant_be_meant_is_one_line(typed: list[str], told: str,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    assert main(typed) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.err.count("\n") == 1
