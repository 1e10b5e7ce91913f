"""A whole study on phantoms: what it writes, what it repeats, and what it leaves alone when it fails."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import requests
from jinja2 import TemplateNotFound

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.splits import leaked_patients
from pneumo_tf.errors import FilmError, LabelError, OptionError, PneumoError, WeightsError
from pneumo_tf.explain.network import imagenet_network
from pneumo_tf.models import published
from pneumo_tf.models.classifier import with_features
from pneumo_tf.models.published import PUBLISHED
from pneumo_tf.runs.folder import RunFolder, read_run
from pneumo_tf.runs.predictor import load_network
from pneumo_tf.runs.reference import read_reference
from pneumo_tf.studies import train
from pneumo_tf.studies.plan import settle
from pneumo_tf.studies.train import StudyOptions, read_cohort, run_study
from pneumo_tf.training import linear_head
from pneumo_tf.training.machine import pin_numbers
from pneumo_tf.training.pixels import load_film

RUN_FILES = {"run.json", "history.csv", "split.csv", "predictions.csv", "metrics.json", "report.html",
             "model.json", "modelo.h5", "modelo.keras", "model_card.md", "reference.npz"}


def _options(films: Path, labels: Path, output: Path) -> StudyOptions:
    return StudyOptions(films=films, labels=labels, output=output, backbone="efficientnet_lite0",
                        weights="none", image_size=48, epochs=8, recipe="fast", threads=1)


@pytest.fixture(scope="module")
def finished_run(prepared_films: Path, labels_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_study(_options(prepared_films, labels_table, tmp_path_factory.mktemp("model")))


def test_a_run_folder_holds_every_file_of_the_contract(finished_run: Path) -> None:
    assert {path.name for path in finished_run.iterdir() if path.is_file()} == RUN_FILES


def test_model_and_report_of_the_last_run_lie_where_the_next_program_looks(finished_run: Path) -> None:
    output = finished_run.parents[1]
    for name in ("model.json", "modelo.h5", "report.html", "model_card.md"):
        assert (output / name).read_bytes() == (finished_run / name).read_bytes()


def test_a_run_may_leave_what_was_published_as_it_is(finished_run: Path, prepared_films: Path,
                                                     labels_table: Path, tmp_path: Path) -> None:
    published_before = {path.name: path.read_bytes() for path in finished_run.parents[1].glob("*.*")}
    output = Path(shutil.copytree(finished_run.parents[1], tmp_path / "model"))
    run = run_study(replace(_options(prepared_films, labels_table, output), seed=7, publish=False))
    assert (run / "modelo.h5").is_file()
    assert {path.name: path.read_bytes() for path in output.glob("*.*")} == published_before


@pytest.fixture
def odd_numbers() -> Iterator[None]:
    """Keras as somebody's keras.json may have set it up."""
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_float16")
    yield
    pin_numbers()


@pytest.mark.parametrize("door", [
    lambda: settle(StudyOptions(films=Path(), labels=Path(), output=Path(), recipe="magic")),
    lambda: load_network(RunFolder(Path("nowhere"), {}, {}, pd.DataFrame(), Cohort(()), pd.DataFrame())),
    lambda: imagenet_network(Path("nowhere"), engine="magic"),
], ids=["a study", "a run's network", "a network of ImageNet"])
def test_every_way_into_a_network_computes_in_float32_with_channels_last(
        door: Callable[[], object], odd_numbers: None) -> None:
    with pytest.raises(PneumoError):
        door()
    assert (keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy().name) == (
        "float32", "channels_last", "float32")


def test_without_a_backbone_one_is_taken_whose_weights_are_here(monkeypatch: pytest.MonkeyPatch,
                                                                tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / PUBLISHED["mobilenet_v3_small"].weights.name).write_bytes(b"weights")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(published, "_packaged", lambda _: None)
    options = StudyOptions(films=tmp_path, labels=tmp_path, output=tmp_path, threads=1)
    for recipe in ("fast", "full", "fine-tune"):
        assert settle(replace(options, recipe=recipe)).backbones == "mobilenet_v3_small"
    assert settle(replace(options, recipe="fast", weights="none")).backbones == "inception_v3"
    monkeypatch.setattr(requests, "get", lambda *_, **__: (_ for _ in ()).throw(requests.ConnectionError))
    for asked in ({"recipe": "reference"}, {"recipe": "fast", "backbone": "inception_v3"}):
        with pytest.raises(WeightsError, match="--backbone mobilenet_v3_small, whose weights are here"):
            settle(replace(options, **asked))


