"""Films that come in together: collected one by one, compared with the run's own, and said in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.preparation.filters import FilterOptions, framed_and_filtered
from pneumo_tf.evaluation.novelty import fit_novelty
from pneumo_tf.evaluation.shift import FACTS, FRAMING, BatchDifference, Cost, Fact, Sample
from pneumo_tf.phantoms.write import draw_phantom
from pneumo_tf.reading.batch import Batch, batch_of, film_facts, sentences
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import RunFolder
from pneumo_tf.runs.predictor import FilmReader
from pneumo_tf.runs.reference import Reference, write_reference

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(300, 30)).astype(np.float32)
FILM = np.asarray(Image.fromarray(draw_phantom("normal", patient_seed=1, film_seed=1).film)
                  .convert("RGB").resize((128, 128)))
ORIGINAL = {"width": "400", "height": "300", "near_black": "0.1", "lungs_width": "0.7", "lungs_height": "0.8"}
STRESS = {"clean": {"specificity": {"value": 0.95}}, "perturbations": [
    {"name": "hospital_1", "specificity": {"value": 0.7, "low": 0.6, "high": 0.8}}]}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that knows 100 validation films, all with the facts of one film."""
    novelty = fit_novelty(FEATURES[:200], np.arange(200) % 2, FEATURES[200:])
    assert novelty is not None
    space = novelty.space
    known = np.repeat(film_facts(FILM, ORIGINAL)[None], 100, axis=0)
    own = Sample(space.coordinates(FEATURES[200:]) / space.spread, known)
    write_reference(tmp_path, Reference(novelty, own))
    kept = {"novelty": {"threshold": novelty.threshold}, "mirrored": None, "lungs": {"found": 40, "of": 40}}
    return RunFolder(tmp_path, {"reference": kept}, {"stress": STRESS}, pd.DataFrame(), Cohort(()),
                     pd.DataFrame())


def filled(run: RunFolder, features: np.ndarray, film: np.ndarray = FILM) -> Batch:
    batch = batch_of(run)
    assert batch is not None
    for vector in features:
        batch.add(film, vector, ORIGINAL)
    return batch


def test_a_film_is_known_by_its_pixels_and_by_what_a_manifest_says_of_its_original() -> None:
    known = dict(zip(FACTS, film_facts(FILM, ORIGINAL), strict=True))
    assert known["megapixels"] == pytest.approx(0.12)
    assert known["aspect"] == pytest.approx(4 / 3)
    assert [known[name] for name in FRAMING[1:]] == pytest.approx([0.1, 0.7, 0.8])
    assert known["brightness"] == pytest.approx(FILM.mean(), abs=0.5)
    prepared = dict(zip(FACTS, film_facts(FILM, {}), strict=True))
    assert {name for name, value in prepared.items() if np.isnan(value)} == {"megapixels", *FRAMING}


def test_the_facts_of_an_original_are_those_that_its_preparation_notes(tmp_path: Path) -> None:
    filters = FilterOptions(size=96, fit="lungs")
    original = Image.fromarray(draw_phantom("virus", patient_seed=3, film_seed=3).film)
    pixels, facts = FilmReader(64, filters, tmp_path).with_facts(original, ready=False)
    framed = framed_and_filtered(original, filters)
    assert facts == {"width": str(original.width), "height": str(original.height), **framed.framing}
    assert {"near_black", "lungs_width", "lungs_height"} <= facts.keys()
    np.testing.assert_array_equal(pixels, FilmReader(64, filters, tmp_path).prepare(original))
    assert FilmReader(64, filters, tmp_path).with_facts(original, ready=True)[1] == {}


def test_like_films_are_alike_and_others_differ_by_what_was_measured(run: RunFolder) -> None:
    like = filled(run, RNG.normal(size=(40, 30))).difference()
    assert like is not None
    assert not like.differs
    assert like.facts == ()  # the same film's, read from a file and measured again
    other = filled(run, RNG.normal(size=(40, 30)) + 2, FILM // 2).difference()
    assert other is not None
    assert other.differs
    assert {"brightness", "contrast"} <= {fact.name for fact in other.facts if fact.effect == -1}
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
