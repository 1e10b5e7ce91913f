"""A template filled in: how every page is made. Whatever a run brings along is text, never markup."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pneumo_tf.report.language import Language

_TEMPLATES = Path(__file__).parent / "templates"
_SECTION = re.compile(r'<section id="([^"]+)">\s*<h2>(.*?)</h2>', re.DOTALL)
# What CommonMark and GitHub's tables and links read as markup, wherever it stands in a line. An underscore
# inside a word is none.
_MARKDOWN = re.compile(r"[\\`*\[\]<>&|~@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)


def render(template: str, content: dict[str, Any], words: Language) -> str:
    """HTML of a template by its file name; what is missing in the content is a defect and raises."""
    return _filled(template, content, words, autoescape=True)


def render_markdown(template: str, content: dict[str, Any], words: Language) -> str:
    """Markdown of a template: its own markup is read, every value in it is escaped."""
    return _filled(template, content, words, finalize=as_markdown_text, keep_trailing_newline=True)


def sections(html: str) -> list[tuple[str, Markup]]:
    """Id and title of the sections in a piece of a page, so that its contents list can't go wrong."""
    return [(name, Markup(title)) for name, title in _SECTION.findall(html)]


def as_markdown_text(value: object) -> str:
    """A value as one line of Markdown that reads as it is written."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(str(value).split()))


def _filled(template: str, content: dict[str, Any], words: Language, **options: Any) -> str:
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True, **options)
    environment.filters["sections"] = sections
    return environment.get_template(template).render(**content, say=words.say, words=words)