def test_the_exported_model_repeats_the_scores_of_predictions_csv(finished_run: Path,
                                                                  prepared_films: Path) -> None:
    facts = json.loads((finished_run / "run.json").read_text())
    films, predictions = (pd.read_csv(finished_run / name) for name in ("split.csv", "predictions.csv"))
    size = (facts["input"]["height"], facts["input"]["width"])
    pixels = np.stack([keras.utils.img_to_array(keras.utils.load_img(
        prepared_films / file, target_size=size, color_mode=facts["input"]["color_mode"],
        interpolation=facts["input"]["interpolation"])) for file in films["file"]])
    model = keras.models.load_model(finished_run / "modelo.h5", compile=False)
    scores = predictions[[f"p_{name}" for name in facts["classes"]]].to_numpy()
    np.testing.assert_allclose(model.predict(pixels, verbose=0), scores, atol=1e-4)


def test_every_film_is_predicted_once_and_no_patient_is_on_two_sides(finished_run: Path) -> None:
    cohort = Cohort.read_csv(finished_run / "split.csv")
    predictions = pd.read_csv(finished_run / "predictions.csv")
    assert list(predictions["id"]) == cohort.ids
    assert len(cohort) == 48
    assert leaked_patients(cohort) == set()
    assert set(predictions["split"]) == {"train", "validation", "test"}


def test_the_threshold_comes_from_validation_and_turns_scores_into_predictions(finished_run: Path) -> None:
    facts = json.loads((finished_run / "run.json").read_text())
    predictions = pd.read_csv(finished_run / "predictions.csv")
    point = facts["operating_point"]
    called = np.where(predictions["p_PNEUMONIA"] >= point["threshold"], "PNEUMONIA", "NORMAL")
    assert list(called) == list(predictions["predicted"])
    assert point["films"] == (predictions["split"] != "test").sum()
    assert point["cross_validated_films"] == (predictions["split"] == "train").sum()
    assert point["sensitivity"] >= 0.95


def test_the_temperature_is_fitted_on_the_films_of_the_operating_point_and_used_where_it_helps(
        finished_run: Path) -> None:
    facts = json.loads((finished_run / "run.json").read_text())
    kept = facts["calibration"]
    fitted = kept.get("tried") or kept
    assert (fitted["method"], fitted["fitted_on"]) == ("temperature", "validation")
    assert fitted["temperature"] > 0
    assert kept["films"] == fitted["films"] == facts["operating_point"]["films"]
    compared = json.loads((finished_run / "metrics.json").read_text())["validation"]["calibrators"]
    assert compared["films"] == fitted["films"]
    losses = {method: figure["value"] for method, figure in compared["log_loss"].items()}
    assert (kept["method"] == "temperature") is (losses["temperature"] < losses["none"])


@pytest.mark.parametrize("mistake", [{"operating_point": "best"}, {"calibration": "magic"},
                                     {"prevalences": (0.1, 1.5)}])
def test_what_cannot_be_made_of_scores_is_said_before_any_film_is_read(mistake: dict[str, Any],
                                                                       tmp_path: Path) -> None:
    nowhere = _options(tmp_path / "no films", tmp_path / "no labels", tmp_path / "model")
    with pytest.raises(OptionError, match=r"best|magic|1\.5"):
        run_study(replace(nowhere, **mistake))
    assert not (tmp_path / "model").exists()


def test_what_later_films_are_held_against_is_kept_with_how_often_it_is_wrong(finished_run: Path) -> None:
    known = json.loads((finished_run / "run.json").read_text())["reference"]
    assert known["grey"] is True
    assert known["lungs"] == {"found": known["lungs"]["of"], "of": known["lungs"]["of"]}
    novelty, cohort = known["novelty"], Cohort.read_csv(finished_run / "split.csv")
    for split in ("validation", "test"):
        assert novelty[split]["of"] == len(cohort.subset(split))
        assert novelty[split]["low"] <= novelty[split]["value"] <= novelty[split]["high"]
    assert novelty["validation"]["count"] == 0  # of so few films none may lie beyond
    reference = read_reference(read_run(finished_run))
    assert reference is not None
    assert reference.novelty.threshold == novelty["threshold"]
    assert len(reference.novelty.films) == len(cohort.subset("train"))
    assert len(reference.own.coordinates) == len(cohort.subset("validation"))


