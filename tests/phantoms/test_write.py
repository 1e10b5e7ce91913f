"""Synthetic films: repeatable, with true masks, and with nothing but the lesion to tell the classes apart."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pneumo_tf import processes
from pneumo_tf.data.patients import read_patient
from pneumo_tf.errors import FilmError, OptionError, StorageError
from pneumo_tf.phantoms import write as phantoms
from pneumo_tf.phantoms.film import sample_shot
from pneumo_tf.phantoms.lesions import Kind
from pneumo_tf.phantoms.write import draw_phantom, plan_phantoms, write_phantoms

KINDS = get_args(Kind)
SEEDS = range(6)
NAMES = re.compile(r"NORMAL/(NORMAL2-)?IM-\d{4}-0001(-\d{4})?|PNEUMONIA/person\d+_(bacteria|virus)_\d+")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 60 films of 40 patients, written once."""
    folder = tmp_path_factory.mktemp("phantoms") / "demo"
    write_phantoms(folder, films=60, patients=40, seed=7)
    return folder


def hashes(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seeds_draw_the_same_film(kind: Kind) -> None:
    first, second = (draw_phantom(kind, patient_seed=5, film_seed=9) for _ in range(2))
    assert np.array_equal(first.film, second.film)
    assert np.array_equal(first.lesion, second.lesion)


@pytest.mark.parametrize("changed", [{"patient_seed": 6}, {"film_seed": 10}])
def test_other_seeds_draw_another_film(changed: dict[str, int]) -> None:
    seeds = {"patient_seed": 5, "film_seed": 9}
    one, other = (cv2.resize(draw_phantom("normal", **s).film, (64, 64)) for s in (seeds, seeds | changed))
    assert np.abs(one.astype(float) - other).mean() > 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_film_is_grey_and_its_mask_has_its_shape(kind: Kind) -> None:
    phantom = draw_phantom(kind, patient_seed=1, film_seed=2)
    assert phantom.film.dtype == np.uint8
    assert phantom.lesion.dtype == bool
    assert phantom.film.shape == phantom.lesion.shape
    assert 380 <= phantom.film.shape[0] <= 520
    assert 480 <= phantom.film.shape[1] <= 680


@pytest.mark.parametrize("seed", SEEDS)
def test_only_a_sick_child_has_a_lesion(seed: int) -> None:
    shares = [draw_phantom(kind, patient_seed=seed, film_seed=seed).lesion.mean() for kind in KINDS]
    assert shares[0] == 0
    assert all(0.005 < share < 0.4 for share in shares[1:])


def test_a_consolidation_stays_in_one_lung_and_a_virus_takes_both() -> None:
    lopsided = {kind: [lopsidedness(kind, seed) for seed in range(8)] for kind in ("bacteria", "virus")}
    assert min(lopsided["bacteria"]) > 0.9
    assert max(lopsided["virus"]) < 0.9
    assert np.mean(lopsided["virus"]) < 0.4


def lopsidedness(kind: Kind, seed: int) -> float:
    """0 where both halves of the body have as much lesion, 1 where only one has any."""
    x, _ = sample_shot(seed).frame.grid
    lesion = draw_phantom(kind, patient_seed=seed, film_seed=seed).lesion
    return float(abs(np.sign(x[lesion]).mean()))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_consolidation_brightens_its_mask_and_leaves_the_far_side_alone(seed: int) -> None:
    sick = draw_phantom("bacteria", patient_seed=seed, film_seed=seed)
    healthy = draw_phantom("normal", patient_seed=seed, film_seed=seed)
    change = sick.film.astype(float) - healthy.film
    distance = cv2.distanceTransform((~sick.lesion).astype(np.uint8), cv2.DIST_L2, 5)
    far = distance > 0.6 * sample_shot(seed).frame.scale  # scatter is broad
    assert change[sick.lesion].mean() > 4
    assert np.abs(change[far]).mean() < 0.1 * change[sick.lesion].mean()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mask_of_the_lungs_has_one_part_on_each_side_whatever_the_disease(seed: int) -> None:
    x, _ = sample_shot(seed).frame.grid
    normal, bacteria, _ = (draw_phantom(kind, patient_seed=seed, film_seed=seed).lungs for kind in KINDS)
    parts, labels = cv2.connectedComponents(normal.astype(np.uint8))
    assert parts == 3
    assert np.sign(x[labels == 1].mean()) == -np.sign(x[labels == 2].mean())
    assert np.array_equal(normal, bacteria)


def test_the_lungs_are_darker_than_the_heart_and_the_heart_than_the_spine() -> None:
    greys = np.mean([greys_of_a_normal_film(seed) for seed in range(8)], axis=0)
    assert greys[0] + 25 < greys[1]
    assert greys[1] + 10 < greys[2]


def greys_of_a_normal_film(seed: int) -> list[float]:
    x, y = sample_shot(seed).frame.grid
    film = draw_phantom("normal", patient_seed=seed, film_seed=seed).film
    lung = (np.abs(x + 0.6) < 0.15) & (np.abs(y - 0.6) < 0.15)
    heart = (np.abs(x - 0.3) < 0.08) & (np.abs(y - 0.8) < 0.08)
    spine = (np.abs(x) < 0.05) & (np.abs(y - 0.8) < 0.15)
    return [float(film[place].mean()) for place in (lung, heart, spine)]


@pytest.mark.parametrize("film_seed", SEEDS)
def test_size_marker_and_borders_do_not_know_the_class(film_seed: int) -> None:
    films = [draw_phantom(kind, patient_seed=3, film_seed=film_seed).film for kind in KINDS]
    assert len({film.shape for film in films}) == 1
    edges = [np.concatenate([film[:2].ravel(), film[-2:].ravel()]).astype(float) for film in films]
    assert max(np.abs(edge - edges[0]).mean() for edge in edges) < 6


def test_the_facts_of_a_file_do_not_tell_its_class(demo: Path) -> None:
    files = sorted((demo / "chest_xray").rglob("*.jpeg"))
    sick = [file.parent.name == "PNEUMONIA" for file in files]
    shapes = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED).shape for file in files]
    facts = {"bytes": [file.stat().st_size for file in files], "height": [s[0] for s in shapes],
             "width": [s[1] for s in shapes]}
    assert {len(shape) for shape in shapes} == {2}, "every film is grey"
    areas = {name: roc_auc_score(sick, values) for name, values in facts.items()}
    assert all(0.3 < area < 0.7 for area in areas.values()), areas


