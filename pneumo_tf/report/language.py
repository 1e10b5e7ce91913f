"""The report's words and the way it writes numbers, one catalogue per language: a folder of JSON files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from pneumo_tf.errors import OptionError

_LOCALES = Path(__file__).parent / "locales"


@dataclass(frozen=True)
class Language:
    """One catalogue: `texts` maps a dotted key to a sentence with named gaps."""

    code: str
    texts: Mapping[str, str]

    def say(self, key: str, **values: Any) -> str:
        """The sentence of `key` with its gaps filled; a missing key is a defect and raises KeyError."""
        return self.texts[key].format(**values)

    def count(self, number: int, noun: str) -> str:
        """A number with its noun in the right form, e.g. "1 film", "1,024 films"."""
        form = "one" if number == 1 else "other"
        return self.say(f"count.{noun}.{form}", n=self.number(number))

    def named(self, group: str, word: str) -> str:
        """The translation of what the pipeline wrote; as it was written where none is known.

        Numbers stand as # in the catalogue: "larger than 512 MiB" is found under "larger than # MiB".
        """
        if f"{group}.{word}" in self.texts:
            return self.texts[f"{group}.{word}"]
        numbers = iter(re.findall(r"[0-9]+", word))
        translated = self.texts.get(f"{group}.{re.sub(r'[0-9]+', '#', word)}")
        return word if translated is None else re.sub("#", lambda _: next(numbers), translated)

    def number(self, value: float, digits: int = 0) -> str:
        """A number with the language's decimal sign and thousands sign."""
        text = f"{value:,.{digits}f}"
        signs = {ord(","): self.texts["number.thousands"], ord("."): self.texts["number.decimal"]}
        return text.translate(signs)

    def percent(self, share: float, digits: int = 1) -> str:
        """A share of 1 as a percentage, e.g. "97.3%", "97,3 %"."""
        return self.say("number.percent", n=self.number(100 * share, digits))

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
                          remedy=f"Choose one of {', '.join(languages())}.")
    parts = sorted((_LOCALES / code).glob("*.json"))
    return Language(code, {key: text for part in parts
                           for key, text in json.loads(part.read_text(encoding="utf-8")).items()})
