"""Which language a person is spoken to in, and the Spanish of what the terminal says.

The code holds plain English sentences. Where words leave it (help, `say`, the text of a PneumoError)
they are looked up in terminal.es.json by the English itself, in which `{0}`, `{1}` … stand for what is filled
in. In a translation a gap may say how it is written: `{0:t}` looks its words up in their turn, `{0:n}` gives
a number the signs of the language, and `{0:imagen|imágenes}` is the form of a word that its number asks for.

What leaves is a note for the person who watches (`say`), or part of what was asked for (`show`). --quiet lets
only the latter through; with --json it is one object, and standard output holds nothing else.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import count, pairwise
from pathlib import Path
from string import Formatter
from typing import Any

LANGUAGES = ("en", "es")
CATALOGUE = Path(__file__).with_name("terminal.es.json")
_WORDS = Path(__file__).with_name("report") / "locales/es/words.json"
_CHOSEN = "PNEUMO_TF_LANG"  # an environment variable, so that processes follow the one that starts them
_FEW = 4  # letters that may as well stand between the words of a path
_SIGNS = {"en": str.maketrans({}), "es": str.maketrans({",": "\u202f", ".": ","})}  # no line breaks at U+202F


def current() -> str:
    """The language in use: the one that was chosen, else the locale's, else English."""
    told = (os.environ.get(name) for name in (_CHOSEN, "LC_ALL", "LC_MESSAGES", "LANG"))
    return "es" if next(filter(None, told), "").lower().startswith("es") else "en"


def asked_for(words: Sequence[str]) -> str:
    """The language that --lang asks for among the words of a command line; the one in use where none does."""
    given = [word.removeprefix("--lang=") for word in words if word.startswith("--lang=")]
    given += [value for name, value in pairwise(words) if name == "--lang"]
    return next((code for code in given if code in LANGUAGES), current())


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Use a language here and in processes that are started meanwhile."""
    before = os.environ.get(_CHOSEN)
    os.environ[_CHOSEN] = code
    try:
        yield
    finally:
        os.environ.pop(_CHOSEN)
        os.environ.update({} if before is None else {_CHOSEN: before})


def translated(text: str) -> str:
    """A text in the language in use; as it is where the catalogue doesn't know it, as it knows no data."""
    if current() == "en":
        return text
    return next((template.fill(values) for template, values in matches(text)), text)


def counted(number: int, noun: str) -> str:
    """A number and its noun, e.g. counted(1, "film|films") is "1 film"."""
    one, other = translated(noun).split("|")
    return f"{written(f'{number:,}')} {one if number == 1 else other}"


def written(number: str, code: str = "") -> str:
    """A number that Python wrote ("1,024.5"), with the signs of a language or of the one in use."""
    return number.translate(_SIGNS[code or current()])


@dataclass
class Manner:
    """How much is said, and whether results are one object in JSON."""

    quiet: bool = False
    json: bool = False


manner = Manner()


@contextmanager
def saying(*, quiet: bool, json: bool) -> Iterator[None]:
    """Say as little, and give results in the form, that a command line asks for."""
    before = replace(manner)
    manner.quiet, manner.json = quiet, json
    try:
        yield
    finally:
        manner.quiet, manner.json = before.quiet, before.json


def say(note: str, *, aside: bool = False) -> None:
    """A note for the person who watches, in the language in use; `aside` puts it on standard error."""
    if not manner.quiet:
        print(translated(note), file=sys.stderr if aside or manner.json else sys.stdout, flush=True)


def show(result: str) -> None:
    """A line of what was asked for, in the language in use; JSON has it in its object."""
    if not manner.json:
        print(translated(result), flush=True)


def show_json(result: Any) -> None:
    """What was asked for, as the one object that --json promises; without it nothing."""
    if manner.json:
        print(json.dumps(result, indent=2, ensure_ascii=False), flush=True)


class _Gap(str):
    """What stands in a gap, which writes itself as the translation asks for."""

    def __format__(self, form: str) -> str:
        if "|" in form:
            one, other = form.split("|")
            return one if self == "1" else other
        if form == "t":
            return translated(str(self))
        return written(str(self)) if form == "n" else str(self)


@dataclass(frozen=True)
class Template:
    """An English text with gaps, and its translation."""

    english: str
    translation: str

    @cached_property
    def literals(self) -> list[str]:
        """What stands between the gaps."""
        return [literal for literal, *_ in Formatter().parse(self.english) if literal]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        is_terse = 0 < sum(map(str.isalpha, "".join(self.literals))) <= _FEW
        later = r"([^/\\]*?)" if is_terse else "(.*?)"  # the path "films of one/two" is no "{0} of {1}"
        parts = (re.escape(literal) + ("" if gap is None else "(.*?)" if gap == "0" else later)
                 for literal, gap, *_ in Formatter().parse(self.english))
        return re.compile("".join(parts), re.DOTALL)

    def match(self, text: str) -> list[str] | None:
        """What `text` has in the gaps; None where it is another text."""
        if not all(literal in text for literal in self.literals):
            return None
        found = self._pattern.fullmatch(text)
        return None if found is None else list(found.groups())

    def fill(self, values: Sequence[str]) -> str:
        """The translation about these values."""
        return self.translation.format(*map(_Gap, values))


def matches(text: str) -> Iterator[tuple[Template, list[str]]]:
    """The templates that a text may have been made from, the one that says most of it first."""
    exact, templates = catalogue()
    if text in exact:
        yield exact[text], []
    for template in templates:
        if (values := template.match(text)) is not None:
            yield template, values


@cache
def catalogue() -> tuple[dict[str, Template], list[Template]]:
    """The Spanish of texts without gaps by the English, and that of those with gaps, the longest first."""
    pairs = json.loads(CATALOGUE.read_text(encoding="utf-8")) | _recorded()
    texts = [Template(english, spanish) for english, spanish in pairs.items()]
    exact = {"".join(text.literals): text for text in texts if not _has_gaps(text.english)}
    having = (text for text in texts if _has_gaps(text.english))
    return exact, sorted(having, key=lambda text: -sum(map(len, text.literals)))


def _recorded() -> dict[str, str]:
    """What the pipeline writes into its records, which the report has the words for."""
    words = json.loads(_WORDS.read_text(encoding="utf-8")).items()
    found = {key.partition(".")[2]: text for key, text in words if key.startswith(("stage.", "reason."))}
    return {_with_gaps(english): _with_gaps(text) for english, text in found.items()}


def _with_gaps(text: str) -> str:
    """Gaps in the place of the signs that the report writes for numbers."""
    numbers = count()
    return re.sub("#", lambda _: f"{{{next(numbers)}}}", text)


def _has_gaps(text: str) -> bool:
    return any(gap is not None for _, gap, *_ in Formatter().parse(text))
