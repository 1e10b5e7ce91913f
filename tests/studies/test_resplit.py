"""A finished run on phantoms, repeated: what is written, what stays, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image
from sklearn.metrics import roc_auc_score

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.patients import owner
from pneumo_tf.data.splits import split_cohort
from pneumo_tf.errors import FilmError, OptionError, WeightsError
from pneumo_tf.models.backbones import BACKBONES, Backbone
from pneumo_tf.models.classifier import build_backbone
from pneumo_tf.runs.folder import RunError, read_run
from pneumo_tf.studies import plan
from pneumo_tf.studies import resplit as repeats
from pneumo_tf.studies import train as study_of_films
from pneumo_tf.studies.plan import StudyOptions
from pneumo_tf.studies.resplit import Refit, refit, repeat_study
from pneumo_tf.training import trunk


def _convolution(inputs: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU(name="deep")(layers.Conv2D(8, 5, 3, name="conv")(inputs))


@pytest.fixture(scope="module", autouse=True)
def backbone() -> Iterator[Backbone]:
    """The smallest network there can be, in the table for as long as these tests run."""
    small = replace(BACKBONES["mobilenet_v3_small"], name="small", size=32, smallest=8, build=_convolution,
                    taps=("deep",), cut="deep", views=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, small.name, small)
        yield small


@pytest.fixture(scope="module", autouse=True)
def reports() -> Iterator[list[tuple[Path, str]]]:
    """The reports that were asked for; they aren't written, because these tests don't read them."""
    asked: list[tuple[Path, str]] = []

    def ask(run: Path, *, lang: str = "en") -> Path:
        asked.append((run, lang))
        return run / "report.html"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_of_films, "write_report", ask)
        patch.setattr(repeats, "rewrite_report", ask)
        yield asked


@pytest.fixture(scope="module")
def weights_file(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that nothing was learnt with, in a file as pretrained ones come in."""
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    keras.utils.set_random_seed(0)
    build_backbone(backbone, backbone.size).save_weights(path)
    return path


