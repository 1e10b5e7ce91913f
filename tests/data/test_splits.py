"""Splits keep patients whole, classes in their share, and depend on nothing but ids and seed."""

import re
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.data.patients import read_patient
from pneumo_tf.data.splits import class_weights, leaked_patients, split_cohort, split_hash, take_per_class
from pneumo_tf.errors import LabelError, OptionError

REAL = Path(__file__).resolve().parents[2] / "../shared/data/kermany_train_224.zip"
SEEDS = range(25)


def random_cohort(seed: int) -> Cohort:
    """Two to four classes of 3 to 60 patients with 1 to 30 films, some unknown, some of two classes."""
    rng = np.random.default_rng(seed)
    labels = [f"CLASS{k}" for k in range(rng.integers(2, 5))]
    rows = []
    for label in labels:
        for number in range(rng.integers(3, 61)):
            subtype = str(rng.choice(["", "bacteria", "virus"]))
            patient = f"{label}-{number}" if rng.random() < 0.9 else ""
            for film in range(min(30, rng.geometric(0.4))):
                other = str(rng.choice(labels)) if film and rng.random() < 0.02 else label
                rows.append(Radiograph(f"{label}-{number}-{film}", other, patient=patient, subtype=subtype))
    return Cohort(tuple(rows))


def shuffled(cohort: Cohort, seed: int) -> Cohort:
    order = np.random.default_rng(seed).permutation(len(cohort))
    return Cohort(tuple(cohort.radiographs[place] for place in order))


def singles(count: int, *labels: str) -> Cohort:
    return Cohort(tuple(Radiograph(f"{label}{n}", label, patient=f"{label}{n}", subtype=label.lower())
                        for label in labels for n in range(count)))


def film(name: str, split: str, *, label: str = "A", patient: str = "") -> Radiograph:
    return Radiograph(name, label, patient=patient, split=split)


def sides(cohort: Cohort) -> dict[str, str]:
    return {film.id: film.split for film in cohort}


