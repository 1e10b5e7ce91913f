"""What fits into a person's minutes, on machines whose speed is known, and how this machine's is measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest

from pneumo_tf.errors import OptionError
from pneumo_tf.studies import minutes, train
from pneumo_tf.studies.minutes import films_per_second, fit_minutes
from pneumo_tf.studies.plan import Plan, StudyOptions, settle
from pneumo_tf.training.machine import describe_device

Fit = Callable[..., Plan]


@pytest.fixture
def options(tmp_path: Path) -> StudyOptions:
    return StudyOptions(films=tmp_path, labels=tmp_path / "labels.csv", output=tmp_path / "model",
                        weights="none")


@pytest.fixture
def fit(options: StudyOptions, monkeypatch: pytest.MonkeyPatch) -> Fit:
    """The plan for 5,000 films on a machine that learns from so many films a second."""
    def fitted(speed: float, *, films: int = 5000, **given: Any) -> Plan:
        monkeypatch.setattr(minutes, "films_per_second", lambda _: speed)
        monkeypatch.setattr(minutes, "_count", lambda _: (films, round(films * 0.595)))
        return fit_minutes(settle(replace(options, **given)))

    return fitted


@pytest.mark.parametrize(("speed", "given", "chosen"), [
    (117, {}, ("sturdy", 10)), (117, {"epochs": 60}, ("sturdy", 10)), (117, {"epochs": 4}, ("sturdy", 4)),
    (60, {}, ("sturdy", 8)), (117, {"minutes": 3.5}, ("sturdy", 3)), (117, {"minutes": 2.0}, ("fast", 60)),
    (15, {}, ("fast", 60)), (15, {"minutes": 60.0}, ("sturdy", 10)), (2000, {"minutes": 2.0}, ("sturdy", 10)),
    (100, {"recipe": "full", "minutes": 30.0, "backbone": "efficientnet_lite0"}, ("full", 45))])
def test_recipe_and_epochs_are_those_that_fit(
        fit: Fit, speed: float, given: dict[str, Any], chosen: tuple[str, int],
        capsys: pytest.CaptureFixture[str]) -> None:
    plan = fit(speed, **given)
    assert (plan.recipe_name, plan.epochs) == chosen
    said = capsys.readouterr().out
    assert said.startswith("About ")
    assert plan.recipe_name in said
    assert plan.pace is not None
    assert plan.pace.films_per_second == speed
    assert plan.recipe_name == "fast" or plan.pace.seconds <= 60 * (given.get("minutes") or 10)
    assert plan.pace.other in said


def test_what_is_chosen_for_lack_of_time_keeps_the_backbone_and_takes_its_own_size(fit: Fit) -> None:
    plan = fit(15)
    assert (plan.recipe_name, plan.backbones, plan.size) == ("fast", "efficientnet_lite0", 224)
    assert plan.rule == "sensitivity>=0.95"
    assert plan.pace is not None
    assert (plan.pace.other, plan.pace.epochs) == ("sturdy", 0)


@pytest.mark.parametrize(("films", "recipe"), [(100, "fast"), (2600, "fast"), (2700, "sturdy")])
def test_few_films_are_left_to_the_frozen_network_that_they_always_had(
        fit: Fit, films: int, recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An average of the weights over 500 steps needs 500 steps."""
    plan = fit(1000, films=films)
    assert plan.recipe_name == recipe
    if recipe == "fast":
        assert (plan.backbones, plan.epochs, plan.pace) == ("inception_v3", 60, None)
        assert "too few for sturdy: fast" in capsys.readouterr().out
    assert fit(1000, films=films, recipe="sturdy", minutes=10.0).recipe_name == "sturdy"


def test_values_that_fast_doesnt_know_keep_the_recipe_or_are_refused(fit: Fit) -> None:
    assert fit(1000, films=100, settings={"optimizer": "adam"}).recipe_name == "sturdy"
    with pytest.raises(OptionError, match="or --recipe fast"):
        fit(5, settings={"optimizer": "adam"})


