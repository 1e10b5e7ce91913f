"""Films that look the same, side by side, with the splits and patients that they stand under."""

from __future__ import annotations

from typing import Any

from pneumo_tf.report.charts.pictures import Captioned, thumbnails
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import RunFolder

_PICTURED = 6


def content(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """The pairs that were found; None where nobody looked for any."""
    found = run.metrics.get("near_duplicates")
    if not found:
        return None
    kind = "across" if found["across"] else "within" if found["pairs"] else "none"
    verdict = words.say(f"duplicates.{kind}", films=words.count(found["films"], "film"),
                        pairs=words.number(found["pairs"]), across=words.number(found["across"]))
    pairs = [_pair(record, run, words) for record in found["found"][:_PICTURED]]
    rest = found["pairs"] - len(pairs)
    more = words.say("duplicates.more", pairs=words.count(rest, "pair")) if rest else ""
    return {"verdict": verdict, "pairs": pairs, "more": more}


def _pair(record: dict[str, Any], run: RunFolder, words: Language) -> dict[str, Any]:
    """Both films, and a sentence on where they stand and how alike they are."""
    pictures, (first, second) = thumbnails(run, record["ids"]), record["ids"]
    is_across = len(set(record["splits"])) == 2
    films = []
    for name, label, split, patient in zip(
            *(record[key] for key in ("ids", "labels", "splits", "patients")), strict=True):
        side = words.named("split", split)
        alt = words.say("duplicates.alt", id=name, label=label, split=side)
        owner = words.say("duplicates.patient" if patient else "duplicates.nobody", patient=patient)
        films.append(Captioned(name, pictures[name], alt, side, [label, owner], is_across))
    said = [words.say("duplicates.across.one" if is_across else "duplicates.within.one"),
            *([words.say("duplicates.labels")] if len(set(record["labels"])) == 2 else []),
            words.say("duplicates.likeness", likeness=words.number(record["likeness"], 3))]
    return {"title": words.say("duplicates.pair", first=first, second=second), "sentence": " ".join(said),
            "films": films}


DUPLICATES = Section("duplicates", content, "films", 40, answers=("partitions",))
