"""Films that come in together: collected one by one, compared with the run's own, and said in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pneumo_tf.cohort import Cohort
from pneumo_tf.evaluation.novelty import fit_novelty
from pneumo_tf.evaluation.shift import FACTS, BatchDifference, Cost, Fact, Sample
from pneumo_tf.phantoms.write import draw_phantom
from pneumo_tf.reading.batch import Batch, batch_of, film_facts, sentences
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import RunFolder
from pneumo_tf.runs.reference import Reference, write_reference

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(300, 30)).astype(np.float32)
FILM = np.asarray(Image.fromarray(draw_phantom("normal", patient_seed=1, film_seed=1).film)
                  .convert("RGB").resize((128, 128)))
STRESS = {"clean": {"specificity": {"value": 0.95}}, "perturbations": [
    {"name": "hospital_1", "specificity": {"value": 0.7, "low": 0.6, "high": 0.8}}]}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that knows 100 validation films, all with the facts of one film."""
    novelty = fit_novelty(FEATURES[:200], np.arange(200) % 2, FEATURES[200:])
    assert novelty is not None
    space = novelty.space
    facts = film_facts(FILM, in_frame=True, size=(400, 300))
    known = np.array([[facts[name] for name in FACTS]]) * RNG.normal(1, 0.001, (100, len(FACTS)))
    own = Sample(space.coordinates(FEATURES[200:]) / space.spread, known)
    write_reference(tmp_path, Reference(novelty, own))
    kept = {"novelty": {"threshold": novelty.threshold}, "mirrored": None, "lungs": {"found": 40, "of": 40}}
    return RunFolder(tmp_path, {"reference": kept}, {"stress": STRESS}, pd.DataFrame(), Cohort(()),
                     pd.DataFrame())


def filled(run: RunFolder, features: np.ndarray, film: np.ndarray = FILM) -> Batch:
    batch = batch_of(run)
    assert batch is not None
    for vector in features:
        batch.add(film, vector, size=(400, 300))
    return batch


def test_a_chest_film_is_known_by_all_facts_and_by_those_of_its_pixels_alone_where_no_more_is_known() -> None:
    assert set(film_facts(FILM, in_frame=True, size=(400, 300))) == set(FACTS)
    alone = film_facts(FILM, in_frame=False)
    assert set(alone) == {"brightness", "contrast", "border", "sharpness"}
    whole = film_facts(FILM, in_frame=True)
    assert 0.3 < whole["lungs_height"] <= 1
    assert 0.3 < whole["lungs_width"] <= 1


def test_like_films_are_alike_and_others_differ_by_what_was_measured(run: RunFolder) -> None:
    like = filled(run, RNG.normal(size=(40, 30))).difference()
    assert like is not None
    assert not like.differs
    other = filled(run, RNG.normal(size=(40, 30)) + 2, FILM // 2).difference()
    assert other is not None
    assert other.differs
    assert {"brightness", "contrast"} <= {fact.name for fact in other.facts if fact.effect < -0.9}
    assert other.cost is not None
    assert other.cost.perturbation == "hospital_1"


def test_nine_films_are_too_few(run: RunFolder) -> None:
    assert filled(run, FEATURES[:9]).difference() is None


def test_a_run_that_keeps_nothing_of_its_films_compares_nothing(run: RunFolder) -> None:
    assert batch_of(replace(run, facts={})) is None


DIFFERENCE = BatchDifference(
    1200, 500, 300, 0.91, 0.88, 0.94,
    (Fact("contrast", 50.0, 61.5, 0.8, 0.7, 0.9), Fact("aspect", 1.4, 1.1, -0.5, -0.6, -0.4)),
    Cost("clahe", 0.95, 0.6, 0.5, 0.7))


def test_the_words_say_whether_in_what_and_at_what_cost() -> None:
    said = sentences(DIFFERENCE, language("en"))
    assert len(said) == 4
    assert "an area of 0.910 (0.880 to 0.940" in said[0]
    assert said[1] == "Contrast: 61.5 where the run's films have 50 (effect +0.80)."
    assert said[2] == "Width over height: 1.1 where the run's films have 1.4 (effect −0.50)."
    assert "specificity went from 95% to 60% (50% to 70%)" in said[3]
    assert "“Contrast equalised locally (CLAHE)”" in said[3]


def test_the_words_are_spanish_where_that_is_asked_for() -> None:
    said = sentences(DIFFERENCE, language("es"))
    assert "0,910" in said[0]
    assert said[1].startswith("Contraste: 61,5")
    assert "de 95 % a 60 %".replace(" %", "\u00a0%") in said[3]


def test_like_films_are_said_to_be_alike_in_one_sentence() -> None:
    alike = BatchDifference(30, 30, 300, 0.52, 0.4, 0.64)
    (sentence,) = sentences(alike, language("en"))
    assert sentence.startswith("These films can't be told apart")
