"""A run's network meets a film as its training did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.preparation.filters import FilterOptions
from pneumo_tf.data.preparation.prepare import PrepareOptions, prepare
from pneumo_tf.data.preparation.record import MANIFEST, read_prepared
from pneumo_tf.errors import FilmError
from pneumo_tf.evaluation.calibration.calibrators import Line, Platt, Temperature
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.runs import predictor as predictor_module
from pneumo_tf.runs.folder import RunError, RunFolder, read_run
from pneumo_tf.runs.predictor import (
    BATCH,
    FilmReader,
    Predictor,
    decide,
    load_network,
    predictor_of,
)
from pneumo_tf.training.pixels import load_film

SIZE = 32


class Brightness:
    """An engine whose positive score is the mean grey level of a film."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, films: np.ndarray) -> np.ndarray:
        self.shapes.append(films.shape)
        grey = films.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - grey, grey], axis=1).astype(np.float32)


def predictor(engine: Brightness, *, threshold: float | None = 0.5) -> Predictor:
    def read(path: Path) -> np.ndarray:
        return np.full((4, 4, 3), int(path.name), np.uint8)

    return Predictor(("NORMAL", "PNEUMONIA"), "PNEUMONIA", threshold, Temperature(2.0), read,
                     engine)  # type: ignore[arg-type]


def greys(levels: Sequence[int]) -> list[Path]:
    return [Path(str(level)) for level in levels]


@pytest.fixture
def reader(prepared_films: Path) -> FilmReader:
    prepared = read_prepared(prepared_films)
    assert prepared is not None
    return FilmReader(SIZE, prepared.filters, prepared_films.resolve())


def test_an_original_gives_exactly_the_pixels_of_its_prepared_film(
        reader: FilmReader, prepared_films: Path, phantom_films: Path) -> None:
    for film in list(Cohort.read_csv(prepared_films / MANIFEST))[::7]:
        expected = load_film(prepared_films / film.file, SIZE)
        assert (reader(phantom_films / film.source) == expected).all()
        assert (reader(prepared_films / film.file) == expected).all()


def test_a_new_film_is_scaled_by_the_depth_of_the_films_of_the_run(tmp_path: Path) -> None:
    levels = np.tile(np.linspace(0, 2047, 40).astype(np.uint16), (40, 1))  # of 11 bits, where the run has 12
    Image.fromarray(levels).save(tmp_path / "new.png")
    raw = FilmReader(SIZE, None, tmp_path / "home", depth=12)
    prepared = FilmReader(SIZE, FilterOptions(1, 1, depth=12), tmp_path / "home")
    assert abs(int(raw(tmp_path / "new.png").max()) - 127) < 2
    assert abs(int(prepared(tmp_path / "new.png").max()) - 127) < 4
    Image.fromarray(levels * 32).save(tmp_path / "deeper.png")
    with pytest.raises(FilmError, match="16 bits, where they have 12"):
        raw(tmp_path / "deeper.png")


def test_a_blank_film_is_read_only_where_it_is_taken(tmp_path: Path) -> None:
    Image.new("L", (40, 40), 9).save(tmp_path / "blank.png")
    reader = FilmReader(SIZE, None, tmp_path / "home")
    assert reader(tmp_path / "blank.png").shape == (SIZE, SIZE, 3)
    with pytest.raises(FilmError, match=r"blank\.png \(blank: every pixel alike\)"):
        replace(reader, takes_blank=False)(tmp_path / "blank.png")


def test_films_prepared_alike_elsewhere_are_taken_as_they_are(
        reader: FilmReader, prepared_films: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared_films, tmp_path / "clinic")
    file = next(prepared_films.glob("*.jpeg")).name
    assert (reader(tmp_path / "clinic" / file) == load_film(prepared_films / file, SIZE)).all()


def test_films_prepared_otherwise_are_refused(reader: FilmReader, phantom_films: Path,
                                              tmp_path: Path) -> None:
    prepare(phantom_films, tmp_path / "clinic", PrepareOptions(FilterOptions(contrast=1.0), per_class=1))
    with pytest.raises(FilmError, match=r"prepared as the films of the run were.*contrast=1\.0"):
        reader(next((tmp_path / "clinic").glob("*.jpeg")))


def test_a_letter_is_no_film(reader: FilmReader, tmp_path: Path) -> None:
    (tmp_path / "letter.jpeg").write_text("Dear doctor")
    with pytest.raises(FilmError, match=r"complete image.*letter\.jpeg"):
        reader(tmp_path / "letter.jpeg")
    with pytest.raises(FilmError, match=r"complete image.*gone\.jpeg"):
        reader(tmp_path / "gone.jpeg")