def test_the_features_of_a_loaded_run_give_the_distances_of_its_training(finished_run: Path,
                                                                         prepared_films: Path) -> None:
    run = read_run(finished_run)
    reference, model = read_reference(run), with_features(load_network(run))
    assert reference is not None
    films = [film for film in run.cohort if film.split == "test"]
    pixels = np.stack([load_film(prepared_films / film.file, 48) for film in films])
    distances = reference.novelty.distances(model.predict(pixels, verbose=0)[:, 2:])
    refused = int((distances > reference.novelty.threshold).sum())
    assert refused == run.facts["reference"]["novelty"]["test"]["count"]


def test_the_record_tells_how_to_repeat_the_run(finished_run: Path) -> None:
    facts = json.loads((finished_run / "run.json").read_text())
    assert facts["classes"] == ["NORMAL", "PNEUMONIA"]
    assert facts["seed"] == 42
    assert facts["split_by"] == "patient"
    assert facts["preparation"]["options"]["contrast"] == 2.0
    assert {"keras", "numpy", "python"} <= set(facts["versions"])
    stages = {stage["stage"]: stage for stage in facts["stages"]}
    assert stages["features of films"]["seconds"] > 0
    assert stages["features of films"]["peak_memory_bytes"] > 50e6


def test_the_same_seed_gives_the_same_scores_and_another_seed_another_split(
        finished_run: Path, prepared_films: Path, labels_table: Path, tmp_path: Path) -> None:
    options = _options(prepared_films, labels_table, tmp_path)
    again = run_study(options)
    assert (again / "predictions.csv").read_bytes() == (finished_run / "predictions.csv").read_bytes()
    other = run_study(replace(options, seed=7))
    assert (other / "split.csv").read_bytes() != (finished_run / "split.csv").read_bytes()


def test_three_classes_simply_work(prepared_films: Path, labels_table: Path, tmp_path: Path) -> None:
    cohort = Cohort.read_csv(labels_table)
    table = tmp_path / "three.csv"
    Cohort(tuple(replace(film, label=film.subtype or film.label) for film in cohort)).write_csv(table)
    run = run_study(_options(prepared_films, table, tmp_path / "model"))
    predictions = pd.read_csv(run / "predictions.csv")
    scores = predictions[["p_NORMAL", "p_bacteria", "p_virus"]].to_numpy()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    best = np.array(["NORMAL", "bacteria", "virus"])[scores.argmax(axis=1)]
    assert list(predictions["predicted"]) == list(best)


