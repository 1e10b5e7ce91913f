"""Where runs lie, which is the last one, and what of a run is published beside them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from pneumo_tf.runs.folder import (
    METRICS,
    PUBLISHED,
    REPORT,
    RUN,
    WEIGHTS,
    RunError,
    last_run,
    publish,
    read_run,
    republishing,
)


def a_run(output: Path, name: str, *files: str) -> Path:
    run = output / "runs" / name
    run.mkdir(parents=True)
    for file in files:
        (run / file).write_text(f"{file} of {name}")
    return run


def test_the_last_run_is_the_last_by_its_name_that_has_what_is_needed(tmp_path: Path) -> None:
    assert last_run(tmp_path) is None
    first = a_run(tmp_path, "20260101-101010-fast", RUN, METRICS)
    second = a_run(tmp_path, "20260101-101010-fast-2", RUN)
    a_run(tmp_path, "20260101-101011-fast", METRICS)
    a_run(tmp_path, ".unfinished", RUN)
    assert last_run(tmp_path) == second
    assert last_run(tmp_path, needed=(RUN, METRICS)) == first


def test_what_is_published_says_whose_it_replaces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (a_run(tmp_path, name, *PUBLISHED) for name in ("1", "2"))
    publish(first, tmp_path)
    assert capsys.readouterr().err == ""
    publish(second, tmp_path)
    assert capsys.readouterr().err.endswith(f"they are kept in {first}.\n")
    assert (tmp_path / WEIGHTS).read_text() == f"{WEIGHTS} of 2"


def test_a_published_network_that_no_run_has_is_kept(tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run(tmp_path, "1", *PUBLISHED)
    (tmp_path / WEIGHTS).write_text("somebody's own")
    publish(run, tmp_path)
    assert f"they are kept in {tmp_path / 'before-1'}" in capsys.readouterr().err
    assert (tmp_path / "before-1" / WEIGHTS).read_text() == "somebody's own"
    assert (tmp_path / WEIGHTS).read_text() == f"{WEIGHTS} of 1"


def test_a_report_written_anew_is_published_where_this_runs_was(tmp_path: Path) -> None:
    first, second = (a_run(tmp_path, name, *PUBLISHED) for name in ("1", "2"))
    publish(second, tmp_path)
    for run in (first, second):
        with republishing(run):
            (run / REPORT).write_text(f"{run.name} with a section more")
    assert (tmp_path / REPORT).read_text() == "2 with a section more"
    assert {path.name for path in tmp_path.iterdir()} == {"runs", *PUBLISHED}


@pytest.mark.parametrize("depth", range(4))
def test_a_run_may_be_named_by_a_path_of_any_length(tmp_path: Path, depth: int,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """From the run's own folder it is ".", from the one above its name alone."""
    run = a_run(tmp_path, "1", *PUBLISHED)
    publish(run, tmp_path)
    place = [run, *run.parents][depth]
    monkeypatch.chdir(place)
    named = Path(os.path.relpath(run, place))
    with republishing(named):
        (named / REPORT).write_text("anew")
    assert (tmp_path / REPORT).read_text() == "anew"


@pytest.mark.parametrize("path", ["/", "/run"])
def test_a_run_without_folders_above_it_is_published_nowhere(path: str) -> None:
    with republishing(Path(path)):
        pass


def test_a_folder_that_is_no_run_is_told_of_without_a_word_of_reports(tmp_path: Path) -> None:
    for content in (None, "{", "{}"):
        if content is not None:
            (tmp_path / RUN).write_text(content)
        with pytest.raises(RunError) as caught:
            read_run(tmp_path)
        assert "report" not in caught.value.rule
        assert "run.json" in str(caught.value)


@pytest.mark.parametrize(("change", "told"), [
    ({"classes": ["A", "A"]}, "two classes"), ({"classes": "AB"}, "another classes"),
    ({"positive": "NOBODY"}, "look for one of them"), ({"classes": None}, "without classes"),
    ({"operating_point": 7}, "another operating_point"),
    ({"operating_point": {"threshold": 7}}, "between 0 and 1"),
    ({"preparation": {"options": {"size": "large"}}}, "another preparation.options.size"),
    ({"reference": {"novelty": {"threshold": []}}}, "another reference.novelty.threshold")])
def test_a_record_that_was_changed_by_hand_is_told_by_the_name_that_is_wrong(
        small_run: Path, tmp_path: Path, change: dict[str, object], told: str) -> None:
    run = shutil.copytree(small_run / "runs/small", tmp_path / "run")
    facts = json.loads((run / RUN).read_text(encoding="utf-8"))
    (run / RUN).write_text(json.dumps(facts | change), encoding="utf-8")
    with pytest.raises(RunError, match=told):
        read_run(run)


def test_a_name_that_a_record_lacks_is_told_with_its_file_wherever_it_is_asked_for(
        small_run: Path) -> None:
    run = read_run(small_run / "runs/small")
    with pytest.raises(RunError, match=r"run\.json without weights"):
        run.facts["weights"]
    with pytest.raises(RunError, match=r"metrics\.json without figure"):
        run.metrics["test"]["figure"]
    with pytest.raises(KeyError):  # which those catch who can do without
        run.facts["weights"]
