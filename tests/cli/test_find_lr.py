"""find_lr.py on phantoms: the suggestions, the drawing, and mistakes said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumo_tf.cli import find_lr, options


def arguments(films: Path, labels: Path, output: Path, *more: str) -> list[str]:
    return ["-p", str(films), "-l", str(labels), "-o", str(output), "--cache", str(output / "cache"),
            "-e", "1", "--backbone", "resnet18", "--weights", "none", "--image-size", "32",
            "--batch-size", "4", *more]


@pytest.mark.parametrize(("recipe", "step", "layers"), [
    ("fine-tune", 1, "head"), ("full", 2, "all layers"), ("top", 2, "all layers")])
def test_it_suggests_four_rates_and_draws_them(
        prepared_films: Path, labels_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
        printed_commands, recipe: str, step: int, layers: str) -> None:
    typed = arguments(prepared_films, labels_table, tmp_path, "--recipe", recipe, "--step", str(step),
                      "--batches", "60")
    assert find_lr.main(typed) == 0
    found = json.loads((tmp_path / "find_lr.json").read_text())
    *lines, following = capsys.readouterr().out.splitlines()[-7:]
    printed_commands.check(following)
    assert following.endswith(f"--lr {found['suggestions']['valley']:.1e}")
    assert "--step" not in following
    assert " ".join(line.split()[0] for line in lines) == "minimum steep valley slide Curve: Schedules:"
    assert all(found["rates"][0] <= rate <= found["rates"][-1] for rate in found["suggestions"].values())
    said = [line.split()[1] for line in lines[:4]]
    assert [f"{rate:.2e}" for rate in found["suggestions"].values()] == said
    assert (found["layers"], found["recipe"]) == (layers, recipe)
    for name in ("find_lr", "find_lr_schedules"):
        assert np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")).std() > 5, "something is drawn"
        assert (tmp_path / f"{name}.svg").read_text().count("<path") > 4


@pytest.mark.parametrize(("more", "said"), [
    (("--recipe", "fast"), "needs a recipe that learns at a rate. Received: fast, whose head is found by"),
    (("--step", "3"), "must be one of the recipe's. Received: 3, where fine-tune has 2"),
    (("--low", "1", "--high", "0.1"), "from a low learning rate to a higher one"),
    (("--recipe", "hasty"), "The recipe must be one that this program knows"),
])
def test_a_mistake_is_one_line_and_nothing_is_written(
        prepared_films: Path, labels_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
        more: tuple[str, ...], said: str) -> None:
    assert find_lr.main(arguments(prepared_films, labels_table, tmp_path, *more)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("find_lr.py: error:")
    assert said in error
    assert not (tmp_path / "find_lr.json").exists()


def test_missing_films_are_said_before_keras_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "start_keras", None)
    assert find_lr.main(["-p", str(tmp_path / "nowhere")]) == 2
    assert "The folder of films must exist" in capsys.readouterr().err


@pytest.mark.parametrize(("typed", "following"), [
    (("--batches", "30", "-e", "3"), "--recipe fine-tune -e 3 --lr 2.0e-02"),
    (("--step", "2", "--lr", "auto"), "--recipe fine-tune --lr 4.0e-02"),  # whose rates are halved there
    (("--recipe=full", "-e", "3"), "--recipe full -e 3 --phase head:2:2.0e-02 --phase all:3"),
    (("--phase", "head:1", "--low=1e-6", "--phase", "all:2:1e-4"),
     "--recipe fine-tune --phase head:1 --phase all:2:1e-4 --lr 2.0e-02"),
    (("--phase", "head:1", "--step", "2", "--phase", "all:2:1e-4"),
     "--recipe fine-tune --phase head:1 --phase all:2:2.0e-02")])
def test_the_training_that_follows_takes_the_rate_in_the_step_that_was_tested(
        prepared_films: Path, labels_table: Path, monkeypatch: pytest.MonkeyPatch,
        typed: tuple[str, ...], following: str) -> None:
    monkeypatch.chdir(prepared_films.parent)
    arguments = [*typed, "--backbone", "efficientnet_lite0", "--weights", "none"]
    options_typed = find_lr.build_parser().parse_args([*arguments, "-p", str(prepared_films), "-l",
                                                       str(labels_table)])
    options_typed.command = ("python", "scripts/find_lr.py", *arguments)
    words = " ".join(find_lr._training(options_typed, options.study_of(options_typed), 0.02))
    assert words.replace(" --backbone efficientnet_lite0 --weights none", "") == following
