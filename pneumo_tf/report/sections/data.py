"""Where the films come from, and how they were split."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pneumo_tf.cohort import Radiograph
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import RunFolder

SPLITS = ("train", "validation", "test")
_LISTED_FILES = 300


def flow(run: RunFolder, words: Language) -> dict[str, Any]:
    """What each step of the preparation kept and dropped, with reasons."""
    return {"flow": [_step(step, words) for step in run.facts.get("flow") or []]}


def split(run: RunFolder, words: Language) -> dict[str, Any]:
    """Films and patients per class and split, with their sums, and how they were split."""
    films = [film for film in run.cohort if film.split]
    rows = []
    for label in [*run.classes, None]:
        mine = [film for film in films if label in (None, film.label)]
        cells = [_cell([film for film in mine if side in (None, film.split)], words)
                 for side in (*SPLITS, None)]
        rows.append({"name": label or words.say("split.total"), "cells": cells, "is_total": label is None})
    return {"splits": rows, "split_facts": [
        (words.say("split.by"), words.named("split.by", str(run.facts.get("split_by")))),
        (words.say("split.seed"), str(run.facts.get("seed"))),
        (words.say("split.hash"), str(run.facts.get("split_sha256") or words.say("page.unknown")))]}


def _step(step: dict[str, Any], words: Language) -> dict[str, Any]:
    dropped, noted = ([(file["file"], words.named("reason", file["reason"])) for file in step.get(kind) or []]
                      for kind in ("dropped", "noted"))
    files = [*dropped, *noted]
    reasons = Counter(reason for _, reason in files).most_common()
    return {"name": words.named("stage", step["stage"]),
            "kept": words.say("flow.kept", films=words.count(step["kept"], "film")),
            "dropped": words.say("flow.dropped", files=words.count(len(dropped), "file")) if dropped else "",
            "reasons": [(reason, words.number(number)) for reason, number in reasons],
            "files": files[:_LISTED_FILES],
            "more": words.say("flow.more", files=words.count(len(files) - _LISTED_FILES, "file"))
            if len(files) > _LISTED_FILES else ""}


def _cell(films: list[Radiograph], words: Language) -> str:
    patients = [film.patient for film in films]
    known = "?" if films and not all(patients) else words.number(len(set(patients)))
    return words.say("split.cell", films=words.number(len(films)), patients=known)


FLOW = Section("flow", flow, "films", 10, answers=("source", "eligibility", "missing"))
SPLIT = Section("split", split, "films", 20, answers=("characteristics", "partitions"))
