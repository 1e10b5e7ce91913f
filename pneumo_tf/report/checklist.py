"""What three guidelines ask of a study like this one, and where the report answers it.

CLAIM 2024 (Tejani et al., Radiol Artif Intell 2024;6:e240300), TRIPOD+AI (Collins et al., BMJ
2024;385:e078378) and STARD-AI (Sounderajah et al., Nat Med 2025;31:3283). Their numbers are cited; the words
are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pneumo_tf.report.language import Language

Rest = Literal["", "authors", "films", "elsewhere"]


@dataclass(frozen=True)
class Point:
    """One thing to report.

    Attributes:
        name: Key of its words.
        claim: Items of CLAIM 2024, separated by spaces; so for the other two.
        tripod: Items of TRIPOD+AI.
        stard: Items of STARD-AI.
        sections: Ids of the report's sections that answer it, as far as a run has them.
        rest: Who must say what they leave open: the study's authors, nobody from these films alone, or a test
            on films from elsewhere.
    """

    name: str
    claim: str
    tripod: str
    stard: str
    sections: tuple[str, ...] = ()
    rest: Rest = ""


@dataclass(frozen=True)
class Answer:
    """A point in words."""

    text: str
    numbers: str
    sections: tuple[str, ...]
    rest: str


POINTS: dict[str, tuple[Point, ...]] = {
    "purpose": (
        Point("title", "1 2", "1 2", "1 2", rest="authors"),
        Point("background", "3", "3a", "3", rest="authors"),
        Point("aim", "4 6", "4", "4", ("overview",), "authors"),
        Point("use", "41", "3b 27b", "15d 34", ("limit",), "authors"),
        Point("equity", "", "3c 14", "35", rest="films")),
    "data": (
        Point("design", "5", "", "5", rest="authors"),
        Point("source", "7", "5a", "11", ("flow", "cost"), "authors"),
        Point("setting", "", "5b 6a 6c", "8 9 10 27", rest="authors"),
        Point("eligibility", "8 10 35", "6b 20a", "7 24", ("flow",), "authors"),
        Point("acquisition", "13", "", "13", rest="authors"),
        Point("preparation", "9", "7 12b", "14", ("cost",)),
        Point("missing", "12", "11", "19 20", ("flow",)),
        Point("characteristics", "36", "20b", "25 26a 26b", ("split", "distribution", "subgroup"), "films"),
        Point("ethics", "11", "17", "6", rest="authors")),
    "labels": (
        Point("reference", "14 15 16 17", "8a 8b", "12 16a 16b 16c", ("doubt",), "authors"),
        Point("raters", "18", "", "", rest="authors"),
        Point("blinding", "", "8c 9c", "17a 17b", rest="authors")),
    "split": (
        Point("partitions", "19 20", "12a 21", "15b", ("split", "duplicates")),
        Point("size", "21", "10", "22", ("learning",), "authors"),
        Point("balance", "", "13", "", ("distribution", "cost")),
        Point("shift", "", "16 20c", "28", ("distribution",), "elsewhere")),
    "model": (
        Point("network", "22", "9a 9b 22", "15a", ("cost",)),
        Point("software", "23 24", "", "", ("cost",)),
        Point("training", "25 26 27", "12c", "", ("curve", "cost")),
        Point("threshold", "", "12g 15", "15c", ("point",)),
        Point("updating", "", "12f 24", "", ("calibration",))),
    "measures": (
        Point("metrics", "28 29 32", "12e", "18", ("result",)),
        Point("performance", "37 38", "23a", "30 31", ("result", "roc", "calibration", "benefit")),
        Point("robustness", "30", "", "21", ("shortcut", "robust", "tta", "repeat_splits")),
        Point("groups", "", "12d 23b", "23", ("subgroup",), "films"),
        Point("failures", "39", "", "", ("grid", "errors")),
        Point("explanation", "31", "", "", ("explain",)),
        Point("external", "33", "", "29", rest="elsewhere"),
        Point("harm", "", "", "32", rest="authors")),
    "around": (
        Point("limits", "40", "25 26", "33", ("overview", "limit"), "authors"),
        Point("practice", "", "27a 27c", "", rest="authors"),
        Point("registration", "34 42", "18c 18d", "36 37", rest="authors"),
        Point("availability", "43", "18e 18f", "40a 40b", ("cost",), "authors"),
        Point("involvement", "", "19", "", rest="authors"),
        Point("interests", "44", "18a 18b", "38 39", rest="authors"))}


def checklist(words: Language) -> dict[str, list[Answer]]:
    """The points by group, in words; which of their sections a report has is for its page to know."""
    return {group: [_answer(point, words) for point in points] for group, points in POINTS.items()}


def _answer(point: Point, words: Language) -> Answer:
    cited = [("CLAIM", point.claim), ("TRIPOD+AI", point.tripod), ("STARD-AI", point.stard)]
    numbers = "; ".join(f"{guideline} {', '.join(items.split())}" for guideline, items in cited if items)
    rest = words.say(f"checklist.rest.{point.rest}") if point.rest else ""
    return Answer(words.say(f"checklist.point.{point.name}"), numbers, point.sections, rest)