def test_a_plain_table_without_patients_is_split_by_film_and_the_record_says_so(
        prepared_films: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for film in prepared_films.glob("*.jpeg"):
        shutil.copy(film, films)
    rows = [f"{film.stem},{film.stem.partition('-')[0]}" for film in sorted(films.iterdir())]
    table = tmp_path / "plain.csv"
    table.write_text("\n".join(["id,clase", *rows]))
    run = run_study(_options(films, table, tmp_path / "model"))
    facts = json.loads((run / "run.json").read_text())
    assert facts["patients_known"] is False
    assert facts["films_without_patient"] == 48


def test_an_unreadable_film_is_listed_and_skipped(prepared_films: Path, labels_table: Path,
                                                  tmp_path: Path) -> None:
    films = tmp_path / "films"
    shutil.copytree(prepared_films, films)
    (films / "NORMAL-3.jpeg").write_bytes((films / "NORMAL-3.jpeg").read_bytes()[:900])
    run = run_study(_options(films, labels_table, tmp_path / "model"))
    flow = json.loads((run / "run.json").read_text())["flow"]
    dropped = [film for step in flow for film in step["dropped"]]
    assert dropped == [{"file": "NORMAL-3.jpeg", "reason": "truncated or damaged image"}]
    assert "NORMAL-3" not in set(pd.read_csv(run / "predictions.csv")["id"])


@pytest.mark.parametrize(("change", "error", "said"), [
    ({"backbone": "resnet_9000"}, OptionError, "inception_v3"),
    ({"recipe": "magic"}, OptionError, "fast, sturdy, full, reference"),
    ({"image_size": 8}, OptionError, "at least 32"),
    ({"positive": "FRACTURE"}, OptionError, "NORMAL, PNEUMONIA"),
    ({"keep_test": True}, OptionError, "test split"),
])
def test_an_option_without_meaning_is_said_before_anything_is_written(
        change: dict[str, object], error: type[PneumoError], said: str, prepared_films: Path,
        labels_table: Path, tmp_path: Path) -> None:
    options = replace(_options(prepared_films, labels_table, tmp_path / "model"), **change)
    with pytest.raises(error, match=said):
        run_study(options)
    assert [path for path in (tmp_path / "model").rglob("*") if path.is_file()] == []


def test_all_films_unreadable_is_an_error(prepared_films: Path, labels_table: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    shutil.copytree(prepared_films, films)
    for film in films.glob("*.jpeg"):
        film.write_text(f"<html>{film.name}</html>")
    with pytest.raises(FilmError, match="48 files"):
        run_study(_options(films, labels_table, tmp_path / "model"))


def test_a_class_that_loses_its_patients_to_unreadable_films_is_an_error(
        prepared_films: Path, labels_table: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    shutil.copytree(prepared_films, films)
    for film in films.glob("NORMAL-*.jpeg"):
        film.write_text(f"<html>{film.name}</html>")
    with pytest.raises(LabelError, match="two classes"):
        run_study(_options(films, labels_table, tmp_path / "model"))


def test_a_run_that_is_killed_leaves_the_last_good_one(finished_run: Path, prepared_films: Path,
                                                       labels_table: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    output = finished_run.parents[1]
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(linear_head, "minimize", killed)
    with pytest.raises(KeyboardInterrupt):
        run_study(_options(prepared_films, labels_table, output))
    after = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    assert {path for path in after if path.is_file()} == {path for path in before if path.is_file()}
    assert all(after[path] == before[path] for path in before if path.is_file())


def test_a_report_that_fails_costs_no_model(
        prepared_films: Path, labels_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails: to Jinja a template that is missing is an OSError, but the disk is well."""
    def fail(*_: object, **__: object) -> None:
        raise TemplateNotFound("report.html.j2")

    monkeypatch.setattr(train, "write_report", fail)
    with pytest.raises(TemplateNotFound) as failure:
        run_study(_options(prepared_films, labels_table, tmp_path / "model"))
    (run,) = (tmp_path / "model/runs").iterdir()
    assert {path.name for path in run.iterdir()} == RUN_FILES - {"report.html", "model_card.md"}
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["runs"]
    assert failure.value.__notes__ == [f"The model and its record are kept in {run}."]


def test_the_hash_of_the_labels_is_of_the_table_that_was_learnt_from(
        prepared_films: Path, labels_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = Path(shutil.copy(labels_table, tmp_path))
    build_task = train.build_task

    def edited_meanwhile(*arguments: Any) -> Any:
        task = build_task(*arguments)
        labels.write_text("id,clase\n")
        return task

    monkeypatch.setattr(train, "build_task", edited_meanwhile)
    monkeypatch.setattr(train, "write_report", lambda *_, **__: None)
    run = run_study(_options(prepared_films, labels, tmp_path / "model"))
    facts = json.loads((run / "run.json").read_text())
    assert facts["data"]["labels_sha256"] == hashlib.sha256(labels_table.read_bytes()).hexdigest()


@pytest.mark.parametrize(("labels", "said"), [
    ("id,clase\na,bacterial\nb,viral\n", "--positive bacterial or --positive viral"),
    ("id,clase,Patient ID\na,normal,1\nb,ill,1\n", "'Patient ID'")])
def test_what_the_table_leaves_open_is_asked_before_a_film_is_read(tmp_path: Path, labels: str,
                                                                   said: str) -> None:
    (tmp_path / "films").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "films" / name).write_bytes(b"no film")
    (tmp_path / "labels.csv").write_text(labels)
    with pytest.raises(PneumoError, match=said):
        read_cohort(_options(tmp_path / "films", tmp_path / "labels.csv", tmp_path / "model"))
