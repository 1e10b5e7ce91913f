"""The order of the worklist: what can't be judged is never last, the ill come before the healthy."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.worklist import Group, Waiting, ranked, waiting, worklist_csv

NOON = datetime(2026, 11, 25, 12).astimezone()


def film(name: str, call: str = "", probability: float | None = None, *, hours: float = 0,
         several: tuple[float, ...] = ()) -> Waiting:
    answer = Answer(name, call, probability, refusal="" if call else "unreadable", probabilities=several)
    return waiting(answer, Path(name), NOON - timedelta(hours=hours), positive="PNEUMONIA")


def test_the_order_is_the_same_however_films_come_in() -> None:
    films = [film("a", "PNEUMONIA", 0.7), film("b", "PNEUMONIA", 0.9), film("c", "NORMAL", 0.2), film("d")]
    assert {tuple(one.answer.id for one in ranked(order)) for order in permutations(films)} \
        == {("d", "b", "a", "c")}


def test_a_refused_film_is_never_below_one_that_was_judged() -> None:
    films = ranked([film("refused"), film("ill", "PNEUMONIA", 1.0), film("well", "NORMAL", 0.01)])
    assert [one.group for one in films] == [Group.PERSON, Group.ILL, Group.OTHER]


def test_of_equals_the_longest_waiting_comes_first() -> None:
    films = ranked([film("late", "PNEUMONIA", 0.8), film("early", "PNEUMONIA", 0.8, hours=30)])
    assert [one.answer.id for one in films] == ["early", "late"]


def test_of_three_classes_the_bacterial_comes_first_and_the_least_surely_healthy_before_the_healthy() -> None:
    films = ranked([film("virus", "VIRUS", 0.99, several=(0.0, 0.01, 0.99)),
                    film("bacteria", "BACTERIA", 0.5, several=(0.5, 0.1, 0.4)),
                    film("healthy", "NORMAL", 0.95, several=(0.02, 0.95, 0.03)),
                    film("unsure", "NORMAL", 0.5, several=(0.25, 0.5, 0.25))])
    assert [one.answer.id for one in films] == ["bacteria", "virus", "unsure", "healthy"]
    assert [one.group for one in films] == [Group.ILL, Group.ILL, Group.OTHER, Group.OTHER]


@pytest.mark.parametrize("name", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\tx"])
def test_no_cell_is_a_formula(name: str) -> None:
    row = next(csv.DictReader(io.StringIO(worklist_csv([film(name, "NORMAL", 0.1)]))))
    assert row["id"] == f"'{name}"
    assert (row["rank"], row["group"], row["since"]) == ("1", "other", NOON.isoformat())
