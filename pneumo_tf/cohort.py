"""The one object that travels: an ordered table of radiographs that gains a column at every stage.

At each arrow of the pipeline it is a CSV, so it can be opened in a spreadsheet and resumed from.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import pandas as pd

from pneumo_tf.errors import LabelError
from pneumo_tf.language import translated, written
from pneumo_tf.names import clean
from pneumo_tf.storage import as_it_was, each_cell, from_csv, write_csv

LABEL_COLUMNS = ("id", "clase")
_MAKE = "Make it with get_labels.py, or save it as UTF-8 CSV with the header id,clase."


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One film and what is known of it; an empty string means unknown.

    Attributes:
        id: Unique name within the cohort, e.g. "PNEUMONIA-17".
        label: Class name, e.g. "PNEUMONIA".
        file: Path of the image, relative to the folder of films unless absolute.
        patient: Grouping key, e.g. "bacteria-12".
        subtype: Finer label, e.g. "bacteria", "virus".
        origin: Split that the source archive put it in: "train", "test" or "val".
        split: Split that this run put it in: "train", "validation" or "test".
        source: Path of the original file, relative to the source that was prepared.
        sha256: Hash of the original file's bytes, hexadecimal.
        facts: Facts of the original file (bytes, width, mode …), as text.
        file_sha256: Hash of the bytes of `file`, once they were read; never written.
    """

    id: str
    label: str
    file: str = ""
    patient: str = ""
    subtype: str = ""
    origin: str = ""
    split: str = ""
    source: str = ""
    sha256: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    file_sha256: str = field(default="", compare=False)


_FIELDS = [f.name for f in fields(Radiograph) if f.name not in ("id", "label", "facts", "file_sha256")]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file that was left out, or noted, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """What one stage did to the cohort: how many films it kept, which it dropped and why.

    Attributes:
        noted: What was kept, and is odd all the same: a film or a patient's name, and what about it.
    """

    stage: str
    kept: int
    dropped: tuple[Dropped, ...] = ()
    noted: tuple[Dropped, ...] = ()

    def reasons(self) -> dict[str, int]:
        """Number of dropped files by reason, most frequent first."""
        return dict(Counter(dropped.reason for dropped in self.dropped).most_common())

    def lines(self) -> list[str]:
        """The step in the language in use: what it kept, then each reason with its number and one example."""
        lines = [f"{translated(self.stage)}: {written(f'{self.kept:,}')}"]
        for what, files in (("dropped", self.dropped), ("noted", self.noted)):
            for reason, times in Counter(one.reason for one in files).most_common():
                example = next(one.file for one in files if one.reason == reason)
                lines.append(f"  {translated(what)} {written(f'{times:,}')}: {translated(reason)}, "
                             f"{translated('e.g.')} {example}")
        return lines


@dataclass(frozen=True)
class Cohort:
    """Ordered radiographs with unique ids, and the history of what was done to them."""

    radiographs: tuple[Radiograph, ...]
    history: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        repeated = [name for name, times in Counter(r.id for r in self.radiographs).items() if times > 1]
        if repeated:
            raise LabelError("Every id must be unique.",
                             received=f"{len(repeated)} repeated, e.g. {repeated[0]!r}",
                             remedy="Delete or rename the repeated rows.")

    def __len__(self) -> int:
        return len(self.radiographs)

    def __iter__(self) -> Iterator[Radiograph]:
        return iter(self.radiographs)

    @property
    def ids(self) -> list[str]:
        return [r.id for r in self.radiographs]

    @property
    def labels(self) -> list[str]:
        return [r.label for r in self.radiographs]

    @property
    def patients(self) -> list[str]:
        return [r.patient for r in self.radiographs]

    @property
    def classes(self) -> list[str]:
        """Class names in alphabetical order: the order of every model's outputs."""
        return sorted(set(self.labels))

    def keep(self, wanted: Callable[[Radiograph], bool], *, stage: str, reason: str) -> Cohort:
        """The radiographs that are wanted, with the others noted in the history."""
        kept = tuple(r for r in self.radiographs if wanted(r))
        dropped = tuple(Dropped(r.file or r.id, reason) for r in self.radiographs if not wanted(r))
        return Cohort(kept, (*self.history, Step(stage, len(kept), dropped)))

    def subset(self, split: str) -> Cohort:
        """The radiographs of one split, in order."""
        return Cohort(tuple(r for r in self.radiographs if r.split == split), self.history)

    def with_column(self, name: str, values: Iterable[str]) -> Cohort:
        """A copy in which the field `name` holds `values`, one per radiograph."""
        pairs = zip(self.radiographs, values, strict=True)
        return Cohort(tuple(_with_field(r, name, value) for r, value in pairs), self.history)

    def with_step(self, step: Step) -> Cohort:
        """A copy whose history ends with `step`."""
        return Cohort(self.radiographs, (*self.history, step))

    def to_frame(self) -> pd.DataFrame:
        """One row per radiograph: `id,clase` first, then the fields and facts that any row has."""
        columns = {"id": self.ids, "clase": self.labels,
                   **{name: [getattr(film, name) for film in self] for name in _FIELDS}}
        facts = dict.fromkeys(name for film in self for name in film.facts)
        columns |= {name: [film.facts.get(name, "") for film in self] for name in facts}
        return pd.DataFrame({name: values for name, values in columns.items()
                             if name in LABEL_COLUMNS or any(values)}, dtype=str)

    def write_csv(self, path: Path) -> None:
        """Write the table as UTF-8 CSV, atomically."""
        write_csv(path, self.to_frame())

    @classmethod
    def read_csv(cls, path: Path) -> Cohort:
        """Read a labels table made here or by anyone else.

        The first two columns are `id,clase`; other columns may follow in any order. A semicolon or a tab is
        accepted as separator, since spreadsheets write the former in Spanish-speaking countries, and so is
        their first line `sep=;`. Names are read in one spelling, as `names.clean` gives it.

        Raises:
            LabelError: Not UTF-8, wrong header, a blank id or class, repeated ids, no rows.
        """
        frame = _read_table(path)
        if frame.empty:
            raise LabelError("A labels table must have at least one row.", received=f"{path}, which is empty",
                             remedy="Make it with get_labels.py.")
        return cls(tuple(_radiographs(frame)))


