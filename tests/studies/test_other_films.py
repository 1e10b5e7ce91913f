"""Films from elsewhere beside those of the run: which of them does it know already?"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.labels import read_folder
from pneumo_tf.errors import OptionError
from pneumo_tf.runs.folder import RunFolder
from pneumo_tf.runs.predictor import film_reader
from pneumo_tf.studies.other_films import Elsewhere, evaluate_elsewhere, find_overlap, known_films

CLASSES = ["NORMAL", "PNEUMONIA"]


def run_on(films: Path, *, with_hashes: bool) -> RunFolder:
    """A run as it lies on disk that was trained on these films; runs of old kept no hash of plain ones."""
    cohort = read_folder(films)
    hashes = [film.sha256 or hashlib.sha256((films / film.file).read_bytes()).hexdigest() for film in cohort]
    facts = {"classes": CLASSES, "positive": "PNEUMONIA", "data": {"films": str(films)}}
    cohort = cohort.with_column("sha256", hashes if with_hashes else [""] * len(cohort))
    return RunFolder(films, facts, {}, pd.DataFrame(), cohort, pd.DataFrame())


def overlap(run: RunFolder, films: Path, tmp_path: Path) -> dict[str, Any]:
    labels = tmp_path / "labels.csv"
    read_folder(films).write_csv(labels)
    cohort = known_films(run, Elsewhere(films=films, labels=labels))
    return find_overlap(run, cohort, films, film_reader(run, 128))


@pytest.fixture
def plain(phantom_films: Path, tmp_path: Path) -> Path:
    """24 originals in class folders."""
    for label in CLASSES:
        (tmp_path / "plain" / label).mkdir(parents=True)
        for film in sorted(phantom_films.glob(f"train/{label}/*"))[:12]:
            shutil.copy(film, tmp_path / "plain" / label)
    return tmp_path / "plain"


@pytest.fixture
def copies(plain: Path, tmp_path: Path) -> Path:
    """The same films under other names, as they come from somewhere else."""
    for number, film in enumerate(sorted(plain.rglob("*.jpeg"))):
        place = tmp_path / "copies" / film.parent.name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, place / f"other{number}.jpeg")
    return tmp_path / "copies"


@pytest.mark.parametrize("with_hashes", [True, False])
def test_films_of_a_plain_run_are_known_again_under_other_names(
        plain: Path, copies: Path, tmp_path: Path, with_hashes: bool) -> None:
    found = overlap(run_on(plain, with_hashes=with_hashes), copies, tmp_path)
    assert (found["films"], found["copies"], found["uncompared"], found["unseen"]) == (24, 24, 0, 0)


def test_films_that_were_saved_again_are_known_by_their_looks(plain: Path, copies: Path,
                                                              tmp_path: Path) -> None:
    for number, path in enumerate(sorted(copies.rglob("*.jpeg"))):
        with Image.open(path) as film:
            film.resize((512, 500)).save(path.with_suffix((".png", ".jpeg", ".bmp")[number % 3]))
        if number % 3 != 1:
            path.unlink()
    found = overlap(run_on(plain, with_hashes=True), copies, tmp_path)
    assert (found["films"], found["copies"], found["alike"]) == (24, 0, 24)


def test_a_film_of_the_run_that_is_damaged_since_hinders_nothing(plain: Path, copies: Path,
                                                                 tmp_path: Path) -> None:
    run = run_on(plain, with_hashes=True)
    for film in plain.rglob("*.jpeg"):
        film.write_bytes(b"damaged")
    assert overlap(run, copies, tmp_path)["films"] == 24


def test_hashes_serve_where_the_films_of_the_run_are_gone(plain: Path, copies: Path, tmp_path: Path) -> None:
    run = run_on(plain, with_hashes=True)
    shutil.rmtree(plain)
    found = overlap(run, copies, tmp_path)
    assert (found["films"], found["unseen"], found["uncompared"]) == (24, 24, 0)


def test_where_neither_films_nor_hashes_were_kept_nothing_is_claimed(plain: Path, copies: Path,
                                                                     tmp_path: Path) -> None:
    run = run_on(plain, with_hashes=False)
    shutil.rmtree(plain)
    found = overlap(run, copies, tmp_path)
    assert (found["films"], found["uncompared"]) == (None, 24)


def test_films_of_a_prepared_run_are_known_by_their_originals_and_by_themselves(
        prepared_films: Path, phantom_films: Path, plain: Path, tmp_path: Path) -> None:
    run = run_on(prepared_films, with_hashes=True)
    assert overlap(run, plain, tmp_path)["films"] == 24
    without_records = shutil.ignore_patterns("*.csv", "*.json")
    loose = shutil.copytree(prepared_films, tmp_path / "loose", ignore=without_records)
    assert overlap(run, loose, tmp_path)["films"] == 48
    assert overlap(run_on(loose, with_hashes=True), prepared_films, tmp_path)["films"] == 48


def test_other_films_are_not_known(phantom_films: Path, plain: Path, tmp_path: Path) -> None:
    run = run_on(plain, with_hashes=True)
    there = {path.read_bytes() for path in plain.rglob("*.jpeg")}
    others = Cohort(tuple(film for film in read_folder(phantom_films)
                          if (phantom_films / film.file).read_bytes() not in there))
    assert find_overlap(run, others, phantom_films, film_reader(run, 128))["films"] == 0


@pytest.mark.parametrize("name", ["..", ".", ".hidden", "a/b", "a\\b", "C:", "two\nlines", "nul\0", " "])
def test_a_name_that_is_no_folders_is_refused_before_anything_is_read(name: str, tmp_path: Path) -> None:
    films = Path("/") if not name.strip() else tmp_path
    with pytest.raises(OptionError, match="must do as a folder's"):
        evaluate_elsewhere(tmp_path / "no run", Elsewhere(films=films, labels=tmp_path, name=name))


def test_a_patient_is_known_in_another_spelling(plain: Path, tmp_path: Path) -> None:
    run = run_on(plain, with_hashes=True)
    respelled = [patient.upper().replace("-", " 00") for patient in run.cohort.patients]
    there = run.cohort.with_column("patient", respelled)
    assert set(there.patients).isdisjoint(run.cohort.patients)
    assert find_overlap(run, there, plain, film_reader(run, 128))["patients"] == len(set(run.cohort.patients))