def test_a_set_has_the_films_and_patients_that_were_asked_for(demo: Path) -> None:
    names = [path.relative_to(demo / "chest_xray/train").with_suffix("").as_posix()
             for path in (demo / "chest_xray").rglob("*.jpeg")]
    assert all(NAMES.fullmatch(name) for name in names)
    assert len(names) == 60
    patients = {read_patient(name.rpartition("/")[2], name.partition("/")[0]) for name in names}
    assert len({patient.key for patient in patients}) == 40
    assert Counter(patient.subtype for patient in patients) == {"": 20, "bacteria": 12, "virus": 8}


def test_every_sick_film_has_a_mask_of_its_size_and_no_other_has(demo: Path) -> None:
    films = {path.stem: path for path in (demo / "chest_xray/train/PNEUMONIA").iterdir()}
    masks = {path.stem: path for path in (demo / "masks").rglob("*.png")}
    assert films.keys() == masks.keys()
    for stem, path in masks.items():
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert mask.shape == cv2.imread(str(films[stem]), cv2.IMREAD_UNCHANGED).shape
        assert set(np.unique(mask)) == {0, 255}


def test_the_default_set_is_half_normal_with_patients_of_one_two_and_three_films() -> None:
    plan = plan_phantoms(films=240, patients=160, seed=42)
    assert len({file.stem for file in plan}) == len({file.film_seed for file in plan}) == 240
    assert abs(Counter(file.kind for file in plan)["normal"] - 120) <= 12
    assert {1, 2, 3} <= set(Counter(file.patient_seed for file in plan).values())


def test_numbers_restart_for_each_subtype() -> None:
    stems = {file.stem for file in plan_phantoms(films=20, patients=20, seed=1)}
    assert {"train/PNEUMONIA/person1_bacteria_1", "train/PNEUMONIA/person1_virus_1"} <= stems


def test_processes_and_repetition_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_phantoms(tmp_path / "one", films=6, patients=4, seed=3)
    monkeypatch.setattr(processes, "_ITEMS_WORTH_A_PROCESS", 1)
    write_phantoms(tmp_path / "two", films=6, patients=4, seed=3, workers=2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_a_complete_set_is_reused(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantoms, "draw_phantom", None)
    assert write_phantoms(demo, films=60, patients=40, seed=7) == demo / "chest_xray"


def test_an_interrupted_set_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path, *_: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half a film")
        raise KeyboardInterrupt

    monkeypatch.setattr(phantoms, "_encode", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path / "set", films=3, patients=2)
    assert not list(tmp_path.iterdir())


def another_seed(folder: Path) -> None:
    record = json.loads((folder / "phantoms.json").read_text())
    (folder / "phantoms.json").write_text(json.dumps(record | {"seed": 1}))


def a_film_gone(folder: Path) -> None:
    next((folder / "chest_xray").rglob("*.jpeg")).unlink()


def a_broken_record(folder: Path) -> None:
    (folder / "phantoms.json").write_text("{")


@pytest.mark.parametrize("spoil", [another_seed, a_film_gone, a_broken_record])
def test_anything_else_in_the_way_is_kept_and_refused(tmp_path: Path, spoil) -> None:
    write_phantoms(tmp_path / "set", films=2, patients=2, seed=0)
    spoil(tmp_path / "set")
    before = hashes(tmp_path)
    with pytest.raises(FilmError, match="new or empty folder"):
        write_phantoms(tmp_path / "set", films=2, patients=2, seed=0)
    assert hashes(tmp_path) == before


def test_a_file_in_the_way_is_kept_and_refused(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("mine")
    with pytest.raises(FilmError):
        write_phantoms(tmp_path / "set", films=2, patients=2)
    with pytest.raises(StorageError):
        write_phantoms(tmp_path / "set" / "below", films=2, patients=2)
    assert (tmp_path / "set").read_text() == "mine"


@pytest.mark.parametrize("numbers", [{"films": 3, "patients": 4}, {"films": 1, "patients": 1}, {"seed": -1},
                                     {"workers": 0}])
def test_numbers_without_meaning_are_refused_before_anything_is_written(
        tmp_path: Path, numbers: dict[str, int]) -> None:
    with pytest.raises(OptionError):
        write_phantoms(tmp_path / "set", **numbers)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "seed"), [("fungus", 1), ("normal", -1)])
def test_an_unknown_kind_or_a_negative_seed_is_refused(kind: Kind, seed: int) -> None:
    with pytest.raises(OptionError, match="normal, bacteria or virus"):
        draw_phantom(kind, patient_seed=seed, film_seed=1)
