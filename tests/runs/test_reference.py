"""What a run keeps of its films: read as it was written, small, and missed without harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pneumo_tf.cohort import Cohort
from pneumo_tf.evaluation.novelty import fit_novelty
from pneumo_tf.evaluation.shift import FACTS, Sample
from pneumo_tf.evaluation.sides import Sides
from pneumo_tf.runs.folder import REFERENCE, RunError, RunFolder
from pneumo_tf.runs.reference import Reference, read_reference, shows_lungs, write_reference

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(300, 3000)).astype(np.float32)


@pytest.fixture(scope="module")
def reference() -> Reference:
    novelty = fit_novelty(FEATURES[:200], RNG.integers(0, 2, 200), FEATURES[200:])
    assert novelty is not None
    own = Sample(RNG.normal(size=(100, 65)), np.full((100, len(FACTS)), np.nan))
    return Reference(novelty, own, Sides(RNG.normal(size=288).astype(np.float32), -1.5))


def run_of(folder: Path, reference: Reference | None) -> RunFolder:
    known = None if reference is None else {
        "novelty": {"threshold": reference.novelty.threshold},
        "mirrored": reference.sides and {"threshold": reference.sides.threshold}}
    return RunFolder(folder, {"reference": known}, {}, pd.DataFrame(), Cohort(()), pd.DataFrame())


@pytest.mark.parametrize("with_sides", [True, False])
def test_it_is_read_as_it_was_written(reference: Reference, with_sides: bool, tmp_path: Path) -> None:
    wanted = reference if with_sides else Reference(reference.novelty, reference.own)
    write_reference(tmp_path, wanted)
    found = read_reference(run_of(tmp_path, wanted))
    assert found is not None
    assert found.novelty.threshold == wanted.novelty.threshold
    np.testing.assert_allclose(*(one.novelty.distances(FEATURES) for one in (found, wanted)), rtol=1e-5)
    np.testing.assert_allclose(found.own.coordinates, wanted.own.coordinates, atol=2e-3)
    assert (found.sides is None) is (wanted.sides is None)
    if found.sides is not None:
        np.testing.assert_array_equal(found.sides.weights, reference.sides.weights)


def test_of_four_thousand_films_with_three_thousand_features_it_stays_below_two_megabytes(
        reference: Reference, tmp_path: Path) -> None:
    many = np.tile(reference.novelty.films, (20, 1))
    assert many.shape == (4000, 64)
    novelty = type(reference.novelty)(reference.novelty.space, RNG.normal(size=many.shape),
                                      np.zeros(4000, np.uint8), 1.0)
    write_reference(tmp_path, Reference(novelty, reference.own))
    assert (tmp_path / REFERENCE).stat().st_size < 2e6


def test_an_older_run_has_none(reference: Reference, tmp_path: Path) -> None:
    assert read_reference(run_of(tmp_path, None)) is None
    assert read_reference(run_of(tmp_path, reference)) is None  # the file was never there


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_said(reference: Reference, content: bytes, tmp_path: Path) -> None:
    (tmp_path / REFERENCE).write_bytes(content)
    with pytest.raises(RunError, match=r"reference\.npz must be whole"):
        read_reference(run_of(tmp_path, reference))


@pytest.mark.parametrize(("facts", "shown"), [
    ({"reference": {"lungs": {"found": 39, "of": 40}}}, True),
    ({"reference": {"lungs": {"found": 30, "of": 40}}}, False),
    ({"reference": {"lungs": {"found": 0, "of": 40}}, "preparation": {"options": {"fit": "lungs"}}}, False),
    ({"preparation": {"options": {"fit": "lungs"}}}, True),  # as older runs tell it
    ({"preparation": {"options": {"fit": "thumbnail"}}}, False), ({"preparation": None}, False), ({}, False)])
def test_chest_films_are_known_by_their_lungs(facts: dict, shown: bool) -> None:
    assert shows_lungs(facts) is shown
