"""explain_pict.py on a small run, and every mistake that a person can make with it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from PIL import Image

from pneumo_tf import places
from pneumo_tf.cli import binary_class, explain_pict
from pneumo_tf.cli.explain_pict import main
from pneumo_tf.explain import network as networks
from pneumo_tf.explain.methods import METHODS
from pneumo_tf.explain.network import Network, scorer_of
from pneumo_tf.runs.folder import read_run
from pneumo_tf.runs.predictor import predictor_of
from pneumo_tf.training.engine import build_engine
from pneumo_tf.training.pixels import load_film

FEW = ("--samples", "64", "--superpixels", "12")


@pytest.fixture(scope="module")
def trained(prepared_films: Path, labels_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with one run, its network swapped for a small one that starts quickly; to be read."""
    output = tmp_path_factory.mktemp("trained") / "model"
    network = ("--recipe", "fast", "--backbone", "efficientnet_lite0", "--weights", "none")
    assert binary_class.main(["-p", str(prepared_films), "-l", str(labels_table), "-o", str(output),
                              "-e", "2", *network, "--image-size", "64", "--lang", "es", "--synthetic"]) == 0
    _swap_network(next((output / "runs").iterdir()), prepared_films)
    return output


def _swap_network(run: Path, films: Path) -> None:
    """Export two random convolutions, and rewrite predictions.csv to what they say."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((64, 64, 3), name="films")
    x = layers.Conv2D(8, 5, 4, activation="relu")(layers.Rescaling(1 / 64, -2)(inputs))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3, 2, activation="relu")(x))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax", name="scores")(x))
    model.save(run / "modelo.keras")
    table, cohort = pd.read_csv(run / "predictions.csv"), pd.read_csv(run / "split.csv")
    scores = model.predict(np.stack([load_film(films / file, 64) for file in cohort["file"]]), verbose=0)
    table[["p_NORMAL", "p_PNEUMONIA"]] = scores
    facts = json.loads((run / "run.json").read_text())
    facts["operating_point"]["threshold"] = float(np.median(scores[:, 1]))
    is_positive = scores[:, 1] >= facts["operating_point"]["threshold"]
    table["predicted"] = np.where(is_positive, "PNEUMONIA", "NORMAL")
    table.to_csv(run / "predictions.csv", index=False)
    (run / "run.json").write_text(json.dumps(facts))


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project root with that run, and a person standing in it."""
    shutil.copytree(trained, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "project_root", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def run(project: Path) -> Path:
    return next((project / "model/runs").iterdir())


def record_of(run: Path) -> list[dict]:
    return json.loads((run / "explanations/explanations.json").read_text(encoding="utf-8"))["films"]


def first_test_film(run: Path) -> str:
    table = pd.read_csv(run / "predictions.csv")
    return str(table[table["split"] == "test"]["id"].iloc[0])


def test_a_film_of_the_last_run_is_explained_by_every_method(run: Path, phantom_films: Path,
                                                             printed_commands,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(run / "predictions.csv")
    name = str(table[table["label"] == "PNEUMONIA"]["id"].iloc[0])
    masks = str(phantom_films.parent / "masks")
    assert main([name, "--methods", *METHODS, "--masks", masks, *FEW]) == 0
    film = record_of(run)[0]
    assert film["name"] == name
    assert film["label"] == "PNEUMONIA"
    assert set(film["methods"]) == set(METHODS)
    for method, numbers in film["methods"].items():
        assert numbers["verdict"] in ("shown", "unstable", "unfaithful", "constant")
        assert 0 <= numbers["deletion"] <= 1
        assert 0 < numbers["lesion_share"] < numbers["chance"] < 1
        assert 0.1 < numbers["lungs_share"] < 0.6
        assert numbers["mass_in_lungs"] is None or 0 <= numbers["mass_in_lungs"] <= 1
        with Image.open(run / "explanations" / name / f"{method}.png") as image:
            assert image.size == (64, 64)
    for segmentation in ("slic", "kmeans", "birch", "colour"):
        assert (run / "explanations" / name / f"superpixels-{segmentation}.png").is_file()
    with Image.open(run / "explanations" / film["panel"]) as panel:
        assert panel.width > 1000
    said = capsys.readouterr().out
    assert name in said
    assert printed_commands.check(said.splitlines()[-1])


def test_the_report_gains_a_section_in_the_runs_language(run: Path) -> None:
    name, before = first_test_film(run), (run / "report.html").read_text(encoding="utf-8")
    assert 'id="explain"' not in before
    assert main([name, "--methods", "gradcam"]) == 0
    after = (run / "report.html").read_text(encoding="utf-8")
    assert "Dónde mira" in after
    assert (run.parents[1] / "report.html").read_text(encoding="utf-8") == after  # this run's was published
    section = after[after.index('<section id="explain"'):]
    picture = re.search(r'data:image/jpeg;base64,([^"]+)', section)
    assert picture is not None
    with Image.open(io.BytesIO(base64.b64decode(picture[1]))) as image:
        assert 500 < image.width <= 1100


def test_the_worst_errors_come_gravest_first(run: Path) -> None:
    table = pd.read_csv(run / "predictions.csv")
    wrong = table[(table["split"] == "test") & (table["label"] != table["predicted"])]
    threshold = json.loads((run / "run.json").read_text())["operating_point"]["threshold"]
    gravity = (wrong["p_PNEUMONIA"] - threshold).abs()
    expected = wrong.assign(gravity=gravity).sort_values(["gravity", "id"], ascending=[False, True])["id"]
    assert len(expected) > 1
    assert main(["--worst", "2", "--methods", "gradcam"]) == 0
    assert [film["name"] for film in record_of(run)] == expected.head(2).tolist()
    for film in record_of(run):
        assert film["predicted"] != film["label"]


def test_films_that_were_explained_before_stay(run: Path) -> None:
    names = pd.read_csv(run / "predictions.csv")["id"].iloc[:2].tolist()
    for name in names:
        assert main([name, "--methods", "gradcam"]) == 0
    assert [film["name"] for film in record_of(run)] == names[::-1]
    for name in names:
        assert (run / "explanations" / name / "gradcam.png").is_file()


def test_the_same_seed_writes_the_same_numbers(run: Path) -> None:
    found = []
    for seed in ("1", "1", "2"):
        assert main([first_test_film(run), "--methods", "lime-slic", "--seed", seed, *FEW]) == 0
        found.append(record_of(run)[0]["methods"]["lime-slic"]["first"])
    assert found[0] == found[1] != found[2]


def test_a_foreign_film_is_prepared_as_the_runs_films_were(run: Path, phantom_films: Path,
                                                           project: Path) -> None:
    """The original of a film of the run: prepared here, it must give nearly the run's own score."""
    films = pd.read_csv(run / "split.csv")
    chosen = films.iloc[0]
    shutil.copy(phantom_films / chosen["source"], project / "foreign.jpeg")
    assert main(["foreign.jpeg", "--methods", "gradcam", "--class", "PNEUMONIA"]) == 0
    scores = pd.read_csv(run / "predictions.csv").set_index("id")["p_PNEUMONIA"]
    assert record_of(run)[0]["name"] == "foreign"
    assert record_of(run)[0]["label"] == ""
    assert record_of(run)[0]["score"] == pytest.approx(scores[chosen["id"]], abs=0.02)


def test_score_call_and_probability_are_the_runs_own(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where perturbed films are scored in bfloat16, whose rounding moves films over the threshold."""
    table = pd.read_csv(run / "predictions.csv")
    threshold = json.loads((run / "run.json").read_text())["operating_point"]["threshold"]
    near = table.assign(distance=(table["p_PNEUMONIA"] - threshold).abs()).nsmallest(6, "distance")
    assert main([*near["id"], "--methods", "gradcam"]) == 0
    said = capsys.readouterr().out
    predictor = predictor_of(read_run(run))
    for film, (_, row) in zip(record_of(run)[:6], near.iterrows(), strict=True):
        scores = row[["p_NORMAL", "p_PNEUMONIA"]].to_numpy(float)[None]
        is_calibrated = predictor.calibrator.method != "none"  # a calibration that helps nobody is refused
        probability = predictor.probabilities(scores)[0, 1] if is_calibrated else None
        assert film["predicted"] == row["predicted"]
        assert film["score"] == pytest.approx(row["p_PNEUMONIA"], abs=1e-6)
        assert film["threshold"] == threshold
        assert film["calibrated_probability"] == (pytest.approx(probability, abs=1e-5) if is_calibrated
                                                  else None)
        assert f"{row['id']}: called {row['predicted']}; explained: PNEUMONIA, uncalibrated score " in said
        told = f"(threshold {threshold:.4f})"
        assert (f"{told}, calibrated probability {probability:.4f}" if is_calibrated else told) in said


def test_the_positive_class_is_explained_whatever_a_film_is_called(run: Path) -> None:
    table = pd.read_csv(run / "predictions.csv").drop_duplicates("predicted")
    assert set(table["predicted"]) == {"NORMAL", "PNEUMONIA"}
    assert main([*table["id"], "--methods", "gradcam"]) == 0
    assert {film["predicted"] for film in record_of(run)} == {"NORMAL", "PNEUMONIA"}
    assert {film["explained"] for film in record_of(run)} == {"PNEUMONIA"}


def foreign(project: Path, path: str, seed: int = 0) -> str:
    """An image that is no film of the run, and its path."""
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (80, 80), dtype=np.uint8)
    Image.fromarray(noise).save(project / path)
    return path


def test_files_of_one_name_are_explained_apart(run: Path, project: Path) -> None:
    first, second, third = (foreign(project, f"{place}/film.png", seed) for seed, place in enumerate("abc"))
    assert main([first, second, "./a/film.png", "--methods", "gradcam"]) == 0
    assert main([third, second, "--methods", "gradcam"]) == 0
    films = record_of(run)
    assert {film["origin"] for film in films} == {str(project / path) for path in (first, second, third)}
    assert len({film["name"] for film in films}) == len({film["panel"] for film in films}) == len(films) == 3
    assert all((run / "explanations" / film["panel"]).is_file() for film in films)


def test_a_foreign_file_does_not_replace_the_film_whose_name_it_has(run: Path, project: Path) -> None:
    name = first_test_film(run)
    path = foreign(project, f"elsewhere/{name}.png")
    for order in ([path, name], [name, path]):
        assert main([*order, "--methods", "gradcam"]) == 0
        films = {film["name"]: film for film in record_of(run)}
        assert len(films) == 2
        assert films.pop(name)["label"] != ""
        assert [film["origin"] for film in films.values()] == [str(project / path)]


def test_the_path_of_a_film_of_the_run_is_that_film(run: Path, prepared_films: Path) -> None:
    row = pd.read_csv(run / "split.csv").iloc[0]
    assert main([str(prepared_films / row["file"]), row["id"], "--methods", "gradcam"]) == 0
    assert [film["name"] for film in record_of(run)] == [row["id"]]


def test_a_film_that_fails_is_recorded_and_the_others_go_on(run: Path, project: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (80, 80), 128).save(project / "blank.png")
    (project / "letter.png").write_text("Dear doctor")
    good = [first_test_film(run), foreign(project, "noise.png")]
    assert main([good[0], "blank.png", "letter.png", good[1], "--methods", "gradcam", "lime-slic", *FEW]) == 2
    films = {film["name"]: film for film in record_of(run)}
    assert list(films) == [good[0], "blank", "letter", "noise"]
    assert [name for name, film in films.items() if "error" in film] == ["blank", "letter"]
    assert "one colour" in films["blank"]["error"]
    assert {numbers["verdict"] for numbers in films["blank"]["methods"].values()} == {"blank"}
    assert "complete image" in films["letter"]["error"]
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("explain_pict.py: error: Every film should be explained. "
                                                "Received: 2 of 4 that weren't: blank (all its pixels")
    assert "noise: called" in said.out
    assert 'id="explain"' in (run / "report.html").read_text(encoding="utf-8")


def test_a_film_of_the_run_that_is_gone_does_not_stop_the_others(run: Path, project: Path,
                                                                 prepared_films: Path) -> None:
    shutil.copytree(prepared_films, project / "moved")
    facts = json.loads((run / "run.json").read_text())
    facts["data"]["films"] = str(project / "moved")
    (run / "run.json").write_text(json.dumps(facts))
    rows = pd.read_csv(run / "split.csv").iloc[:2]
    (project / "moved" / rows["file"].iloc[0]).unlink()
    assert main([*rows["id"], "--methods", "gradcam"]) == 2
    gone, there = record_of(run)
    assert "must still be there" in gone["error"]
    assert there["methods"]["gradcam"]["verdict"] == "shown"


def test_an_interruption_costs_no_film_that_was_explained(run: Path, project: Path) -> None:
    """LIME refuses the second film, which has more superpixels than the samples allow."""
    Image.fromarray(np.kron(np.eye(2, dtype=np.uint8) * 200, np.ones((40, 40), np.uint8))).save("two.png")
    many = foreign(project, "many.png")
    options = ("--methods", "lime-colour", "--samples", "16", "--superpixels", "12")
    assert main(["two.png", many, *options]) == 2
    assert [film["name"] for film in record_of(run)] == ["two"]


def test_pictures_go_elsewhere_on_demand_and_the_report_stays(run: Path, project: Path) -> None:
    before = (run / "report.html").read_bytes()
    assert main([first_test_film(run), "--methods", "gradcam", "-o", "elsewhere"]) == 0
    assert (project / "elsewhere/explanations.json").is_file()
    assert not (run / "explanations").exists()
    assert (run / "report.html").read_bytes() == before


def test_as_assigned_takes_the_assignments_lime(run: Path) -> None:
    name = first_test_film(run)
    assert main([name, "--methods", "lime-slic", "--as-assigned", "--absent", "blur", *FEW]) == 0
    lime = record_of(run)[0]["lime"]
    assert (lime["design"], lime["answers"], lime["surrogate"]) == ("bernoulli", "kept", "logistic")
    assert lime["absent"] == "blur"  # what is typed wins


def test_the_control_image_is_explained_without_a_run(run: Path, project: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    model = keras.models.load_model(run / "modelo.keras")
    scorer = scorer_of(build_engine(model, "keras", threads=1))
    network = Network(model, ("cat", "dog"), lambda path: load_film(path, 64),
                      lambda scores: scores.argmax(1), exact=scorer, quick=scorer)
    monkeypatch.setattr(networks, "imagenet_network", lambda weights, **_: network)
    noise = np.random.default_rng(0).integers(0, 256, (90, 70, 3)).astype(np.uint8)
    Image.fromarray(noise).save(project / "pet.png")
    (project / "weights.h5").write_bytes(b"as if")
    assert main(["pet.png", "--imagenet", "weights.h5", "--methods", "gradcam"]) == 0
    record = json.loads((project / "explanations/explanations.json").read_text())["films"][0]
    assert record["explained"] in ("cat", "dog")
    assert (project / "explanations/pet/gradcam.png").is_file()


def test_mistakes_are_said_in_one_line(run: Path, project: Path, refused: Callable[..., str]) -> None:
    name = first_test_film(run)
    assert "Name films, or ask for --worst 10" in refused()
    assert "The film must exist" in refused("PNEUMONIA-9999")
    assert "The run must exist" in refused(name, "--run", "nowhere")
    assert "The folder of masks must exist" in refused(name, "--masks", "nowhere")
    assert "Choose one of: NORMAL, PNEUMONIA" in refused(name, "--class", "COVID")
    assert "two samples for each superpixel" in refused(name, "--methods", "lime-slic", "--samples", "8")
    assert "no log_odds" in refused(name, "--methods", "lime-slic", "--surrogate", "logistic")
    assert "--worst goes with a run" in refused("--worst", "3", "--imagenet", "file.h5")
    assert "--run goes with a run" in refused("dog.png", "--imagenet", "file.h5", "--run", str(run))
    assert "--samples goes with a method of LIME" in refused(name, "--methods", "gradcam", "--samples", "64")
    assert "weights file must exist" in refused("dog.png", "--imagenet", "file.h5")
    (project / "letter.jpeg").write_text("Dear doctor")
    assert "complete image" in refused("letter.jpeg", "--methods", "gradcam")
    assert "a folder" in refused("model", "--methods", "gradcam")
    assert not list((run / "explanations").glob("*/*.png"))


def test_a_run_without_its_network_is_refused(run: Path, refused: Callable[..., str]) -> None:
    (run / "modelo.keras").write_bytes(b"no network")
    assert "by the network that it exported" in refused(first_test_film(run))


def test_without_any_run_the_remedy_is_to_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                refused: Callable[..., str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "project_root", lambda: tmp_path)
    assert "binary_class.py" in refused("NORMAL-1")
    (tmp_path / "model/runs/.unfinished").mkdir(parents=True)
    assert "Received: none in" in refused("NORMAL-1")


def test_the_parser_knows_every_method() -> None:
    assert tuple(METHODS) == explain_pict._METHODS