def table_sha256(path: Path) -> str:
    """Hash of a labels table's bytes, hexadecimal.

    Raises:
        LabelError: No readable file.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as failure:
        raise _unreadable(path, failure) from failure


def _unreadable(path: Path, failure: OSError) -> LabelError:
    return LabelError("The labels table must be a readable file.", received=f"{path} ({failure.strerror})",
                      remedy=_MAKE)


def _with_field(radiograph: Radiograph, name: str, value: str) -> Radiograph:
    if name not in _FIELDS:
        raise KeyError(name)
    changes: dict[str, Any] = {name: value}
    return replace(radiograph, **changes)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        first = path.read_text(encoding="utf-8-sig").partition("\n")[0]
        told = re.fullmatch(r'"?sep=(.)"?[,;]*\s*', first, re.IGNORECASE)
        form: Any = {"sep": told[1] if told else max(",;\t", key=first.count), "dtype": str,
                     "keep_default_na": False, "encoding": "utf-8-sig", "index_col": False,
                     "skiprows": 1 if told else 0}
        with warnings.catch_warnings():
            # pandas only warns where the first row is too long, and cuts the surplus fields off
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, **form)
        # pandas gives the second of two columns another name; which one was meant, nobody knows.
        headings = pd.read_csv(path, header=None, nrows=1, **form).iloc[0].map(as_it_was)
    except UnicodeDecodeError as failure:
        raise LabelError("A labels table must be UTF-8 text.",
                         received=f"{path}, byte {failure.object[failure.start]:#04x} at {failure.start}",
                         remedy=_MAKE) from failure
    except pd.errors.EmptyDataError as failure:
        raise LabelError("A labels table must have a header.", received=f"{path}, an empty file",
                         remedy=_MAKE) from failure
    except (pd.errors.ParserError, pd.errors.ParserWarning) as failure:
        raise LabelError("Every row of a labels table must have as many fields as the header.",
                         received=f"{path}: {str(failure).strip().rstrip('.')}", remedy=_MAKE) from failure
    except OSError as failure:
        raise _unreadable(path, failure) from failure
    if tuple(frame.columns[:2]) != LABEL_COLUMNS:
        raise LabelError("The first two columns of a labels table must be id,clase.",
                         received=f"{path} with {','.join(map(str, frame.columns[:4]))}", remedy=_MAKE)
    for heading in headings[headings.duplicated() & (headings != "")]:
        raise LabelError("The columns of a labels table must have different names.",
                         received=f"{path} with two columns {heading}",
                         remedy="Rename or delete one of them.")
    stripped = frame.fillna("").apply(lambda column: each_cell(column, str.strip))
    return _without_blanks(from_csv(stripped), path, first_line=3 if told else 2)


def _without_blanks(frame: pd.DataFrame, path: Path, *, first_line: int) -> pd.DataFrame:
    for column, meaning in zip(LABEL_COLUMNS, ("id", "class"), strict=True):
        blank = frame.index[frame[column] == ""]
        if len(blank):
            raise LabelError(f"Every row of a labels table must have a {meaning}.",
                             received=f"{path}, line {blank[0] + first_line} with a blank {column}",
                             remedy="Fill it in or delete the row.")
    return frame


def _radiographs(frame: pd.DataFrame) -> Iterator[Radiograph]:
    # A path stays as it is on the disk.
    columns = {str(name): list(frame[name] if name == "file" else each_cell(frame[name], clean))
               for name in frame}
    ids, labels = (columns.pop(name) for name in LABEL_COLUMNS)
    known = {name: columns.pop(name) for name in _FIELDS if name in columns}
    rows = zip(*known.values(), strict=True) if known else repeat(())
    facts = zip(*columns.values(), strict=True) if columns else repeat(())
    for film, label, fields_of, facts_of in zip(ids, labels, rows, facts, strict=False):
        yield Radiograph(film, label, **dict(zip(known, fields_of, strict=True)),
                         facts={name: fact for name, fact in zip(columns, facts_of, strict=True) if fact})
