"""Films that look the same, side by side, with the splits and patients that they stand under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pneumo_tf.report.films import Captioned, pictures
from pneumo_tf.report.language import Language
from pneumo_tf.runs.folder import RunFolder

_PICTURED = 6


@dataclass(frozen=True)
class ShownPair:
    """Two films that look the same, and a sentence on where they stand and how alike they are."""

    title: str
    sentence: str
    films: list[Captioned]


def content(run: RunFolder, words: Language) -> dict[str, Any]:
    """What the section on near-duplicates shows, under `duplicates`; None where none were looked for."""
    found = run.metrics.get("near_duplicates")
    if not found:
        return {"duplicates": None}
    pairs = [_pair(record, run, words) for record in found["found"][:_PICTURED]]
    rest = found["pairs"] - len(pairs)
    more = words.say("duplicates.more", pairs=words.count(rest, "pair")) if rest else ""
    return {"duplicates": {"verdict": _verdict(found, words), "pairs": pairs, "more": more}}


def _verdict(found: dict[str, Any], words: Language) -> str:
    kind = "across" if found["across"] else "within" if found["pairs"] else "none"
    return words.say(f"duplicates.{kind}", films=words.count(found["films"], "film"),
                     pairs=words.number(found["pairs"]), across=words.number(found["across"]))


def _pair(record: dict[str, Any], run: RunFolder, words: Language) -> ShownPair:
    thumbnails, (first, second) = pictures(run, record["ids"]), record["ids"]
    is_across = len(set(record["splits"])) == 2
    films = [_film(name, label, words.named("split", split), words=words, picture=thumbnails[name],
                   patient=patient, is_wrong=is_across)
             for name, label, split, patient in
             zip(*(record[key] for key in ("ids", "labels", "splits", "patients")), strict=True)]
    said = [words.say("duplicates.across.one" if is_across else "duplicates.within.one"),
            *([words.say("duplicates.labels")] if len(set(record["labels"])) == 2 else []),
            words.say("duplicates.likeness", likeness=words.number(record["likeness"], 3))]
    return ShownPair(words.say("duplicates.pair", first=first, second=second), " ".join(said), films)


def _film(name: str, label: str, split: str, *, words: Language, picture: str | None, patient: str,
          is_wrong: bool) -> Captioned:
    known = words.say("duplicates.patient", patient=patient) if patient else words.say("duplicates.nobody")
    return Captioned(name, picture, words.say("duplicates.alt", id=name, label=label, split=split), split,
                     [label, known], is_wrong)
