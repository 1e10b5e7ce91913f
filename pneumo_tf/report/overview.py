"""The first screen: what was asked, how often it is right out of 100 films, and the headline figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pneumo_tf.names import fold
from pneumo_tf.report.words import FigureRow, Language, figure_row
from pneumo_tf.runs.folder import RunFolder

_RARE = 0.05
_HEADLINES = ("sensitivity", "specificity", "auc", "accuracy", "macro_auc", "balanced_accuracy", "macro_f1")


@dataclass(frozen=True)
class Frequency:
    """A share told as dots out of 100: people grasp counts faster than percentages (Gigerenzer 2007).

    Attributes:
        kind: "found", "alarm" or "right".
        sentence: The share in words.
        detail: Its interval and counts, or nothing.
        good: How many of the 100 dots are right; None where the share doesn't exist.
        low, high: Ends of the interval of `good`: the dots between them may as well be the other kind.
        alt: The picture in words.
    """

    kind: str
    sentence: str
    detail: str = ""
    good: int | None = None
    low: int = 0
    high: int = 0
    alt: str = ""


def question(run: RunFolder, words: Language) -> str:
    """What the network was asked."""
    if not run.is_binary:
        return words.say("overview.question.several", n=len(run.classes))
    return words.say(f"overview.question.{_kind(run)}", **_names(run))


def sought(run: RunFolder, words: Language) -> str:
    """The class that is looked for, or all of several."""
    if not run.is_binary:
        return words.say("overview.sought.several", classes=", ".join(run.classes))
    return words.say("overview.sought", **_names(run))


def tested(run: RunFolder, words: Language) -> str:
    """How many films and patients the figures rest on."""
    films = words.count(run.test["films"], "film")
    if not run.facts.get("patients_known"):
        return words.say("overview.tested.films", films=films)
    patients = words.count(run.test["patients"], "patient")
    return words.say("overview.tested.patients", films=films, patients=patients)


def frequencies(run: RunFolder, words: Language) -> list[Frequency]:
    """Two pictures of 100 films for two classes, one for several."""
    figures = run.test["figures"]
    if not run.is_binary:
        return [_frequency("right", "frequency.right.several", figures["accuracy"], run, words)]
    kind = _kind(run)
    return [_frequency("found", f"frequency.found.{kind}", figures["sensitivity"], run, words),
            _frequency("alarm", f"frequency.alarm.{kind}", _complement(figures["specificity"]), run, words)]


def expected(run: RunFolder, words: Language) -> list[str]:
    """How many alarms would be right where the class looked for is rare; nothing where that isn't known."""
    rows = [row for row in run.test.get("predictive_values") or [] if row["prevalence"] <= _RARE]
    figure = max(rows, key=lambda row: float(row["prevalence"]))["ppv"] if rows else None
    if not isinstance(figure, dict) or figure["value"] is None:
        return []
    share = words.short(100 * max(row["prevalence"] for row in rows))
    low, high = (words.number(100 * figure[end]) for end in ("low", "high"))
    return [words.say("overview.rare", positive=run.positive, share=share, low=low, high=high,
                      n=words.number(100 * figure["value"]))]


def headlines(run: RunFolder, words: Language) -> list[FigureRow]:
    """The four figures that come first."""
    figures = run.test["figures"]
    chosen = [name for name in _HEADLINES if name in figures][:4]
    return [figure_row(name, figures[name], words, positive=run.positive) for name in chosen]


def _frequency(kind: str, key: str, figure: dict[str, Any], run: RunFolder, words: Language) -> Frequency:
    if figure["value"] is None:
        absent = words.say("frequency.absent", why=words.say(f"why.{figure['why']}"))
        return Frequency(kind, absent)
    shown = _of_hundred(figure["value"])
    low, high = round(100 * figure["low"]), round(100 * figure["high"])
    detail = words.say("frequency.range", low=low, high=high, count=words.number(figure["count"]),
                       of=words.number(figure["of"]))
    good, ends = (100 - shown, (100 - high, 100 - low)) if kind == "alarm" else (shown, (low, high))
    low, high = min(ends[0], good), max(ends[1], good)
    alt = words.say("frequency.alt", good=good, bad=100 - good, unsure=high - low,
                    good_name=words.say(f"frequency.key.{kind}.good"),
                    bad_name=words.say(f"frequency.key.{kind}.bad"))
    return Frequency(kind, words.say(key, n=shown, **_names(run)), detail, good, low, high, alt)


def _of_hundred(share: float) -> int:
    """Rounded, but never to all or none while there is a single film that says otherwise."""
    return round(share) * 100 if share in (0, 1) else min(max(round(100 * share), 1), 99)


def _complement(figure: dict[str, Any]) -> dict[str, Any]:
    """False alarms, from the specificity."""
    if figure["value"] is None:
        return figure
    return {"value": 1 - figure["value"], "low": 1 - figure["high"], "high": 1 - figure["low"],
            "count": figure["of"] - figure["count"], "of": figure["of"]}


def _kind(run: RunFolder) -> str:
    """Plain words where the classes are the tutorial's, the class names where they aren't."""
    negative, = (fold(name) for name in run.classes if name != run.positive)
    is_usual = fold(run.positive) in ("pneumonia", "neumonia") and negative == "normal"
    return "pneumonia" if is_usual else "binary"


def _names(run: RunFolder) -> dict[str, str]:
    others = [name for name in run.classes if name != run.positive]
    return {"positive": run.positive, "negative": ", ".join(others)}
