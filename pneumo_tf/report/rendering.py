"""Templates filled in, and a page made of its sections; whatever a run holds is text, never markup."""

from __future__ import annotations

import base64
import hashlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound
from markupsafe import Markup

from pneumo_tf.report import sections
from pneumo_tf.report.words import Language

_TEMPLATES = Path(__file__).parent / "templates"
_PARTS = ("", "films", "result", "trust", "single", "made")
# What CommonMark and GitHub's tables and links read as markup, wherever it stands in a line. An underscore
# inside a word is none.
_MARKDOWN = re.compile(r"[\\`*\[\]<>&|~@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)


@dataclass(frozen=True)
class Section:
    """A section of a page. A new one takes a module in `sections/`, its template and its words, nothing else.

    Attributes:
        name: Of its template, `templates/sections/<name>.html.j2`, and of its title, `<name>.title` in the
            catalogues. What follows the last dot is its anchor in the page.
        content: Gives what the template shows, from the run (or whatever a page is about); None leaves the
            section out.
        part: One of "films", "result", "trust", "single", "made"; "" on a page without parts.
        place: Sections of a part stand by rising place.
        answers: Names of the points of the checklist that it answers.
        pages: The pages that have it: "report", "external", "comparison".
    """

    name: str
    content: Callable[[Any, Language], dict[str, Any] | None]
    part: str = ""
    place: int = 0
    answers: tuple[str, ...] = ()
    pages: tuple[str, ...] = ("report",)

    @property
    def id(self) -> str:
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Filled:
    """A section as one page has it."""

    id: str
    title: str
    part: str
    answers: tuple[str, ...]
    html: Markup


@cache
def sections_of(page: str) -> list[Section]:
    """The sections that the modules of `sections/` declare for a page, in reading order."""
    modules = [import_module(f"{sections.__name__}.{found.name}")
               for found in pkgutil.iter_modules(sections.__path__)]
    declared = [value for module in modules for value in vars(module).values() if isinstance(value, Section)]
    return sorted((section for section in declared if page in section.pages),
                  key=lambda section: (_PARTS.index(section.part), section.place))


def render_page(page: str, subject: object, words: Language, *, title: str,
                first: dict[str, Any]) -> str:
    """HTML of a page with its sections.

    Args:
        page: "report", "external" or "comparison".
        subject: What the sections are about, such as a run.
        words: The language.
        title: Heading of the first screen, which the checklist can name too.
        first: What the first screen shows.
    """
    filled = [Filled("overview", title, "", ("aim", "limits"), Markup())]
    for section in sections_of(page):
        content = section.content(subject, words)
        if content is not None:
            html = render(f"sections/{section.name}.html.j2", {**content, "above": tuple(filled)}, words)
            filled.append(Filled(section.id, words.say(f"{section.name}.title"), section.part,
                                 section.answers, Markup(html)))
    template = "comparison.html.j2" if page == "comparison" else "report.html.j2"
    script = Markup((_TEMPLATES / "tables.js").read_text(encoding="utf-8"))
    return render(template, {**first, "title": title, "sections": filled[1:], "script": script}, words)


def fingerprint(script: str) -> str:
    """What a Content-Security-Policy lets this script run by, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def render(template: str, content: dict[str, Any], words: Language) -> str:
    """HTML of a template by its file name; what is missing in the content is a defect and raises."""
    return _filled(template, content, words, autoescape=True)


def render_markdown(template: str, content: dict[str, Any], words: Language) -> str:
    """Markdown of a template: its own markup is read, every value in it is escaped."""
    return _filled(template, content, words, finalize=as_markdown_text, keep_trailing_newline=True)


def as_markdown_text(value: object) -> str:
    """A value as one line of Markdown that reads as it is written."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(str(value).split()))


def _filled(template: str, content: dict[str, Any], words: Language, **options: Any) -> str:
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True, **options)
    environment.filters["fingerprint"] = fingerprint
    try:
        return environment.get_template(template).render(**content, say=words.say, words=words)
    except TemplateNotFound as missing:
        # jinja2's is an OSError, which would be told as a disk that refuses.
        raise LookupError(f"The report has no template {missing.name}.") from missing
