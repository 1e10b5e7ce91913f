"""Films that come in together: like ones aren't said to differ, others are, and in what."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pneumo_tf.evaluation.shift import FACTS, FRAMING, BatchDifference, Reservoir, Sample, compare, told_apart

WIDE = 65
STRESS = {"clean": {"specificity": {"value": 0.95, "low": 0.9, "high": 0.98}}, "perturbations": [
    {"name": name, "specificity": {"value": value, "low": value - 0.1, "high": value + 0.1}}
    for name, value in (("clahe", 0.9), ("more_contrast", 0.6), ("zoom_1.4", 0.3), ("hospital_1", 0.8),
                        ("hospital_2", 0.7))]}


def sample(count: int, seed: int, *, moved: float = 0.0, **facts: float) -> Sample:
    """Films whose coordinates have unit spread, moved along one of them; facts around 100 but for some."""
    rng = np.random.default_rng(seed)
    coordinates = rng.normal(size=(count, WIDE))
    coordinates[:, 3] += moved
    known = rng.normal(100, 5, (count, len(FACTS)))
    for name, value in facts.items():
        known[:, FACTS.index(name)] += value
    return Sample(coordinates, known)


def reservoir(films: Sample, **options: int) -> Reservoir:
    kept = Reservoir(**options)
    for coordinates, facts in zip(films.coordinates, films.facts, strict=True):
        kept.add(coordinates, facts)
    return kept


def test_films_that_are_held_and_measured_later_leave_the_same_sample() -> None:
    films, later = sample(400, 1), Reservoir(most=50)
    for number, (coordinates, facts) in enumerate(zip(films.coordinates, films.facts, strict=True)):
        if number < 300:
            later.hold(number)
        else:
            later.add(coordinates, facts)
    asked: list[int] = []
    later.measure_held(lambda held: asked.extend(held) or [
        (films.coordinates[number], films.facts[number]) for number in held])
    at_once = reservoir(films, most=50)
    assert 0 < len(asked) < 50
    np.testing.assert_array_equal(later.sample().coordinates, np.float32(at_once.sample().coordinates))
    np.testing.assert_array_equal(later.sample().facts, at_once.sample().facts)
    assert later.films == at_once.films == 400


def test_a_held_film_that_cant_be_measured_leaves_the_sample() -> None:
    films, later = sample(20, 1), Reservoir()
    for number in range(20):
        later.hold(number)
    later.measure_held(lambda held: [None if number % 2 else (films.coordinates[number], films.facts[number])
                                     for number in held])
    np.testing.assert_array_equal(later.sample().facts, films.facts[::2].astype(np.float32))
    assert later.films == 10


def difference(own: Sample, incoming: Sample, **options: object) -> BatchDifference:
    found = compare(own, reservoir(incoming), **options)
    assert found is not None
    return found


@pytest.mark.parametrize("count", [10, 50, 300])
def test_two_identical_samples_are_not_told_apart(count: int) -> None:
    own = sample(count, 1)
    shuffled = np.random.default_rng(2).permutation(count)
    same = Sample(own.coordinates[shuffled], own.facts[shuffled])
    found = difference(own, same)
    assert found.low < 0.5 < found.high
    assert found.facts == ()
    assert not found.differs


@pytest.mark.parametrize("count", [10, 20, 60])
def test_like_films_are_seldom_said_to_differ_however_few_they_are(count: int) -> None:
    found = [difference(sample(200, seed), sample(count, 1000 + seed), seed=seed) for seed in range(80)]
    assert np.mean([one.low <= 0.5 <= one.high for one in found]) > 0.92
    assert np.mean([one.differs for one in found]) <= 0.05
    assert np.mean([one.auc for one in found]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([len(one.facts) > 0 for one in found]) <= 0.1


def test_films_that_are_in_both_samples_do_not_teach_the_classifier_what_it_is_asked() -> None:
    own = sample(200, 3)
    areas = [told_apart(own.coordinates, own.coordinates[np.random.default_rng(seed).permutation(200)[:40]])
             for seed in range(40)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(("count", "moved"), [(10, 4.0), (100, 2.0)])
def test_other_films_are_told_apart(count: int, moved: float) -> None:
    found = difference(sample(300, 4), sample(count, 5, moved=moved))
    assert found.differs
    assert found.auc > 0.75
    assert found.low <= found.auc <= found.high


def test_what_differs_is_named_with_its_direction_the_strongest_first() -> None:
    found = difference(sample(200, 6), sample(40, 7, moved=3, contrast=6, sharpness=-15))
    assert [fact.name for fact in found.facts] == ["sharpness", "contrast"]
    assert found.facts[0].effect < 0 < found.facts[1].effect
    for fact in found.facts:
        assert -1 <= fact.low <= fact.effect <= fact.high <= 1
    assert found.facts[1].incoming > found.facts[1].own


def test_an_unknown_fact_is_not_compared() -> None:
    incoming = sample(40, 8, moved=3, megapixels=50)
    incoming.facts[:30, FACTS.index("megapixels")] = np.nan
    assert difference(sample(200, 9), incoming).facts == ()


@pytest.mark.parametrize(("facts", "worst"), [
    ({"contrast": 20}, "more_contrast"),  # of the perturbations that raise contrast, the dearest
    ({"lungs_width": 20}, "zoom_1.4"),
    ({}, "hospital_2"),  # nothing named: as other hospitals may differ
    ({"aspect": 20}, "hospital_2"),  # named, but the table has no such perturbation
])
def test_the_cost_is_that_of_the_dearest_perturbation_that_is_like_the_difference(
        facts: dict[str, float], worst: str) -> None:
    cost = difference(sample(200, 10), sample(60, 11, moved=3, **facts), stress=STRESS).cost
    assert cost is not None
    assert (cost.perturbation, cost.before) == (worst, 0.95)
    assert cost.after == {row["name"]: row["specificity"]["value"] for row in STRESS["perturbations"]}[worst]


def test_what_the_preparation_takes_away_costs_nothing() -> None:
    wider = sample(60, 11, moved=3, lungs_width=20, contrast=20)
    costs = [difference(sample(200, 10), wider, stress=STRESS, removed=removed).cost
             for removed in ((), FRAMING)]
    assert [cost and cost.perturbation for cost in costs] == ["zoom_1.4", "more_contrast"]


def test_without_a_table_or_a_difference_there_is_no_cost() -> None:
    assert difference(sample(200, 10), sample(60, 11, moved=3)).cost is None
    assert difference(sample(200, 10), sample(60, 12), stress=STRESS).cost is None


def test_fewer_than_ten_films_are_not_compared() -> None:
    assert compare(sample(200, 1), reservoir(sample(9, 2))) is None
    assert compare(sample(5, 1), reservoir(sample(50, 2))) is None


def test_a_reservoir_keeps_a_fair_sample_of_bounded_size() -> None:
    many = Sample(np.arange(5000.0)[:, None], np.zeros((5000, len(FACTS))))
    kept = reservoir(many, most=500)
    numbers = kept.sample().coordinates[:, 0]
    assert kept.films == 5000
    assert len(np.unique(numbers)) == 500
    assert numbers.mean() == pytest.approx(2500, abs=250)


def test_it_can_be_kept_as_json() -> None:
    found = difference(sample(200, 6), sample(40, 7, moved=3, contrast=10), stress=STRESS)
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["films"] == content["compared"] == 40
    assert content["differs"] is True
    assert content["facts"][0]["name"] == "contrast"
    assert content["cost"]["perturbation"] == "more_contrast"