def test_a_recipe_that_was_named_without_minutes_is_left_as_it_is(fit: Fit, capsys) -> None:
    plan = fit(1, recipe="sturdy", epochs=17)
    assert (plan.recipe_name, plan.epochs, plan.pace) == ("sturdy", 17, None)
    assert fit(1, recipe="fast").pace is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("given", "said"), [
    ({"recipe": "sturdy", "minutes": 1.0}, r"sturdy must fit into the minutes\. Received: 1 minutes, "),
    ({"recipe": "fast", "minutes": 5.0}, r"--minutes chooses the epochs .* Received: --recipe fast"),
    ({"recipe": "top", "minutes": 5.0}, "Received: --recipe top")])
def test_a_recipe_that_was_named_is_never_replaced(fit: Fit, given: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        fit(100, backbone="efficientnet_lite0", **given)


def test_defaults_are_the_recipes_own(options: StudyOptions) -> None:
    sturdy, fast = settle(options), settle(replace(options, recipe="fast"))
    assert (sturdy.recipe_name, sturdy.epochs, sturdy.rule, sturdy.size) == ("sturdy", 10, "stressed", 128)
    assert (fast.epochs, fast.rule) == (60, "sensitivity>=0.95")
    own = settle(replace(options, operating_point="youden", epochs=3))
    assert (own.rule, own.epochs) == ("youden", 3)


def test_with_a_gpu_the_large_network_at_its_own_size(
        options: StudyOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = replace(describe_device(), accelerator="gpu:0")
    monkeypatch.setattr("pneumo_tf.studies.plan.describe_device", lambda: gpu)
    plan = settle(options)
    assert (plan.recipe_name, plan.backbones, plan.size) == ("sturdy", "inception_v3", 299)
    named = settle(replace(options, recipe="sturdy"))
    assert (named.backbones, named.size) == ("efficientnet_lite0", 128)


def test_the_machine_is_measured_by_steps_that_leave_nothing_behind(options: StudyOptions) -> None:
    plan = settle(replace(options, image_size=32, batch_size=4, threads=1))
    keras.backend.clear_session()
    name = keras.layers.Dense(1).name
    keras.backend.clear_session()
    assert films_per_second(plan) > 0
    assert keras.layers.Dense(1).name == name


def test_what_was_chosen_is_recorded_and_a_resumed_run_keeps_it(
        prepared_films: Path, labels_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second start would have time for more epochs, whose rates would be others."""
    options = StudyOptions(films=prepared_films, labels=labels_table, output=tmp_path / "model", threads=1,
                           recipe="sturdy", backbone="efficientnet_lite0", weights="none", image_size=32)
    per_epoch = 48 * 0.85 * 0.7
    monkeypatch.setattr(minutes, "films_per_second", lambda _: per_epoch / 150)  # 150 s an epoch
    write_run, killed = train._write_run, KeyboardInterrupt("killed before it was written")

    def kill(*_: object, **__: object) -> None:
        raise killed

    monkeypatch.setattr(train, "_write_run", kill)
    with pytest.raises(KeyboardInterrupt):
        train.run_study(replace(options, minutes=12.0))
    monkeypatch.setattr(train, "_write_run", write_run)
    monkeypatch.setattr(minutes, "films_per_second", lambda _: 1e6)
    run = train.run_study(replace(options, minutes=12.0, resume=True))
    facts = json.loads((run / "run.json").read_text())
    assert (facts["recipe"], facts["pace"]["epochs"], facts["pace"]["minutes"]) == ("sturdy", 3, 12)
    assert len((run / "history.csv").read_text().splitlines()) == 1 + 3
    assert facts["operating_point"]["rule"] == "stressed"
    assert facts["operating_point"]["stressed_films"] > 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["stress"]["mean"]["balanced_accuracy"]["value"] > 0
