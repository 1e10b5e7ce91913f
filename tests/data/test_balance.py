"""Classes are made equal by whole patients, in an order that only the seed decides."""

from collections import Counter

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.data.splits import class_weights, take_per_class


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
