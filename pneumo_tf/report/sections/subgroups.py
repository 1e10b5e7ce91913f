"""Whether the network is as good for one kind of film as for another, as tables."""

from __future__ import annotations

from functools import partial
from typing import Any

from pneumo_tf.evaluation.shortcuts import FRAMING_FACTS
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Cell, Language
from pneumo_tf.runs.folder import RunFolder

_FEW = 10
_DECIMALS = dict.fromkeys(("megapixels", *FRAMING_FACTS), 2)


def content(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """A table for each property that parts the films; None where nothing does."""
    parts = run.test.get("subgroups") or []
    if not parts:
        return None
    properties = list(dict.fromkeys(part["by"] for part in parts))
    return {"lead": words.say("subgroup.lead" if run.is_binary else "subgroup.lead.several"),
            "tables": [_table(name, [part for part in parts if part["by"] == name], run, words)
                       for name in properties]}


def _table(by: str, parts: list[dict[str, Any]], run: RunFolder, words: Language) -> dict[str, Any]:
    """The groups by one property of the films."""
    names = ("sensitivity", "specificity", "auc") if run.is_binary else ("accuracy",)
    own = [name for name in names if any(name in part["figures"] for part in parts)]
    rows = [{"name": _name(part, words),
             "cells": [_cell(name, part["figures"].get(name), words) for name in own],
             "films": words.say("split.cell", films=words.number(part["films"]),
                                patients=words.number(part["patients"]))} for part in parts]
    return {"title": words.say(f"subgroup.{by}"), "columns": [words.say(f"figure.{name}") for name in own],
            "rows": rows}


def _name(part: dict[str, Any], words: Language) -> str:
    """A subtype by its name, a third by its range."""
    if "from" not in part:
        return words.named("subgroup.subtype", part["name"])
    if part["by"] in ("colour", "jpeg"):
        return words.say(f"subgroup.{part['by']}.{int(part['from'])}")
    low, high = (words.number(part[end], _DECIMALS.get(part["by"], 0)) for end in ("from", "to"))
    return low if low == high else words.between(low, high)


def _cell(name: str, figure: dict[str, Any] | None, words: Language) -> Cell | None:
    """The value, and beside it the interval or on how few films it rests; None where the group has none."""
    if figure is None:
        return None
    value, beside = words.estimate(figure, partial(words.figure, name))
    if figure.get("of", _FEW) < _FEW:
        beside = words.say("subgroup.few", films=words.count(figure["of"], "film"))
    return value, beside


SUBGROUP = Section("subgroup", content, "trust", 40, answers=("characteristics", "groups"))
