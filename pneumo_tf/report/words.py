"""The words of the report, and how it writes numbers, intervals and figures in each language."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

from pneumo_tf.errors import OptionError, choose_from
from pneumo_tf.language import written

_LOCALES = Path(__file__).parent / "locales"
Estimate = Mapping[str, Any]
"""A value of metrics.json with the ends of its interval, `low` and `high`; null where there is none."""
Write = Callable[[float], str]
Cell = tuple[str, str]
"""A value, and what stands beside it: its interval, or why there is no value."""


@dataclass(frozen=True)
class Language:
    """One catalogue: `texts` maps a dotted key to a sentence with named gaps."""

    code: str
    texts: Mapping[str, str]

    def say(self, key: str, **values: Any) -> str:
        """The sentence of `key` with its gaps filled; a missing key is a defect and raises KeyError."""
        return self.texts[key].format(**values)

    def named(self, group: str, word: str) -> str:
        """The translation of what the pipeline wrote; as it was written where none is known.

        Numbers stand as # in the catalogue: "larger than 512 MiB" is found under "larger than # MiB".
        """
        if f"{group}.{word}" in self.texts:
            return self.texts[f"{group}.{word}"]
        numbers = iter(re.findall(r"[0-9]+", word))
        translated = self.texts.get(f"{group}.{re.sub(r'[0-9]+', '#', word)}")
        return word if translated is None else re.sub("#", lambda _: next(numbers), translated)

    def count(self, number: int, noun: str) -> str:
        """A number with its noun in the right form, e.g. "1 film", "1,024 films"."""
        form = "one" if number == 1 else "other"
        return self.say(f"count.{noun}.{form}", n=self.number(number))

    def number(self, value: float, digits: int = 0) -> str:
        """A number with the language's decimal sign and thousands sign."""
        return written(f"{value:,.{digits}f}", self.code)

    def short(self, value: float, significant: int = 4) -> str:
        """A number with no more decimals than it has, e.g. "0.5", "0.925"."""
        exponent = Decimal(f"{value:.{significant}g}").as_tuple().exponent
        return self.number(value, max(0, -int(exponent)))

    def signed(self, value: float, digits: int) -> str:
        """A change with its sign; one that rounds to nothing has none."""
        sign = "" if not float(f"{value:.{digits}f}") else "−" if value < 0 else "+"
        return sign + self.number(abs(value), digits)

    def points(self, change: float) -> str:
        """A difference of shares in percentage points, with its sign."""
        return self.signed(100 * change, 1)

    def percent(self, share: float, digits: int | None = 1) -> str:
        """A share of 1 as a percentage, e.g. "97.3%", "97,3 %"; None gives it the decimals that it has."""
        number = self.short(100 * share) if digits is None else self.number(100 * share, digits)
        return self.say("number.percent", n=number)

    def decimals(self, value: float) -> str:
        """A number with three decimals."""
        return self.number(value, 3)

    def figure(self, name: str, value: float) -> str:
        """A figure by its name: a share as a percentage, any other with three decimals."""
        return self.percent(value) if _kind(name) == "share" else self.decimals(value)

    def change(self, name: str, value: float) -> str:
        """A difference of two values of a figure, with its sign."""
        return self.points(value) if _kind(name) == "share" else self.signed(value, 3)

    def between(self, low: str, high: str) -> str:
        """An interval by its ends."""
        return self.say("number.interval", low=low, high=high)

    def interval(self, estimate: Estimate, write: Write) -> str:
        """The interval of an estimate; nothing where it has none."""
        if estimate.get("low") is None:
            return ""
        return self.between(write(estimate["low"]), write(estimate["high"]))

    def estimate(self, estimate: Estimate, write: Write) -> Cell:
        """A value, and its interval or the reason why there is no value."""
        if estimate["value"] is None:
            return "–", self.say(f"why.{estimate['why']}") if "why" in estimate else ""
        return write(estimate["value"]), self.interval(estimate, write)

    def duration(self, seconds: float) -> str:
        """Seconds in the largest sensible units, e.g. "4.2 s", "3 min 20 s", "1 h 05 min"."""
        if seconds < 60:
            return f"{self.number(seconds, 1)} s"
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"

    def size(self, count: float) -> str:
        """Bytes as MB or GB, decimal."""
        return f"{self.number(count / 1e9, 1)} GB" if count >= 1e9 else f"{self.number(count / 1e6)} MB"

    def moment(self, iso: str) -> str:
        """An ISO time as date and minute, which reads alike in every language."""
        try:
            return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M")
        except ValueError:
            return iso


@dataclass(frozen=True)
class FigureRow:
    """One figure as text; `bar` as of `bar_of`."""

    name: str
    means: str
    value: str
    interval: str
    counts: str
    method: str
    bar: tuple[float, float, float] | None


def languages() -> list[str]:
    """Codes of the languages that a report can be written in."""
    return sorted(path.name for path in _LOCALES.iterdir() if path.is_dir())


@cache
def language(code: str) -> Language:
    """The catalogue of a language.

    Raises:
        OptionError: A code without a catalogue.
    """
    if code not in languages():
        raise OptionError("A report is written in a language that it knows.", received=repr(code),
                          remedy=choose_from(languages(), code))
    parts = sorted((_LOCALES / code).glob("*.json"))
    return Language(code, {key: text for part in parts
                           for key, text in json.loads(part.read_text(encoding="utf-8")).items()})


def figure_row(name: str, figure: Estimate, words: Language, *, positive: str) -> FigureRow:
    """A figure of metrics.json in words; the reason stands where the value doesn't exist."""
    title, means = words.named("figure", name), words.say(f"figure.{name}.means", positive=positive)
    value, beside = words.estimate(figure, partial(words.figure, name))
    if figure["value"] is None:
        return FigureRow(title, means, value, beside, "", "", None)
    counts = words.say("result.of", count=words.number(figure["count"]), of=words.number(figure["of"])) \
        if "count" in figure else ""
    # A correlation goes from −1 to 1, a bar from 0 to 1.
    bar = None if _kind(name) == "correlation" else bar_of(figure)
    return FigureRow(title, means, value, beside, counts, _method(figure, words), bar)


def _kind(name: str) -> str:
    # A second of imports, which the answer to a single film does without.
    from pneumo_tf.evaluation.figures import FIGURES

    return FIGURES[name].kind


def bar_of(estimate: Estimate) -> tuple[float, float, float] | None:
    """Ends and value of an interval in percent of the width, for drawing; None where there is none."""
    ends = [estimate[key] for key in ("low", "high", "value")]
    return None if None in ends else (100 * ends[0], 100 * ends[1], 100 * ends[2])


def _method(figure: Estimate, words: Language) -> str:
    if "resamples" not in figure:
        by_patient = figure.get("method") == "Wilson by patient"
        kind = ("wilson_by_patient" if by_patient else "wilson") if "count" in figure else "newcombe"
        return words.say(f"method.{kind}")
    parts = [words.say("method.bootstrap", resamples=words.number(figure["resamples"]))]
    if figure.get("skipped"):
        parts.append(words.say("method.skipped", n=words.number(figure["skipped"])))
    parts += [words.say(f"method.{name}", low=words.number(figure[name]["low"], 3),
                        high=words.number(figure[name]["high"], 3))
              for name in ("delong", "delong_by_patient") if name in figure]
    return "; ".join(parts)
