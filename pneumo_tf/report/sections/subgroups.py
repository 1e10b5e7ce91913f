"""Whether the network is as good for one kind of film as for another, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import FigureRow, Language, figure_row
from pneumo_tf.runs.folder import RunFolder

FEW = 10
_DECIMALS = {"megapixels": 2, "aspect": 2}


@dataclass(frozen=True)
class Cell:
    """One figure of a group: a FigureRow, or None where the group can't have it; `few` says on how little."""

    figure: FigureRow | None
    few: str = ""


@dataclass(frozen=True)
class GroupRow:
    """One group of films."""

    name: str
    films: str
    cells: list[Cell]


@dataclass(frozen=True)
class Groups:
    """The groups by one property of the films."""

    title: str
    columns: list[str]
    rows: list[GroupRow]


def content(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """A table for each property that parts the films; None where nothing does."""
    parts = run.test.get("subgroups") or []
    if not parts:
        return None
    properties = list(dict.fromkeys(part["by"] for part in parts))
    return {"lead": words.say("subgroup.lead" if run.is_binary else "subgroup.lead.several"),
            "tables": [_groups(name, [part for part in parts if part["by"] == name], run, words)
                       for name in properties]}


def _groups(by: str, parts: list[dict[str, Any]], run: RunFolder, words: Language) -> Groups:
    names = ("sensitivity", "specificity", "auc") if run.is_binary else ("accuracy",)
    own = [name for name in names if any(name in part["figures"] for part in parts)]
    rows = [GroupRow(_name(part, words),
                     words.say("split.cell", films=words.number(part["films"]),
                               patients=words.number(part["patients"])),
                     [_cell(name, part["figures"].get(name), run, words) for name in own])
            for part in parts]
    return Groups(words.say(f"subgroup.{by}"), [words.say(f"figure.{name}") for name in own], rows)


def _name(part: dict[str, Any], words: Language) -> str:
    """A subtype by its name, a third by its range."""
    if "from" not in part:
        return words.named("subgroup.subtype", part["name"])
    if part["by"] in ("colour", "jpeg"):
        return words.say(f"subgroup.{part['by']}.{int(part['from'])}")
    low, high = (words.number(part[end], _DECIMALS.get(part["by"], 0)) for end in ("from", "to"))
    return low if low == high else words.between(low, high)


def _cell(name: str, figure: dict[str, Any] | None, run: RunFolder, words: Language) -> Cell:
    if figure is None:
        return Cell(None)
    few = figure.get("of", FEW) < FEW
    return Cell(figure_row(name, figure, words, positive=run.positive),
                words.say("subgroup.few", films=words.count(figure["of"], "film")) if few else "")


SUBGROUP = Section("subgroup", content, "trust", 40, answers=("characteristics", "groups"))
