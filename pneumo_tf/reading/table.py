"""Answers as a table, CSV or JSON Lines, that is written row by row and gone on with after an interruption.

A row is one line that ends in a newline, so whatever a kill has cut short is told from what is whole.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from pneumo_tf.errors import OptionError, StorageError
from pneumo_tf.reading.answer import UNLIKE, Answer
from pneumo_tf.storage import guarded, harmless, locked, make_folder, read_json, write_json

COLUMNS = ("id", "call", "probability", "low", "high", "score", "threshold", "refusal", "reason", "ms")
JSON_LINES = (".jsonl", ".ndjson", ".json")


def cells(answer: Answer, classes: Sequence[str]) -> dict[str, Any]:
    """The row of an answer; of more than two classes with the probability of each."""
    row = {name: _short(getattr(answer, name)) for name in COLUMNS}
    row["reason"] = " ".join(answer.reason.split())
    if len(classes) > 2:
        row |= dict(zip((f"p_{name}" for name in classes),
                        map(_short, answer.probabilities or [None] * len(classes)), strict=True))
    return row


@dataclass
class Table:
    """Where answers go.

    Attributes:
        classes: Of the run.
        stream: Open for text.
        is_json: JSON Lines, else CSV.
        before: Ids of the rows that were there, as they are written.
        unseen: Those of them that were refused before the network saw them.
        answered: How many films were answered, those before among them.
        refused: How many weren't, by their code.
        notes: What is said of the whole in the file beside it, ready for JSON.
    """

    classes: Sequence[str]
    stream: TextIO
    is_json: bool = False
    before: frozenset[str] = frozenset()
    unseen: frozenset[str] = frozenset()
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    notes: dict[str, Any] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether a film of that id has its row."""
        return self._written(name) in self.before

    def was_seen(self, name: str) -> bool:
        """Whether it has its row, and the network saw it for that."""
        return self.has(name) and self._written(name) not in self.unseen

    def _written(self, name: str) -> str:
        return name if self.is_json else harmless(name)

    def write(self, answer: Answer) -> None:
        """Add a row, which is then in the hands of the operating system."""
        self.stream.write(self._line(cells(answer, self.classes)))
        self.stream.flush()
        self.count(answer.refusal)

    def write_header(self) -> None:
        """Name the columns of a CSV."""
        if not self.is_json:
            self.stream.write(_csv_line(map(harmless, cells(Answer(""), self.classes))))
            self.stream.flush()

    def count(self, refusal: str) -> None:
        """Count a row by the code of its refusal."""
        if refusal:
            self.refused[refusal] += 1
        else:
            self.answered += 1

    def _line(self, row: Mapping[str, Any]) -> str:
        if self.is_json:
            return json.dumps(row, ensure_ascii=False) + "\n"
        return _csv_line([harmless(value) for value in row.values()])


@contextmanager
def table_at(path: Path, *, terms: Mapping[str, Any]) -> Iterator[Table]:
    """Begin a table, or go on with the one that the same command began.

    Beside it `<name>.json` says by what it was made, and at the end what it holds.

    Args:
        terms: Whatever its rows depend on, ready for JSON; `classes` among it.

    Raises:
        OptionError: A table of other terms, or a file of another kind, lies there.
        StorageError: It can't be written, or another command is writing it.
    """
    make_folder(path.parent)
    with locked(path.with_name(f".{path.name}.lock")) as free:
        if not free:
            raise StorageError("A table is written by one command at a time.", received=str(path),
                               remedy="Wait for the other one, or name another file with --output.")
        beside = path.with_name(f"{path.name}.json")
        _check_terms(path, beside, terms)
        rows = list(_whole_rows(path))
        write_json(beside, dict(terms))
        with guarded(path), path.open("a", encoding="utf-8", newline="") as stream:
            table = Table(terms["classes"], stream, _is_json(path), frozenset(name for name, _ in rows),
                          frozenset(name for name, refusal in rows if refusal not in ("", UNLIKE)))
            for _, refusal in rows:
                table.count(refusal)
            if not stream.tell():
                table.write_header()
            yield table
        write_json(beside, {**terms, "answered": table.answered, "refused": dict(table.refused),
                            **table.notes})


def table_on_screen(classes: Sequence[str], *, is_json: bool) -> Table:
    """A table on standard output, which can't be gone on with."""
    table = Table(classes, sys.stdout, is_json)
    table.write_header()
    return table


def _check_terms(path: Path, beside: Path, terms: Mapping[str, Any]) -> None:
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        before = read_json(beside)
        other = [name for name, value in terms.items() if before.get(name) != json.loads(json.dumps(value))]
    except (OSError, ValueError, AttributeError):
        other = ["everything"]
    if other:
        raise OptionError("A table is gone on with by the command that began it.",
                          received=f"{path}, which differs in {', '.join(other)}",
                          remedy="Name another file with --output, or move that one.")


def _whole_rows(path: Path) -> Iterator[tuple[str, str]]:
    """Id and refusal of every row; a row that was cut short is taken out of the file first."""
    if not path.is_file():
        return
    with guarded(path):
        with path.open("rb+") as file:
            file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))
        try:
            with path.open(encoding="utf-8", newline="\n") as text:
                rows = map(json.loads, text) if _is_json(path) else csv.DictReader(text)
                yield from ((str(row["id"]), str(row["refusal"])) for row in rows)
        except (ValueError, KeyError, TypeError, RecursionError, csv.Error) as failure:
            raise OptionError("A table is gone on with as it was written.", received=f"{path} ({failure})",
                              remedy="Name another file with --output, or move that one.") from failure


def _is_json(path: Path) -> bool:
    return path.suffix.casefold() in JSON_LINES


def _csv_line(values: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _short(value: Any) -> Any:
    """A number with no more digits than its 32 bits hold."""
    return float(f"{value:.9g}") if isinstance(value, float) else value
