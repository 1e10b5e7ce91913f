"""Splits by patient: no child's films on two sides, each class in its share; and classes made equal."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.data.patients import folded, owner, with_one_key_each
from pneumo_tf.errors import LabelError, OptionError

SPLITS = ("train", "validation", "test")
KEPT_STAGE, KEPT_REASON = "kept test split", "patient is in the kept test split"
CHOSEN_STAGE = "chosen per class"
By = Literal["patient", "film"]


@dataclass(frozen=True)
class _Group:
    """Films that stay together: those of one patient, or a single one."""

    key: str
    kinds: tuple[tuple[str, str], ...]
    size: int

    @property
    def labels(self) -> set[str]:
        return {label for label, _ in self.kinds}


def split_cohort(cohort: Cohort, *, test_fraction: float = 0.30, validation_fraction: float = 0.15,
                 by: By = "patient", seed: int = 42, keep_test: bool = False,
                 positive: str = "") -> Cohort:
    """Assign each film to train, validation or test.

    Patients stay whole. Within each (label, subtype) they are shuffled and assigned so that the fraction
    of *films* comes as near as whole patients allow; then every class is made sure of a patient in every
    split. A patient with films of several kinds is a stratum with its like. The result depends on the
    ids, the patients and the seed, not on the order of the rows; nor on what the classes are called, where
    the positive one is told.

    Args:
        test_fraction: Fraction of all films that is tested on, in (0, 1); not used with `keep_test`.
        validation_fraction: Fraction of the *rest* that is validated on, in (0, 1).
        by: "patient", or "film" to measure what a split that ignores patients pretends. A film whose
            patient is unknown stands for itself.
        seed: The same seed gives the same splits.
        keep_test: Test on the films of origin "test"; their patients' other films are dropped.
        positive: The class that is looked for, which is split last.

    Raises:
        OptionError: A fraction outside (0, 1), another `by`, or no film to keep as test.
        LabelError: A class with too few patients for every split.
    """
    _check_options(test_fraction, validation_fraction, by)
    cohort = with_one_key_each(cohort)
    usable = _without_kept_patients(cohort, by) if keep_test else cohort
    kept = {film.id for film in usable if keep_test and film.origin == "test"}
    groups = _groups((film for film in usable if film.id not in kept), by)
    labels = _in_turn(groups, positive)
    shares = {"validation": validation_fraction}
    if not keep_test:
        shares = {"test": test_fraction, **shares}
    split_of = _assign(groups, labels, shares, np.random.default_rng(seed))
    _fill_gaps(groups, labels, split_of, ["train", *shares])
    values = ("test" if film.id in kept else split_of[_key(film, by)] for film in usable)
    return _with_every_class(usable.with_column("split", values))


def _check_options(test_fraction: float, validation_fraction: float, by: str) -> None:
    for name, value in (("test", test_fraction), ("validation", validation_fraction)):
        if not 0 < value < 1:
            raise OptionError(f"The {name} fraction must lie between 0 and 1, neither included.",
                              received=str(value), remedy="Give a fraction such as 0.15.")
    if by not in ("patient", "film"):
        raise OptionError("Films are split by patient or by film.", received=by,
                          remedy="Name one of the two.")


def _without_kept_patients(cohort: Cohort, by: By) -> Cohort:
    tested = {_key(film, by) for film in cohort if film.origin == "test"}
    if not tested:
        raise OptionError("Only a test split that the source came with can be kept.",
                          received="films without the origin test",
                          remedy="Prepare an archive with train and test folders, or let the films be split.")
    return cohort.keep(lambda film: film.origin == "test" or _key(film, by) not in tested,
                       stage=KEPT_STAGE, reason=KEPT_REASON)


def _key(film: Radiograph, by: By) -> str:
    return owner(film) if by == "patient" else film.id


def _groups(films: Iterable[Radiograph], by: By) -> list[_Group]:
    members: dict[str, list[Radiograph]] = {}
    for film in films:
        members.setdefault(_key(film, by), []).append(film)
    return [_Group(key, tuple(sorted({(f.label, f.subtype) for f in own})), len(own))
            for key, own in sorted(members.items())]


def _in_turn(groups: list[_Group], positive: str) -> list[str]:
    """The classes in the order in which they are split: by name, or by role and members."""
    labels = sorted({label for group in groups for label in group.labels})
    if positive:
        labels.sort(key=lambda label: (label == positive, [group.key for group in groups
                                                           if label in group.labels]))
    return labels


def _assign(groups: list[_Group], labels: list[str], shares: dict[str, float],
            rng: np.random.Generator) -> dict[str, str]:
    """Group key -> split: within each stratum every share is taken from what the one before has left."""
    split_of = {group.key: "train" for group in groups}
    for kinds in sorted({group.kinds for group in groups},
                        key=lambda kinds: sorted((labels.index(label), kind) for label, kind in kinds)):
        rest = [group for group in groups if group.kinds == kinds]
        rest = [rest[index] for index in rng.permutation(len(rest))]
        for split, share in shares.items():
            taken = _nearest(rest, share)
            split_of.update(dict.fromkeys(taken, split))
            rest = [group for group in rest if group.key not in taken]
    return split_of


def _nearest(groups: list[_Group], share: float) -> set[str]:
    """Keys of groups, taken in order, whose films come near to a share of all of them."""
    room = share * sum(group.size for group in groups)
    taken = set()
    for group in groups:
        if group.size <= room:
            taken.add(group.key)
            room -= group.size
    # One more patient may overshoot by less than what is missing.
    left = [group for group in groups if group.key not in taken and group.size < 2 * room]
    if left:
        taken.add(min(left, key=lambda group: abs(group.size - room)).key)
    return taken


def _fill_gaps(groups: list[_Group], labels: list[str], split_of: dict[str, str], splits: list[str]) -> None:
    """Move the smallest patient that can be spared into every split that lacks a class."""
    for label in labels:
        for split in splits:
            there = Counter((own, split_of[group.key]) for group in groups for own in group.labels)
            if there[label, split]:
                continue
            spare = [group for group in groups if label in group.labels
                     and all(there[own, split_of[group.key]] > 1 for own in group.labels)]
            if spare:
                split_of[min(spare, key=lambda group: group.size).key] = split


def _with_every_class(cohort: Cohort) -> Cohort:
    there = {(film.label, film.split) for film in cohort}
    for label in cohort.classes:
        if lacking := [split for split in SPLITS if (label, split) not in there]:
            raise LabelError("Every class must have films in train, validation and test.",
                             received=f"class {label} with too few patients for {' and '.join(lacking)}",
                             remedy="Add films of other patients to this class.")
    return cohort


def leaked_patients(cohort: Cohort) -> set[str]:
    """Keys, as `patients.folded` gives them, of the patients who have films in more than one split."""
    pairs = {(folded(film.patient), film.split) for film in cohort if film.patient and film.split}
    return {patient for patient, times in Counter(patient for patient, _ in pairs).items() if times > 1}


def split_hash(cohort: Cohort) -> str:
    """SHA-256, hexadecimal, over every id with its split, sorted: equal for equal splits only."""
    lines = sorted(f"{film.id}\t{film.split}\n" for film in cohort)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def take_per_class(cohort: Cohort, count: int, *, seed: int) -> Cohort:
    """`count` films of every class, or all of a class that has fewer.

    Whole patients are taken in a seeded order, so that no film's chances hang on the order of the rows;
    the last patient is cut. A film whose patient is unknown stands for itself. The films keep their order.

    Raises:
        ValueError: `count` below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1. Received: {count}")
    chosen = {film for label in cohort.classes for film in _of_class(cohort, label, seed)[:count]}
    return cohort.keep(lambda film: film.id in chosen, stage=CHOSEN_STAGE,
                       reason=f"beyond --per-class {count}")


def _of_class(cohort: Cohort, label: str, seed: int) -> list[str]:
    """Ids of one class, patient after patient in a seeded order."""
    patients: dict[str, list[str]] = {}
    for film in cohort:
        if film.label == label:
            patients.setdefault(owner(film), []).append(film.id)
    owners = sorted(patients)
    order = np.random.default_rng(seed).permutation(len(owners))
    return [film for index in order for film in sorted(patients[owners[index]])]


def class_weights(labels: Sequence[str]) -> dict[str, float]:
    """Weight of each class, n / (K · n_k): every class counts alike, and the mean over films is 1.

    Args:
        labels: Class name of each film, n of them in K classes.
    """
    from sklearn.utils.class_weight import compute_class_weight  # slow to import

    classes = sorted(set(labels))
    weights = compute_class_weight("balanced", classes=np.array(classes), y=np.array(labels))
    return dict(zip(classes, map(float, weights), strict=True))