def test_scores_come_in_the_films_order_and_every_batch_has_one_shape() -> None:
    engine, levels = Brightness(), list(range(0, 250, 6))
    told: list[int] = []
    scores = predictor(engine).scores(greys(levels), advance=told.append)
    assert scores[:, 1] == pytest.approx(np.array(levels) / 255)
    assert engine.shapes == [(BATCH, 4, 4, 3)] * 2
    assert sum(told) == len(levels)


def test_variants_know_their_film_and_its_number() -> None:
    levels, numbers = [10, 20, 30, 40, 50], [3, 1, 4, 1, 5]
    variants = [lambda film, _: film, lambda film, number: film + np.uint8(number),
                lambda film, _: 255 - film]
    found = predictor(Brightness()).variant_scores(greys(levels), variants, numbers)[..., 1] * 255
    assert found[0] == pytest.approx(levels)
    assert found[1] == pytest.approx([13, 21, 34, 41, 55])
    assert found[2] == pytest.approx([245, 235, 225, 215, 205])


def test_probabilities_are_calibrated_and_calls_are_not() -> None:
    values = np.array([[0.1, 0.9], [0.6, 0.4]])
    made = predictor(Brightness(), threshold=0.35)
    odds = np.log(0.9 / 0.1) / 2
    assert made.probabilities(values)[0, 1] == pytest.approx(1 / (1 + np.exp(-odds)))
    assert made.decide(values).tolist() == [1, 1]


def test_the_threshold_is_reached_where_it_is_equalled_whichever_class_is_positive() -> None:
    values = np.array([[0.3, 0.7], [0.7, 0.3], [0.5, 0.5]])
    assert decide(values, positive=1, threshold=0.5).tolist() == [1, 0, 1]
    assert decide(values, positive=0, threshold=0.5).tolist() == [1, 0, 0]
    assert decide(values, positive=1, threshold=None).tolist() == [1, 0, 0]


def a_run(folder: Path, **facts: object) -> RunFolder:
    table = pd.DataFrame({"id": ["a", "b", "c"], "patient": ["p", "p", ""],
                          "split": ["test", "train", "test"], "label": ["PNEUMONIA", "NORMAL", "NORMAL"],
                          "p_NORMAL": [0.2, 0.9, 0.6], "p_PNEUMONIA": [0.8, 0.1, 0.4]})
    known = {"classes": ["NORMAL", "PNEUMONIA"], "positive": "PNEUMONIA", **facts}
    return RunFolder(folder, known, {}, pd.DataFrame(), Cohort(()), table)


def test_recorded_scores_are_those_of_one_split(tmp_path: Path) -> None:
    scores = a_run(tmp_path).scores("test")
    assert scores.ids == ["a", "c"]
    assert scores.labels.tolist() == [1, 0]
    assert scores.positive_scores.tolist() == [0.8, 0.4]
    assert scores.patients.tolist() == ["p", ""]


def test_a_run_without_a_network_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="by the network that it exported"):
        load_network(a_run(tmp_path))


@pytest.mark.parametrize(("rule", "threshold"), [("sensitivity>=1", 0.2), ("sensitivity>=0.5", 0.65),
                                                 ("youden", 0.65)])
def test_the_runs_rule_fixes_other_films(tmp_path: Path, rule: str, threshold: float) -> None:
    positive = np.array([0.1, 0.3, 0.5, 0.3, 0.8, 0.9])
    films = Scores(("NORMAL", "PNEUMONIA"), "PNEUMONIA", list("abcdef"), np.array([0, 0, 0, 1, 1, 1]),
                   np.stack([1 - positive, positive], axis=1), np.array(list("abcdef")))
    fix = a_run(tmp_path, operating_point={"rule": rule}).fix_threshold
    assert fix(films) == pytest.approx(threshold)


def test_a_calibrator_of_any_kind_serves() -> None:
    made = predictor(Brightness())
    line = Platt((Line(1.0, 2.0),))
    other = Predictor(made.classes, made.positive, made.threshold, line, made.read, made.engine)
    assert other.probabilities(np.array([[0.5, 0.5]]))[0, 1] == pytest.approx(1 / (1 + np.exp(-1.0)))
    assert json.dumps(line.to_json())


@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (7, 3), (64, 2)])
def test_a_films_score_depends_on_no_other_film_no_batch_and_no_worker(
        small_run: Path, batch: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In reverse order, in batches of another size and read by more threads it is that of predictions.csv."""
    run = read_run(small_run / "runs/small")
    table = run.predictions.set_index("id")
    films = list(run.cohort)[::-1]
    monkeypatch.setattr(predictor_module, "BATCH", batch)
    reading = replace(predictor_of(run, threads=1), workers=workers)
    scores = reading.scores([run.films_folder / film.file for film in films])
    expected = table.loc[[film.id for film in films], [f"p_{name}" for name in run.classes]].to_numpy()
    assert np.abs(scores - expected).max() < 1e-6
