"""The order in which films that came in are to be read, and why.

An order, no faster care: it says which film to open first, and what the run thinks of it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pneumo_tf.names import fold, is_healthy
from pneumo_tf.reading.answer import Answer
from pneumo_tf.storage import harmless

_BACTERIAL = "bacter"  # as in bacteria, bacterial, bacteriana: treated first, because it is treatable


class Group(StrEnum):
    """What is to be done with a film. The order of the worklist is that of the groups."""

    PERSON = "person"  # the run can't judge it, so nobody knows how urgent it is
    ILL = "ill"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A film that waits to be read.

    Attributes:
        answer: What the run says of it.
        file: Where it lies.
        arrived: When it came in.
        group: What is to be done with it.
    """

    answer: Answer
    file: Path
    arrived: datetime
    group: Group


def waiting(answer: Answer, file: Path, arrived: datetime, *, positive: str) -> Waiting:
    """A film in its group: refused, called ill, or neither.

    Args:
        positive: The class that the run looks for; of several classes each that isn't healthy counts as ill.
    """
    several = len(answer.probabilities) > 2
    is_ill = not is_healthy(answer.call) if several else answer.call == positive
    return Waiting(answer, file, arrived,
                   Group.PERSON if answer.refusal else Group.ILL if is_ill else Group.OTHER)


def ranked(films: Iterable[Waiting]) -> list[Waiting]:
    """The films as they should be read.

    First what the run refuses, the longest waiting first: a person must look, and it may be anything. Then
    what it calls ill, bacterial before other kinds, then by falling probability; then the rest, by falling
    probability of the ill. Of equals the longest waiting comes first.
    """
    groups = list(Group)

    def key(film: Waiting) -> tuple[int, bool, float, datetime, str]:
        answer = film.answer
        bacterial = film.group is Group.ILL and _BACTERIAL in fold(answer.call)
        return (groups.index(film.group), not bacterial, -urgency(film), film.arrived, answer.id)

    return sorted(films, key=key)


def urgency(film: Waiting) -> float:
    """The probability that orders a film within its group: of its call where that is an illness, of being ill
    otherwise; 0 for a film that is refused."""
    probability = film.answer.probability
    if probability is None:
        return 0.0
    if film.group is Group.OTHER and len(film.answer.probabilities) > 2:
        return 1 - probability
    return probability


def worklist_csv(films: Sequence[Waiting]) -> str:
    """The ranked films as CSV: rank, group, waiting since (ISO 8601), then the columns of an answer.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    columns = [field.name for field in fields(Answer) if field.name not in ("ms", "probabilities")]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["rank", "group", "since", *columns])
    for rank, film in enumerate(films, start=1):
        cells = ["" if (value := getattr(film.answer, name)) is None else value for name in columns]
        writer.writerow([rank, film.group.value, film.arrived.isoformat(timespec="seconds"),
                         *map(harmless, cells)])
    return file.getvalue()
