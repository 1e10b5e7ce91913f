"""Synthetic skin lesions: repeatable, in colour, with masks, told apart by the lesion and by nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pneumo_tf.data.labels import read_folder
from pneumo_tf.data.preparation.filters import FilterOptions
from pneumo_tf.data.preparation.prepare import PrepareOptions, prepare
from pneumo_tf.names import positive_class
from pneumo_tf.phantoms.skin import SkinKind, SkinPhantom, draw_skin
from pneumo_tf.phantoms.write import write_phantoms

KINDS = get_args(SkinKind)
FILMS, PATIENTS = 24, 16


@pytest.fixture(scope="module")
def skins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 24 photographs of 16 patients; its folder holds skin/ and masks/."""
    folder = tmp_path_factory.mktemp("skin") / "set"
    write_phantoms(folder, films=FILMS, patients=PATIENTS, seed=3, skin=True)
    return folder


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[SkinPhantom]]:
    return {kind: [draw_skin(kind, patient_seed=seed, film_seed=50 + seed) for seed in range(12)]
            for kind in KINDS}


def roundness(lesion: NDArray[np.bool_]) -> float:
    """1 for a disc, less for whatever has a longer outline."""
    outlines, _ = cv2.findContours(lesion.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(outlines, key=cv2.contourArea)
    return float(4 * np.pi * cv2.contourArea(largest) / cv2.arcLength(largest, closed=True) ** 2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seeds_draw_the_same_photograph_in_colour(kind: SkinKind) -> None:
    first, second = (draw_skin(kind, patient_seed=5, film_seed=9) for _ in range(2))
    assert np.array_equal(first.film, second.film)
    assert np.array_equal(first.lesion, second.lesion)
    assert first.film.shape == (*first.lesion.shape, 3)
    assert (first.film.max(axis=2).astype(int) - first.film.min(axis=2)).mean() > 20


def test_the_lesion_is_darker_than_the_skin_round_it(drawn: dict[str, list[SkinPhantom]]) -> None:
    for skin in [*drawn["benign"], *drawn["malignant"]]:
        near = cv2.dilate(skin.lesion.astype(np.uint8), np.ones((41, 41))).astype(bool) & ~skin.lesion
        assert 0.01 < skin.lesion.mean() < 0.6
        assert skin.film[skin.lesion].mean() < skin.film[near].mean() - 5


def test_a_malignant_lesion_is_mostly_less_round(drawn: dict[str, list[SkinPhantom]]) -> None:
    round_ones = [roundness(skin.lesion) for kind in KINDS for skin in drawn[kind]]
    area = roc_auc_score([kind == "benign" for kind in KINDS for _ in drawn[kind]], round_ones)
    assert 0.75 < area < 1


def test_the_skin_round_the_lesion_does_not_know_the_class(drawn: dict[str, list[SkinPhantom]]) -> None:
    for benign, malignant in zip(drawn["benign"], drawn["malignant"], strict=True):
        assert benign.film.shape == malignant.film.shape
        edges = [np.concatenate([skin.film[:3].ravel(), skin.film[-3:].ravel()]).astype(float)
                 for skin in (benign, malignant)]
        assert np.abs(edges[0] - edges[1]).mean() < 2


def test_a_set_lies_as_the_chests_do_and_every_lesion_has_its_mask(skins: Path) -> None:
    films = {path.relative_to(skins / "skin").with_suffix("") for path in (skins / "skin").rglob("*.jpeg")}
    masks = {path.relative_to(skins / "masks").with_suffix("") for path in (skins / "masks").rglob("*.png")}
    assert films == masks
    assert len(films) == FILMS
    assert {path.parent.as_posix() for path in films} == {"train/benign", "train/malignant"}
    for stem in films:
        film = cv2.imread(str(skins / "skin" / f"{stem}.jpeg"))
        mask = cv2.imread(str(skins / "masks" / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == film.shape[:2]
        assert film[..., 2].mean() > film[..., 0].mean(), "skin is redder than blue"


def test_they_are_prepared_in_colour_and_their_patients_are_known(skins: Path, tmp_path: Path) -> None:
    filters = FilterOptions(brightness=1, contrast=1, size=128, fit="auto", color=True)
    prepare(skins / "skin", tmp_path / "clasificacion", PrepareOptions(filters=filters))
    cohort = read_folder(tmp_path / "clasificacion")
    assert len({film.patient for film in cohort} - {""}) == PATIENTS
    assert Counter(film.label.casefold() for film in cohort).keys() == {"benign", "malignant"}
    assert positive_class(cohort.classes).casefold() == "malignant"
