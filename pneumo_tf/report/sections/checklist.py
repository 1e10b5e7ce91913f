"""What three guidelines ask of a study like this one; where the report answers it, its sections declare.

CLAIM 2024 (Tejani et al., Radiol Artif Intell 2024;6:e240300), TRIPOD+AI (Collins et al., BMJ
2024;385:e078378) and STARD-AI (Sounderajah et al., Nat Med 2025;31:3283). Their numbers are cited; the words
are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pneumo_tf.report.rendering import Section, sections_of
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import RunFolder

Rest = Literal["", "authors", "films", "elsewhere"]


@dataclass(frozen=True)
class Point:
    """One thing to report.

    Attributes:
        name: Key of its words.
        claim: Items of CLAIM 2024, separated by spaces; so for the other two.
        tripod: Items of TRIPOD+AI.
        stard: Items of STARD-AI.
        rest: Who must say what they leave open: the study's authors, nobody from these films alone, or a test
            on films from elsewhere.
    """

    name: str
    claim: str
    tripod: str
    stard: str
    rest: Rest = ""


POINTS: dict[str, tuple[Point, ...]] = {
    "purpose": (
        Point("title", "1 2", "1 2", "1 2", "authors"),
        Point("background", "3", "3a", "3", "authors"),
        Point("aim", "4 6", "4", "4", "authors"),
        Point("use", "41", "3b 27b", "15d 34", "authors"),
        Point("equity", "", "3c 14", "35", "films")),
    "data": (
        Point("design", "5", "", "5", "authors"),
        Point("source", "7", "5a", "11", "authors"),
        Point("setting", "", "5b 6a 6c", "8 9 10 27", "authors"),
        Point("eligibility", "8 10 35", "6b 20a", "7 24", "authors"),
        Point("acquisition", "13", "", "13", "authors"),
        Point("preparation", "9", "7 12b", "14"),
        Point("missing", "12", "11", "19 20"),
        Point("characteristics", "36", "20b", "25 26a 26b", "films"),
        Point("ethics", "11", "17", "6", "authors")),
    "labels": (
        Point("reference", "14 15 16 17", "8a 8b", "12 16a 16b 16c", "authors"),
        Point("raters", "18", "", "", "authors"),
        Point("blinding", "", "8c 9c", "17a 17b", "authors")),
    "split": (
        Point("partitions", "19 20", "12a 21", "15b"),
        Point("size", "21", "10", "22", "authors"),
        Point("balance", "", "13", ""),
        Point("shift", "", "16 20c", "28", "elsewhere")),
    "model": (
        Point("network", "22", "9a 9b 22", "15a"),
        Point("software", "23 24", "", ""),
        Point("training", "25 26 27", "12c", ""),
        Point("threshold", "", "12g 15", "15c"),
        Point("updating", "", "12f 24", "")),
    "measures": (
        Point("metrics", "28 29 32", "12e", "18"),
        Point("performance", "37 38", "23a", "30 31"),
        Point("robustness", "30", "", "21"),
        Point("groups", "", "12d 23b", "23", "films"),
        Point("failures", "39", "", ""),
        Point("explanation", "31", "", ""),
        Point("external", "33", "", "29", "elsewhere"),
        Point("harm", "", "", "32", "authors")),
    "around": (
        Point("limits", "40", "25 26", "33", "authors"),
        Point("practice", "", "27a 27c", "", "authors"),
        Point("registration", "34 42", "18c 18d", "36 37", "authors"),
        Point("availability", "43", "18e 18f", "40a 40b", "authors"),
        Point("involvement", "", "19", "", "authors"),
        Point("interests", "44", "18a 18b", "38 39", "authors"))}


def content(_: RunFolder, words: Language) -> dict[str, Any]:
    """The points by group; which of the sections that answer them a page has, its template knows."""
    return {"groups": {group: [_answer(point, words) for point in points]
                       for group, points in POINTS.items()}}


def _answer(point: Point, words: Language) -> dict[str, str]:
    """A point in words; `unrecorded` is said where a page has no section that answers it."""
    cited = [("CLAIM", point.claim), ("TRIPOD+AI", point.tripod), ("STARD-AI", point.stard)]
    numbers = "; ".join(f"{guideline} {', '.join(items.split())}" for guideline, items in cited if items)
    is_answerable = any(point.name in section.answers for section in sections_of("report"))
    return {"name": point.name, "text": words.say(f"checklist.point.{point.name}"), "numbers": numbers,
            "unrecorded": words.say("checklist.unrecorded") if is_answerable else "",
            "rest": words.say(f"checklist.rest.{point.rest}") if point.rest else ""}


CHECKLIST = Section("checklist", content, "made", 40)
