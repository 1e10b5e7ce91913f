"""Runs that were stopped: what is kept of them, and who may take them up."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pneumo_tf.errors import OptionError, StorageError, TrainingError
from pneumo_tf.runs.folder import UNFINISHED
from pneumo_tf.runs.unfinished import Unfinished, unfinished_run
from pneumo_tf.training.loop import TrainingState

OPTIONS = {"films": "a", "epochs": 3, "settings": {"optimizer": "adam"}, "threads": 2, "lang": "en"}


class KilledError(Exception):
    """The process ends here."""


def stopped(runs: Path, name: str = "1", options: Mapping[str, Any] = OPTIONS, *,
            epochs: int = 1) -> list[str]:
    """The notes of what ends a run after some epochs."""
    def begin() -> None:
        with unfinished_run(runs, name, options, resume=False) as run:
            run.confirm_split("split")
            if epochs:
                run.checkpoint.write(TrainingState(epochs=epochs))
            raise KilledError

    with pytest.raises(KilledError) as failure:
        begin()
    return getattr(failure.value, "__notes__", [])


def taken_up(runs: Path, options: Mapping[str, Any] = OPTIONS) -> Unfinished:
    with unfinished_run(runs, "later", options, resume=True) as run:
        run.confirm_split("split")
        return run


def test_a_finished_run_leaves_nothing_behind(tmp_path: Path) -> None:
    with unfinished_run(tmp_path, "1", OPTIONS, resume=False) as run:
        run.checkpoint.write(TrainingState())
    assert list(tmp_path.iterdir()) == []


def test_a_run_stopped_before_its_first_epoch_leaves_nothing_behind(tmp_path: Path) -> None:
    assert stopped(tmp_path, epochs=0) == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_stopped_later_says_how_to_go_on_and_is_taken_up_under_its_name(tmp_path: Path) -> None:
    said, = stopped(tmp_path, epochs=2)
    assert "the same command with --resume goes on" in said
    with unfinished_run(tmp_path, "later", OPTIONS, resume=True) as run:
        state = run.checkpoint.read()
    assert run.folder.name == "1"
    assert state is not None
    assert state.epochs == 2
    assert not (tmp_path / UNFINISHED).exists()


def test_what_the_result_doesnt_depend_on_may_differ(tmp_path: Path) -> None:
    stopped(tmp_path)
    assert taken_up(tmp_path, {**OPTIONS, "threads": 1, "lang": "es"}).folder.name == "1"


@pytest.mark.parametrize(("other", "said"), [
    ({"epochs": 5}, r"--epochs 5, where 1 began with 3\. Repeat its options"),
    ({"films": "b"}, "--path b, where 1 began with a"),
    ({"settings": {"optimizer": "sgd"}}, "--optimizer sgd, where 1 began with adam"),
    ({"settings": {"optimizer": "adam", "rates": 1}}, "--lr 1, where 1 began with its default"),
])
def test_another_option_is_named(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    stopped(tmp_path)
    with pytest.raises(OptionError, match=said):
        taken_up(tmp_path, {**OPTIONS, **other})
    assert (tmp_path / UNFINISHED / "1" / "checkpoint.npz").is_file(), "nothing is lost"


def test_of_several_runs_the_last_one_with_these_options_is_taken_up(tmp_path: Path) -> None:
    for name, epochs in (("1", 3), ("2", 3), ("3", 7)):
        stopped(tmp_path, name, {**OPTIONS, "epochs": epochs})
    assert taken_up(tmp_path).folder.name == "2"
    assert [path.name for path in (tmp_path / UNFINISHED).iterdir()] == ["3"], "both of its kind are gone"


def test_with_nothing_to_resume_that_is_said(tmp_path: Path) -> None:
    stopped(tmp_path, epochs=0)
    with pytest.raises(OptionError, match=r"--resume needs a run that was stopped.*Leave --resume out"):
        taken_up(tmp_path)


def test_films_that_changed_in_between_are_noticed(tmp_path: Path) -> None:
    stopped(tmp_path)
    with pytest.raises(TrainingError, match="only with the films and labels that it began with"), \
            unfinished_run(tmp_path, "2", OPTIONS, resume=True) as run:
        run.confirm_split("another split")
    assert taken_up(tmp_path).folder.name == "1"


def test_runs_that_start_together_get_folders_of_their_own(tmp_path: Path) -> None:
    """Two starts of one command within a second have the same name and the same options."""
    with unfinished_run(tmp_path, "1", OPTIONS, resume=False) as first:
        first.checkpoint.write(TrainingState())
        with unfinished_run(tmp_path, "1", OPTIONS, resume=False) as second:
            second.checkpoint.write(TrainingState(epochs=1))
            (tmp_path / second.folder.name).mkdir()  # the second is finished first
        assert first.checkpoint.read() == TrainingState(), "the first one's epochs are still there"
        (tmp_path / first.folder.name).mkdir()
    assert (first.folder.name, second.folder.name) == ("1", "1-2")
    with unfinished_run(tmp_path, "1", OPTIONS, resume=False) as third:
        assert third.folder.name == "1-3"


def test_a_run_that_still_trains_is_not_taken_up(tmp_path: Path) -> None:
    with unfinished_run(tmp_path, "1", OPTIONS, resume=False) as run:
        run.checkpoint.write(TrainingState(epochs=1))
        with pytest.raises(OptionError, match="--resume needs a run that was stopped"):
            taken_up(tmp_path)
        assert run.checkpoint.read() is not None


def test_what_a_kill_left_that_nobody_can_go_on_from_goes_with_the_next_finished_run(tmp_path: Path) -> None:
    for name, files in (("killed", ("options.json", "run/modelo.h5")),
                        ("stopped", ("options.json", "checkpoint.npz"))):
        for file in files:
            path = tmp_path / UNFINISHED / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('{"options": {"films": "of another run"}}')
    with unfinished_run(tmp_path, "1", OPTIONS, resume=False):
        pass
    assert [path.name for path in (tmp_path / UNFINISHED).iterdir()] == ["stopped"]


def test_a_run_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fill_the_disk(run: Unfinished) -> None:
        with run.finishing(tmp_path / "1") as folder:
            (folder / "run.json").write_text("half")
            raise OSError(errno.ENOSPC, "")

    with unfinished_run(tmp_path, "1", OPTIONS, resume=False) as run:
        with pytest.raises(StorageError):
            fill_the_disk(run)
        assert not (tmp_path / "1").exists()
        with run.finishing(tmp_path / "1") as folder:
            assert not any(folder.iterdir())
            (folder / "run.json").write_text("whole")
    assert (tmp_path / "1/run.json").read_text() == "whole"


def test_a_folder_of_unfinished_runs_that_wont_go_costs_nothing(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run may begin in it at that moment, or a disk be mounted there."""
    def busy(_: Path) -> None:
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(Path, "rmdir", busy)
    assert stopped(tmp_path, epochs=0) == []
