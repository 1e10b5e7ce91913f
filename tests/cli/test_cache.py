"""cache.py shows what is kept and removes that alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pneumo_tf import places
from pneumo_tf.cli import cache as command
from pneumo_tf.training.store import Cache


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which the person stands in."""
    monkeypatch.setattr(places, "project_root", lambda: tmp_path / "project")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def keep(folder: Path, kind: str, what: str, *, size: int = 2_000_000) -> None:
    with Cache(folder).rows(kind, {}, shape=(1, size), dtype="uint8", what=what) as rows:
        rows.write(rows.claim([0]), np.ones((1, size)))


def test_it_lists_what_is_kept_and_says_how_to_be_rid_of_it(
        project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    keep(project / "model/cache", "pixels", "40 films of 224 pixels")
    keep(project / "model/cache", "views", "3 views of 40 films through small", size=500_000)
    capsys.readouterr()
    assert command.main([]) == 0
    said = capsys.readouterr().out
    first, second = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines()
                     if line.startswith("│")]
    assert first == ["pixels", "40 films of 224 pixels", "2 MB", "0 min"]
    assert second[:2] == ["views", "3 views of 40 films through small"]
    assert f"Together 3 MB in {project / 'model/cache'}" in said
    assert said.endswith("Remove it with: python scripts/cache.py --clear\n")
    assert command.main(["--cache", "model/cache"]) == 0
    assert capsys.readouterr().out.endswith(f"cache.py --clear --cache {project / 'model/cache'}\n")


def test_clearing_says_how_much_it_freed_and_touches_nothing_else(
        project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(project / "elsewhere", "pixels", "40 films")
    (project / "elsewhere/notes.txt").write_text("mine")
    capsys.readouterr()
    assert command.main(["--clear", "--cache", "elsewhere"]) == 0
    assert capsys.readouterr().out == f"Freed 2 MB in {project / 'elsewhere'}\n"
    assert [path.name for path in (project / "elsewhere").iterdir()] == ["notes.txt"]


def test_what_a_process_is_making_stays_and_is_named(
        project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(project / "model/cache", "views", "views of 40 films")
    with Cache(project / "model/cache").rows("views", {}, shape=(1, 2_000_000), dtype="uint8",
                                             what="views of 40 films"):
        capsys.readouterr()
        assert command.main(["--clear"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"Freed 0 B in {project / 'model/cache'}", "Kept, because a process is making it: views of 40 films"]
    assert len(Cache(project / "model/cache").entries()) == 1


@pytest.mark.parametrize("options", [[], ["--clear"]])
def test_a_cache_that_was_never_begun_is_empty_and_is_not_made(
        project: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(options) == 0
    assert str(project / "model/cache") in capsys.readouterr().out
    assert list(project.iterdir()) == []
