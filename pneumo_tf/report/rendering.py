"""A template filled in: how every page is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pneumo_tf.report.language import Language

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, content: dict[str, Any], words: Language) -> str:
    """HTML of a template by its file name; what is missing in the content is a defect and raises."""
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(template).render(**content, say=words.say, words=words)