@pytest.fixture(scope="module")
def finished_run(prepared_films: Path, labels_table: Path, weights_file: Path, backbone: Backbone,
                 tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read."""
    output = tmp_path_factory.mktemp("model")
    return study_of_films.run_study(StudyOptions(
        films=prepared_films, labels=labels_table, output=output, backbone=backbone.name, epochs=8,
        weights=str(weights_file), recipe="fast", settings={"views": 1}, threads=1, cache=output / "cache"))


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return shutil.copytree(finished_run, tmp_path / "run")


@pytest.fixture
def changed(run: Path) -> Callable[..., Path]:
    """The copy with other entries in run.json; those of `options` one by one."""
    def change(options: dict[str, Any] | None = None, **entries: Any) -> Path:
        facts = json.loads((run / "run.json").read_text())
        facts |= {**entries, "options": facts["options"] | (options or {})}
        (run / "run.json").write_text(json.dumps(facts))
        return run

    return change


@pytest.fixture(scope="module")
def study(finished_run: Path) -> Refit:
    return refit(read_run(finished_run), threads=1)


def test_the_runs_own_split_gives_the_runs_own_scores_and_threshold(study: Refit) -> None:
    found = study.scores(study.run.cohort)
    known = study.run.predictions[[f"p_{name}" for name in study.run.classes]].to_numpy()
    np.testing.assert_allclose(found["all"].values, known, atol=1e-5)
    assert study.run.fix_threshold(found["judged"]) == pytest.approx(study.run.threshold)
    assert list(found["test"].ids) == study.run.cohort.subset("test").ids


def test_no_head_is_judged_by_films_of_a_patient_that_taught_it(study: Refit) -> None:
    other = split_cohort(study.run.cohort, seed=9)
    taught = {owner(film) for film in other.subset("train")}
    found = study.scores(other)
    assert taught.isdisjoint(f"patient {name}" for name in found["test"].patients)
    assert set(found["judged"].ids).isdisjoint(found["test"].ids)


def test_a_repetition_writes_its_record_and_the_report_and_leaves_the_rest(
        run: Path, reports: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    monkeypatch.setattr(repeats, "DRAWS", 2)
    page = repeat_study(run, repeats=2, seed=41, threads=1, lang="es")
    assert (page, reports[-1]) == (run / "report.html", (run, "es"))
    record = json.loads((run / "repeats.json").read_text())
    assert [split["seed"] for split in record["splits"]] == [41, 43]  # 42 is the run's own
    assert record["own"]["figures"]["auc"] == pytest.approx(
        json.loads(before["metrics.json"])["test"]["figures"]["auc"]["value"], abs=1e-6)
    assert {"value", "sd", "low", "high", "method", "n", "own"} <= set(record["figures"]["specificity"])
    assert {path.name: path.read_bytes() for path in run.iterdir()
            if path.is_file() and path.name != "repeats.json"} == before


def test_the_learning_curve_ends_with_the_run_itself_and_keeps_its_test_films(study: Refit) -> None:
    own = study.scores(study.run.cohort)["test"]
    curve = repeats._learning_curve(study, own, seed=1)
    patients = {owner(film) for film in study.run.cohort.subset("train")}
    assert [size["patients"] for size in curve["sizes"]][-1] == len(patients)
    assert curve["sizes"][-1]["area"]["value"] == pytest.approx(
        roc_auc_score(own.labels == own.positive_index, own.positive_scores))
    assert curve["sizes"][-1]["area"]["n"] == 1
    assert curve["sizes"][0]["films"] < curve["sizes"][-1]["films"]


def test_fewer_patients_teach_with_all_of_their_films(study: Refit) -> None:
    cohort = study.run.cohort
    some = set(list(repeats._kinds(cohort.subset("train")))[:4])
    smaller = repeats._taught_by(some, cohort)
    assert {owner(film) for film in smaller.subset("train")} == some
    assert smaller.subset("test").ids == cohort.subset("test").ids
    assert [film.id for film in cohort if owner(film) in some] == smaller.subset("train").ids


def test_a_second_repetition_finds_all_outputs_in_the_runs_cache(
        study: Refit, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(trunk, "_predict", never)
    again = refit(study.run, threads=1)
    for name in ("films", "views"):
        one, other = (getattr(found.heads[0][2], name).gather(range(9)) for found in (again, study))
        np.testing.assert_array_equal(one, other)


def test_another_recipe_is_repeated_by_the_head_of_fast_on_its_backbone(
        changed: Callable[..., Path], backbone: Backbone) -> None:
    """Its own settings are those of another network, and what it gave is measured by that network alone."""
    run = changed(recipe="full", recipe_settings={"patience": 3})
    found = refit(read_run(run), threads=1)
    assert (found.recipe, found.heads[0][0].views) == ("fast", backbone.views)
    found.check_films(np.zeros((48, 2)))


def test_an_ensemble_averages_the_heads_of_its_members(changed: Callable[..., Path], study: Refit,
                                                       weights_file: Path, backbone: Backbone) -> None:
    sha256 = study.run.facts["weights"]["sha256"]
    settings = {"views": 1, "penalty": 0.14, "patience": 8, "augment": "films"}
    twice = changed({"weights": f"{weights_file}+{weights_file}"}, recipe="ensemble",
                    recipe_settings=settings, backbone=f"{backbone.name}+{backbone.name}",
                    weights={"sha256": f"{sha256} + {sha256}"})
    found = refit(read_run(twice), threads=1)
    assert (found.recipe, len(found.heads)) == ("ensemble", 2)
    alone, both = (part.scores(study.run.cohort)["judged"].values for part in (study, found))
    np.testing.assert_allclose(both, alone, atol=1e-5)


def test_several_classes_are_repeated_without_a_threshold(
        finished_run: Path, prepared_films: Path, labels_table: Path, backbone: Backbone, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = Cohort.read_csv(labels_table)
    three = Cohort(tuple(replace(film, label=film.subtype or film.label, subtype="") for film in cohort))
    three.write_csv(tmp_path / "three.csv")
    run = study_of_films.run_study(StudyOptions(
        films=prepared_films, labels=tmp_path / "three.csv", output=tmp_path / "model", weights="none",
        backbone=backbone.name, epochs=8, recipe="fast", threads=1, cache=finished_run.parents[1] / "cache"))
    monkeypatch.setattr(repeats, "DRAWS", 1)
    repeat_study(run, repeats=2, threads=1)
    record = json.loads((run / "repeats.json").read_text())
    assert set(record["figures"]) == {"macro_auc", "balanced_accuracy", "accuracy"}
    assert record["own"]["threshold"] is None
    assert record["learning"]["outlook"]["area"]["why"] == "few"


@pytest.mark.parametrize(("options", "entries", "error", "said"), [
    ({"weights": "none"}, {"recipe": "full"}, OptionError, "random weights"),
    ({}, {"weights": {"sha256": "ab" * 32}}, WeightsError, "another hash"),
    ({}, {"data": {}}, RunError, "without data")])
def test_what_cannot_be_repeated_is_said_before_a_film_is_read(
        changed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, options: dict[str, Any],
        entries: dict[str, Any], error: type[Exception], said: str) -> None:
    monkeypatch.setattr(plan, "decode_cohort", None)
    run = changed(options, **entries)
    with pytest.raises(error, match=said):
        repeat_study(run)
    assert not (run / "repeats.json").exists()


def test_one_repetition_has_no_spread(run: Path) -> None:
    with pytest.raises(OptionError, match=r"at least two.*Received: 1\."):
        repeat_study(run, repeats=1)


def test_films_that_are_gone_or_prepared_otherwise_are_noticed(
        changed: Callable[..., Path], prepared_films: Path, tmp_path: Path) -> None:
    films = shutil.copytree(prepared_films, tmp_path / "films")
    run = changed(data={"films": str(films), "labels": "labels.csv"})
    (films / "NORMAL-3.jpeg").rename(films / "elsewhere.jpeg")
    with pytest.raises(FilmError, match=r"1 of 48 that can't be read .* e\.g\. NORMAL-3"):
        repeat_study(run, threads=1)
    (films / "elsewhere.jpeg").rename(films / "NORMAL-3.jpeg")
    for path in films.glob("*.jpeg"):
        with Image.open(path) as image:
            dark = image.point(lambda value: value // 8)
        dark.save(path)
    for recipe in ("fast", "full"):
        changed(data={"films": str(films), "labels": "labels.csv"}, recipe=recipe)
        with pytest.raises(FilmError, match=r"differ by up to 0\.\d+ from predictions\.csv"):
            repeat_study(run, threads=1)
    assert not (run / "repeats.json").exists()