def shares(cohort: Cohort) -> dict[str, float]:
    return {split: films / len(cohort) for split, films in Counter(f.split for f in cohort).items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_classes_are_called_changes_nothing(seed: int) -> None:
    cohort = random_cohort(seed)
    names = {label: f"{9 - place}-{label}" for place, label in enumerate(cohort.classes)}
    renamed = Cohort(tuple(replace(film, label=names[film.label]) for film in cohort))
    positive = cohort.classes[seed % 2]
    assert sides(split_cohort(cohort, seed=seed, positive=positive)) == sides(
        split_cohort(renamed, seed=seed, positive=names[positive]))


def test_the_splits_of_usual_names_are_what_they_always_were() -> None:
    """The healthy class comes first by its name and by its role."""
    cohort = singles(60, "NORMAL", "PNEUMONIA")
    assert split_hash(split_cohort(cohort, positive="PNEUMONIA")) == split_hash(split_cohort(cohort))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_patient_is_on_two_sides(seed: int) -> None:
    assert leaked_patients(split_cohort(random_cohort(seed), seed=seed)) == set()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_film_keeps_its_place_and_every_class_is_in_every_split(seed: int) -> None:
    cohort = random_cohort(seed)
    split = split_cohort(cohort, seed=seed)
    assert split.ids == cohort.ids
    assert {(film.label, film.split) for film in split} == {
        (label, side) for label in cohort.classes for side in ("train", "validation", "test")}


@pytest.mark.parametrize("by", ["patient", "film"])
@pytest.mark.parametrize("seed", SEEDS[:5])
def test_the_order_of_the_rows_changes_nothing(seed: int, by: str) -> None:
    cohort = random_cohort(seed)
    straight = split_cohort(cohort, by=by, seed=1)
    crossed = split_cohort(shuffled(cohort, seed), by=by, seed=1)
    assert sides(straight) == sides(crossed)
    assert split_hash(straight) == split_hash(crossed)


def test_the_seed_decides() -> None:
    cohort = random_cohort(0)
    assert split_hash(split_cohort(cohort, seed=1)) == split_hash(split_cohort(cohort, seed=1))
    assert split_hash(split_cohort(cohort, seed=1)) != split_hash(split_cohort(cohort, seed=2))


def test_patients_of_one_film_are_shared_out_exactly() -> None:
    counts = Counter((film.label, film.split) for film in split_cohort(singles(200, "A", "B")))
    for label in ("A", "B"):  # 30 % of 200, 15 % of the remaining 140
        assert (counts[label, "test"], counts[label, "validation"], counts[label, "train"]) == (60, 21, 119)


def test_unequal_subtypes_are_each_shared_out() -> None:
    cohort = Cohort(tuple(Radiograph(f"{kind}{n}", "PNEUMONIA", patient=f"{kind}-{n}", subtype=kind)
                          for kind, count in (("bacteria", 300), ("virus", 100)) for n in range(count)))
    tested = Counter(film.subtype for film in split_cohort(cohort, seed=5).subset("test"))
    assert tested == {"bacteria": 90, "virus": 30}


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_the_share_of_films_is_within_half_a_film_where_single_films_fill_the_gaps(seed: int) -> None:
    sizes = [30, 22, 17, 9, 9, 5, *[1] * 60]
    cohort = Cohort(tuple(Radiograph(f"{label}{n}-{film}", label, patient=f"{label}{n}")
                          for label in "AB" for n, size in enumerate(sizes) for film in range(size)))
    for label in "AB":
        counts = Counter(film.split for film in split_cohort(cohort, seed=seed) if film.label == label)
        assert abs(counts["test"] - 0.3 * sum(sizes)) <= 0.5
        assert abs(counts["validation"] - 0.15 * (sum(sizes) - counts["test"])) <= 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_three_patients_of_a_class_are_one_for_each_split(seed: int) -> None:
    big = [Radiograph(f"B{n}-{film}", "B", patient=f"B{n}") for n in range(3) for film in (1, 2, 3)[: 3 - n]]
    split = split_cohort(Cohort((*singles(3, "A").radiographs, *big)), seed=seed)
    for label in "AB":
        assert {film.split for film in split if film.label == label} == {"train", "validation", "test"}
    assert leaked_patients(split) == set()


def test_two_patients_of_a_class_are_refused() -> None:
    cohort = Cohort((*singles(5, "A").radiographs, *singles(2, "B").radiographs))
    with pytest.raises(LabelError, match="class B with too few patients for validation"):
        split_cohort(cohort)


def test_films_without_patient_are_split_one_by_one() -> None:
    cohort = Cohort(tuple(Radiograph(f"{label}{n}", label) for label in "AB" for n in range(100)))
    assert shares(split_cohort(cohort)) == pytest.approx({"test": 0.30, "validation": 0.10, "train": 0.60})


@pytest.mark.parametrize("options", [{"test_fraction": 0.0}, {"test_fraction": 1.0},
                                     {"validation_fraction": -0.1}, {"validation_fraction": float("nan")}])
def test_fractions_that_leave_a_side_empty_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        split_cohort(singles(9, "A", "B"), **options)


def test_another_way_to_split_is_refused() -> None:
    with pytest.raises(OptionError, match="by patient or by film"):
        split_cohort(singles(9, "A", "B"), by="hospital")  # type: ignore[arg-type]


class TestKeepTest:
    @staticmethod
    def with_origin(cohort: Cohort, test: set[str]) -> Cohort:
        return cohort.with_column("origin", ["test" if name in test else "train" for name in cohort.ids])

    def test_the_test_films_of_the_source_are_the_test_split(self) -> None:
        cohort = self.with_origin(singles(40, "A", "B"), {"A3", "A5", "B7"})
        split = split_cohort(cohort, keep_test=True)
        assert split.subset("test").ids == ["A3", "A5", "B7"]
        assert shares(split)["validation"] == pytest.approx(0.15, abs=0.02)

    def test_other_films_of_their_patients_are_dropped_and_noted(self) -> None:
        twins = tuple(Radiograph(f"A3-{n}", "A", patient="A3", origin="train") for n in (1, 2))
        cohort = self.with_origin(singles(40, "A", "B"), {"A3", "B7"})
        split = split_cohort(Cohort((*cohort.radiographs, *twins)), keep_test=True)
        assert {"A3-1", "A3-2"}.isdisjoint(split.ids)
        assert leaked_patients(split) == set()
        assert split.history[-1].reasons() == {"patient is in the kept test split": 2}

    def test_without_test_films_there_is_nothing_to_keep(self) -> None:
        with pytest.raises(OptionError, match="without the origin test"):
            split_cohort(singles(9, "A", "B"), keep_test=True)

    def test_a_class_that_the_kept_test_lacks_is_refused(self) -> None:
        with pytest.raises(LabelError, match="class B with too few patients for test"):
            split_cohort(self.with_origin(singles(9, "A", "B"), {"A3"}), keep_test=True)


def test_leaks_are_seen_and_unknown_patients_are_none() -> None:
    films = (film("1", "train", patient="p"), film("2", "test", patient="p"), film("3", "train"),
             film("4", "test"))
    assert leaked_patients(Cohort(films)) == {"p"}


@pytest.fixture(scope="module")
def real() -> Cohort:
    """The real names of the public train split, without their pixels."""
    if not REAL.is_file():
        pytest.skip("the real films are not here")
    with zipfile.ZipFile(REAL) as archive:
        names = [name for name in archive.namelist() if re.search(r"\.jpe?g$", name)]
    return Cohort(tuple(_real_film(name) for name in names))


def _real_film(name: str) -> Radiograph:
    label = Path(name).parent.name
    patient = read_patient(name, label)
    return Radiograph(Path(name).stem, label, patient=patient.key, subtype=patient.subtype)


def test_every_real_name_tells_its_patient(real: Cohort) -> None:
    assert "" not in real.patients


@pytest.mark.parametrize("seed", [0, 42])
def test_real_films_are_shared_out_within_one_percent_and_no_patient_leaks(real: Cohort, seed: int) -> None:
    split = split_cohort(real, seed=seed)
    assert leaked_patients(split) == set()
    kinds = {(film.label, film.subtype) for film in split}
    assert len(kinds) == 3
    for kind in kinds:
        own = Cohort(tuple(film for film in split if (film.label, film.subtype) == kind))
        assert shares(own) == pytest.approx({"test": 0.30, "validation": 0.105, "train": 0.595}, abs=0.01)


def test_splitting_real_films_one_by_one_puts_a_third_or_more_of_validation_beside_its_patient(
        real: Cohort) -> None:
    split = split_cohort(real, by="film")
    learnt_from = set(split.subset("train").patients)
    validated = split.subset("validation").patients
    beside = sum(patient in learnt_from for patient in validated) / len(validated)
    assert 0.3 < beside < 0.5
    assert len(leaked_patients(split)) > 100


@pytest.mark.parametrize("spellings", [("{}", "{:04}"), ("P{}", "p{}"), ("P {}", "P-{:03}"), ("{}", "{}.0")])
def test_a_patient_in_two_spellings_is_on_one_side(spellings: tuple[str, str]) -> None:
    films = [Radiograph(f"{n}-{view}", ("NORMAL", "PNEUMONIA")[n % 2], patient=spelling.format(n))
             for n in range(1, 41) for view, spelling in enumerate(spellings)]
    sides: dict[str, set[str]] = {}
    for film in split_cohort(Cohort(tuple(films))):
        sides.setdefault(film.id.partition("-")[0], set()).add(film.split)
    assert all(len(splits) == 1 for splits in sides.values())


def test_a_leak_is_seen_through_another_spelling() -> None:
    films = (Radiograph("a", "N", patient="7", split="train"),
             Radiograph("b", "N", patient="007", split="test"))
    assert leaked_patients(Cohort(films)) == {"7"}


def cohort_of(films_per_patient: dict[str, list[int]]) -> Cohort:
    """Class -> number of films of each of its patients."""
    return Cohort(tuple(
        Radiograph(f"{label}-{patient}-{film}", label, patient=f"{label}-{patient}")
        for label, counts in films_per_patient.items()
        for patient, count in enumerate(counts) for film in range(count)))


@pytest.fixture
def uneven() -> Cohort:
    sizes = np.random.default_rng(3).integers(1, 9, size=60).tolist()
    return cohort_of({"NORMAL": sizes[:20], "PNEUMONIA": sizes[20:]})


def test_each_class_has_exactly_as_many_films_as_asked(uneven: Cohort) -> None:
    assert Counter(take_per_class(uneven, 37, seed=0).labels) == {"NORMAL": 37, "PNEUMONIA": 37}


def test_a_class_with_fewer_films_keeps_them_all() -> None:
    cohort = cohort_of({"NORMAL": [2, 2], "PNEUMONIA": [5] * 10})
    assert Counter(take_per_class(cohort, 20, seed=0).labels) == {"NORMAL": 4, "PNEUMONIA": 20}


@pytest.mark.parametrize("seed", range(5))
def test_at_most_one_patient_of_a_class_is_cut(uneven: Cohort, seed: int) -> None:
    whole, taken = Counter(uneven.patients), take_per_class(uneven, 37, seed=seed)
    cut = [patient for patient, films in Counter(taken.patients).items() if films < whole[patient]]
    assert len([patient for patient in cut if patient.startswith("NORMAL")]) <= 1
    assert len([patient for patient in cut if patient.startswith("PNEUMONIA")]) <= 1


def test_the_order_of_the_rows_changes_neither_choice_nor_is_changed(uneven: Cohort) -> None:
    shuffled = Cohort(tuple(np.random.default_rng(1).permutation(np.array(uneven.radiographs, dtype=object))))
    straight, crossed = take_per_class(uneven, 30, seed=7), take_per_class(shuffled, 30, seed=7)
    assert set(straight.ids) == set(crossed.ids)
    assert straight.ids == [name for name in uneven.ids if name in set(straight.ids)]
    assert crossed.ids == [name for name in shuffled.ids if name in set(straight.ids)]


def test_another_seed_chooses_other_patients(uneven: Cohort) -> None:
    assert set(take_per_class(uneven, 20, seed=0).ids) != set(take_per_class(uneven, 20, seed=1).ids)


def test_films_without_patient_are_chosen_one_by_one() -> None:
    cohort = Cohort(tuple(Radiograph(f"{label}-{n}", label) for label in ("A", "B") for n in range(50)))
    taken = take_per_class(cohort, 10, seed=0)
    assert Counter(taken.labels) == {"A": 10, "B": 10}
    assert taken.ids[:10] != cohort.ids[:10]


def test_the_history_names_what_was_left_out(uneven: Cohort) -> None:
    step = take_per_class(uneven, 10, seed=0).history[-1]
    assert (step.stage, step.kept) == ("chosen per class", 20)
    assert step.reasons() == {"beyond --per-class 10": len(uneven) - 20}


def test_no_film_at_all_is_refused(uneven: Cohort) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        take_per_class(uneven, 0, seed=0)


def test_weights_are_those_of_scikit_learn() -> None:
    labels = ["NORMAL"] * 1341 + ["PNEUMONIA"] * 3875
    weights = class_weights(labels)
    assert weights == pytest.approx({"NORMAL": 5216 / (2 * 1341), "PNEUMONIA": 5216 / (2 * 3875)})
    ours = [weights[label] for label in labels]
    np.testing.assert_allclose(ours, compute_sample_weight("balanced", labels))
