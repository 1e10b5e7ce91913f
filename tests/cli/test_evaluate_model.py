"""evaluate_model.py on a small run, and every mistake that a person can make with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pneumo_tf.cli.evaluate_model import main
from pneumo_tf.cohort import Cohort
from pneumo_tf.data.labels import read_folder
from pneumo_tf.runs.folder import read_run
from pneumo_tf.runs.predictor import predictor_of
from pneumo_tf.studies.other_films import Elsewhere, known_films

SIZE = 48
CLASSES = ("NORMAL", "PNEUMONIA")
FEW = ("--engine", "keras", "--threads", "1")
KNOWN = (*FEW, "--allow-known")  # the clinic's films are some of the run's own
FAST = (*FEW, "--films", "10", "--views", "2")


@pytest.fixture
def elsewhere(phantom_films: Path, tmp_path: Path) -> tuple[Path, Path]:
    """24 originals in class folders as another clinic might send them, and their labels."""
    clinic = tmp_path / "clinic"
    for label in CLASSES:
        (clinic / label).mkdir(parents=True)
        for film in sorted(phantom_films.glob(f"train/{label}/*"))[:12]:
            shutil.copy(film, clinic / label)
    return clinic, _labels_of(clinic, tmp_path / "other.csv")


def _labels_of(folder: Path, table: Path) -> Path:
    read_folder(folder).write_csv(table)
    return table


def json_of(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_predictor_gives_the_scores_of_the_run(run: Path) -> None:
    folder = read_run(run)
    predictor = predictor_of(folder, threads=1)
    films = Path(folder.facts["data"]["films"])
    found = predictor.scores([films / film.file for film in folder.cohort])
    assert found == pytest.approx(folder.predictions[["p_NORMAL", "p_PNEUMONIA"]].to_numpy(), abs=1e-5)
    called = [CLASSES[index] for index in predictor.decide(found)]
    assert called == folder.predictions["predicted"].tolist()
    temperature = folder.facts["calibration"]["temperature"]
    odds = np.log(found[:, 1] / found[:, 0]) / temperature
    assert predictor.probabilities(found)[:, 1] == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-5)


def test_the_last_run_is_rescored_and_its_report_written_anew(run: Path, monkeypatch: pytest.MonkeyPatch,
                                                              printed_commands,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    (run / "report.html").write_text("the report")
    (run.parents[1] / "report.html").write_text("the report")  # this run's was published
    assert main([*FAST]) == 0
    record = json_of(run / "robustness.json")
    assert record["films"] <= 11 < record["of"]
    assert record["views"]["count"] == 2
    assert [row["name"] for row in record["views"]["ways"]] == ["single", "mean", "maximum", "surest"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert '<section id="robust">' in page
    assert '<section id="tta">' in page
    assert "¿Aguanta" in page  # the run's language
    assert (run.parents[1] / "report.html").read_text(encoding="utf-8") == page
    with Image.open(run / "robustness/negative.jpeg") as picture:
        assert max(picture.size) <= 112
    said = capsys.readouterr().out
    assert "Black and white exchanged" in said
    assert len(printed_commands.check(said)) == 1
    assert str(run / "report.html") in said


def test_stress_acts_on_the_originals_where_they_are_found(
        run: Path, phantom_films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Named, found by their name beside the prepared films, or gone."""
    found = []
    for typed in (("--originals", str(phantom_films)), (), ()):
        assert main([*FAST, *typed]) == 0
        found.append(json_of(run / "robustness.json")["stress"])
        if len(found) == 1:
            films = run.parents[2] / "films"
            shutil.copytree(json_of(run / "run.json")["data"]["films"], films / "clasificacion")
            shutil.copytree(phantom_films, films / phantom_films.name)
            facts = json_of(run / "run.json")
            facts["data"]["films"] = str(films / "clasificacion")
            (run / "run.json").write_text(json.dumps(facts))
        elif len(found) == 2:
            shutil.rmtree(films / phantom_films.name)
    assert [stress["acts_on"] for stress in found] == ["originals", "originals", "films at hand"]
    assert found[0] == found[1]
    names = [[row["name"] for row in stress["perturbations"]] for stress in found]
    assert names[0] == names[2]
    assert "Balanced accuracy under stress (which acted on originals)" in capsys.readouterr().out
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "sus originales no estaban a mano" in page


def test_originals_of_other_films_are_refused(run: Path, elsewhere: tuple[Path, Path],
                                              refused: Callable[..., str]) -> None:
    assert "that the run's films were prepared from" in refused(*FAST, "--originals", elsewhere[0])
    assert "must exist" in refused(*FAST, "--originals", "nowhere.zip")
    assert not (run / "robustness.json").exists()


def test_the_same_seed_gives_the_same_record(run: Path) -> None:
    found = []
    for seed in ("1", "1", "2"):
        assert main([*FAST, "--seed", seed]) == 0
        record = json_of(run / "robustness.json")
        record.pop("created")
        found.append(record)
    assert found[0] == found[1] != found[2]


def test_films_that_changed_since_the_training_are_refused(run: Path, refused: Callable[..., str]) -> None:
    table = pd.read_csv(run / "predictions.csv")
    table[["p_NORMAL", "p_PNEUMONIA"]] = table[["p_PNEUMONIA", "p_NORMAL"]].to_numpy()
    table.to_csv(run / "predictions.csv", index=False)
    assert "must give the run's scores" in refused(*FAST)
    assert not (run / "robustness.json").exists()


def test_films_from_elsewhere_get_a_folder_of_their_own(
        run: Path, elsewhere: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("pneumo_tf.studies.other_films.REPEATS", 10)
    films, labels = elsewhere
    before = (run / "metrics.json").read_bytes()
    assert main(["-p", str(films), "-l", str(labels), "--recalibrate", "12", "--lang", "en", *KNOWN]) == 0
    place = run / "external/clinic"
    record, table = json_of(place / "metrics.json"), pd.read_csv(place / "predictions.csv")
    assert len(table) == record["test"]["films"] == 24
    assert record["test"]["threshold"] == json_of(run / "run.json")["operating_point"]["threshold"]
    assert record["recalibration"]["labelled"] == 12
    assert "Does it hold on films from elsewhere?" in (place / "report.html").read_text(encoding="utf-8")
    assert (run / "metrics.json").read_bytes() == before
    assert str(place / "report.html") in capsys.readouterr().out


def test_originals_score_as_the_films_that_were_prepared_of_them(run: Path,
                                                                 elsewhere: tuple[Path, Path]) -> None:
    """They are the run's own films, which the page must say; their scores are those of predictions.csv."""
    films, labels = elsewhere
    assert main(["-p", str(films), "-l", str(labels), "--name", "again", *KNOWN]) == 0
    record = json_of(run / "external/again/metrics.json")
    assert record["overlap"]["films"] == 24
    cohort = Cohort.read_csv(run / "split.csv")
    source = {Path(film.source).stem: film.id for film in cohort}
    own = pd.read_csv(run / "predictions.csv").set_index("id")["p_PNEUMONIA"]
    there = pd.read_csv(run / "external/again/predictions.csv")
    expected = [own[source[Path(name).name]] for name in there["id"]]
    assert there["p_PNEUMONIA"].to_numpy() == pytest.approx(expected, abs=1e-5)


def test_films_that_the_run_knows_are_refused_however_they_were_saved(
        run: Path, elsewhere: tuple[Path, Path], refused: Callable[..., str]) -> None:
    films, labels = elsewhere
    for film in sorted(films.rglob("*.jpeg"))[:14]:
        with Image.open(film) as picture:
            picture.resize((400, 380)).save(film, quality=60)
    said = refused("-p", films, "-l", labels, *FEW)
    assert "24 of 24 that it knows (10 byte for byte, 14 by their looks), e.g. IM-" in said
    assert "--allow-known" in said
    assert not (run / "external").exists()
    assert main(["-p", str(films), "-l", str(labels), "--lang", "en", *KNOWN]) == 0
    page = (run / "external/clinic/report.html").read_text(encoding="utf-8")
    first = page.index("Known to the run already: 24 films, 10 of them byte for byte and 14 by their looks")
    assert first == min(page.index(said) for said in ("Known to the run", "byte for byte", "few films")
                        if said in page)


def test_a_second_evaluation_leaves_the_first_unless_its_films_are_to_be_evaluated_again(
        run: Path, elsewhere: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films, labels = elsewhere
    asked = ["-p", str(films), "-l", str(labels), *KNOWN]
    assert main(asked) == 0
    first = (run / "external/clinic/metrics.json").read_bytes()
    assert main(asked) == 0
    assert f"this one goes into {run / 'external/clinic-2'}" in capsys.readouterr().err
    assert (run / "external/clinic/metrics.json").read_bytes() == first
    assert json_of(run / "external/clinic-2/metrics.json")["name"] == "clinic-2"
    other = shutil.copytree(films, tmp_path / "another/clinic")
    assert main(["-p", str(other), "-l", str(labels), "--force", *KNOWN]) == 0
    assert (run / "external/clinic/metrics.json").read_bytes() == first
    assert main([*asked, "--force"]) == 0
    assert f"{run / 'external/clinic'} is replaced" in capsys.readouterr().err
    assert (run / "external/clinic/metrics.json").read_bytes() != first
    assert {path.name for path in (run / "external").iterdir()} == {"clinic", "clinic-2", "clinic-3"}


@pytest.mark.parametrize("spelled", ["normal", "Normál", "NORMAL\u200b"])
def test_a_class_from_elsewhere_may_be_spelled_otherwise(
        run: Path, elsewhere: tuple[Path, Path], tmp_path: Path, spelled: str) -> None:
    films, labels = elsewhere
    table = pd.read_csv(labels).replace({"NORMAL": spelled})
    table.to_csv(labels, index=False)
    cohort = known_films(read_run(run), Elsewhere(films=films, labels=labels))
    assert cohort.classes == list(CLASSES)


def test_one_class_from_elsewhere_has_a_sensitivity_alone(run: Path, elsewhere: tuple[Path, Path],
                                                          tmp_path: Path) -> None:
    films, _ = elsewhere
    shutil.rmtree(films / "NORMAL")
    labels = _labels_of(films, tmp_path / "sick.csv")
    assert main(["-p", str(films), "-l", str(labels), *KNOWN]) == 0
    figures = json_of(run / "external/clinic/metrics.json")["test"]["figures"]
    assert figures["sensitivity"]["value"] is not None
    assert figures["specificity"]["why"] == "no_negative_films"


def test_copies_from_elsewhere_count_once(run: Path, elsewhere: tuple[Path, Path], tmp_path: Path,
                                          refused: Callable[..., str]) -> None:
    films, _ = elsewhere
    original = next((films / "NORMAL").iterdir())
    shutil.copy(original, films / "NORMAL/copy.jpeg")
    labels = _labels_of(films, tmp_path / "copies.csv")
    assert main(["-p", str(films), "-l", str(labels), *KNOWN]) == 0
    assert json_of(run / "external/clinic/metrics.json")["test"]["films"] == 24
    shutil.copy(original, films / "PNEUMONIA/copy2.jpeg")
    said = refused("-p", films, "-l", _labels_of(films, tmp_path / "twins.csv"), *FEW)
    assert "A film must have one label" in said


def test_mistakes_with_films_from_elsewhere(run: Path, elsewhere: tuple[Path, Path], tmp_path: Path,
                                            refused: Callable[..., str]) -> None:
    films, labels = elsewhere
    assert "no --labels" in refused("-p", films)
    assert "folder of films must exist" in refused("-p", "nowhere", "-l", labels)
    assert "labels table must exist" in refused("-p", films, "-l", "nowhere.csv")
    assert "Ask for 10 to 14" in refused("-p", films, "-l", labels, "--recalibrate", "20", *FEW)
    assert "must do as a folder's" in refused("-p", films, "-l", labels, "--name", "../up", *FEW)
    assert "must be an image's" in refused("-p", films, "-l", labels, "-ex", "doc", *FEW)
    (films / "PNEUMONIA").rename(films / "TUBERCULOSIS")
    strangers = _labels_of(films, tmp_path / "strangers.csv")
    said = refused("-p", films, "-l", strangers)
    assert "Received: TUBERCULOSIS, where the run has NORMAL, PNEUMONIA" in said
    shutil.rmtree(films / "TUBERCULOSIS")
    for film in list((films / "NORMAL").iterdir())[9:]:
        film.unlink()
    few = _labels_of(films, tmp_path / "few.csv")
    assert "at least 10 films. Received: 9" in refused("-p", films, "-l", few)
    assert not (run / "external").exists()


def test_an_unreadable_film_is_named_and_nothing_is_written(
        run: Path, elsewhere: tuple[Path, Path], tmp_path: Path, refused: Callable[..., str]) -> None:
    films, _ = elsewhere
    (films / "NORMAL/letter.jpeg").write_text("Dear doctor")
    said = refused("-p", films, "-l", _labels_of(films, tmp_path / "bad.csv"), *FEW)
    assert "letter.jpeg" in said
    assert not list((run / "external").glob("*/*.json"))


def test_mistakes_with_runs_and_options(run: Path, refused: Callable[..., str]) -> None:
    assert "The run must exist" in refused("--run", "nowhere")
    for option in ("films", "views", "augment"):
        for kind in (["-p", "films", "-l", "labels.csv"], ["--repeat", "3"]):
            said = refused(*kind, f"--{option}", "films" if option == "augment" else "20")
            assert f"--{option} goes with the run's own test films" in said
    assert "--recalibrate goes with --path" in refused("--recalibrate", "20")
    assert "--cache goes with --repeat" in refused("--cache", "x")
    assert "two evaluations" in refused("--repeat", "3", "-p", "films", "-l", "labels.csv")
    assert "The augmentation must be one that this program knows" in refused("--augment", "martian", *FAST)
    (run / "modelo.keras").unlink()
    assert "by the network that it exported" in refused(*FAST)
    (run / "predictions.csv").unlink()
    assert "no predictions.csv" in refused(*FAST)
    (run / "run.json").unlink()
    assert "A finished run must exist. Received: none in" in refused(*FAST)


def test_a_film_that_is_gone_is_named(run: Path, refused: Callable[..., str]) -> None:
    facts = json_of(run / "run.json")
    (run / "run.json").write_text(json.dumps(facts | {"data": {"films": "/nowhere"}}))
    assert "A film must still be there to be scored again" in refused(*FAST)


def test_other_splits_are_handed_on(run: Path, monkeypatch: pytest.MonkeyPatch, printed_commands,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    from pneumo_tf.studies import resplit as repeats

    told: dict = {}

    def noted(folder: Path, **options: object) -> Path:
        told.update(options, folder=folder)
        (folder / "repeats.json").write_text(json.dumps({"repeats": 4, "figures": {
            "auc": {"value": 0.91, "sd": 0.03, "own": 0.95}}}))
        return folder / "report.html"

    monkeypatch.setattr(repeats, "repeat_study", noted)
    assert main(["--repeat", "4", "--cache", "kept", "--seed", "7", "--threads", "1"]) == 0
    assert told == {"folder": run, "repeats": 4, "seed": 7, "threads": 1, "lang": "es",
                    "cache": Path.cwd() / "kept"}
    said = capsys.readouterr().out
    assert "report.html" in said
    assert "0.910 ± 0.030" in said
    following, = printed_commands.check(said.splitlines()[-1])
    assert following == f"scripts/explain_pict.py --run {run} --worst 10"
