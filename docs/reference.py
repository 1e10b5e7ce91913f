"""reference.py: what every command answers to --help, and the library's public names, as pages."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
WORDS = {"en": ("Commands", "What each command answers to `--help`.",
                "The library", "`from pneumo_tf.library import …`, for a notebook."),
         "es": ("Comandos", "Lo que cada comando responde a `--help`.",
                "La biblioteca", "`from pneumo_tf.library import …`, para un cuaderno (en inglés).")}


def commands_page(lang: str) -> str:
    """Every command's help, a section each."""
    from pneumo_tf.__main__ import COMMANDS

    os.environ.update(PNEUMO_TF_LANG=lang, COLUMNS="96")
    title, lead, *_ = WORDS[lang]
    parts = [f"# {title}\n\n{lead}\n"]
    for name, module in COMMANDS.items():
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
            module.main(["--help"])
        parts.append(f"## {name}.py\n\n```text\n{told.getvalue().strip()}\n```\n")
    return "\n".join(parts)


def library_page(lang: str) -> str:
    """The public names of pneumo_tf.library with their docstrings."""
    from pneumo_tf import library

    *_, title, lead = WORDS[lang]
    parts = [f"# {title}\n\n{lead}\n"]
    for name, value in public(library):
        parts.append(f"## {name}\n\n{_told(name, value)}")
        if inspect.isclass(value):
            parts += [f"### {name}.{inner}\n\n{_told(inner, method)}" for inner, method in public(value)]
    return "\n".join(parts)


def public(owner: object) -> list[tuple[str, object]]:
    """Classes and functions that a module defines, or methods and properties that a class does."""
    def is_its_own(value: object) -> bool:
        if inspect.ismodule(owner):
            return getattr(value, "__module__", "") == owner.__name__
        return callable(value) or isinstance(value, property)

    return [(name, value) for name, value in vars(owner).items() if name[0] != "_" and is_its_own(value)]


def _told(name: str, value: object) -> str:
    signature = f"{inspect.signature(value)}" if callable(value) else ""
    signature = re.sub(r"(: |-> )'([^']+)'", r"\1\2", signature)  # annotations that Python keeps as texts
    return f"```python\n{name}{signature}\n```\n\n```text\n{inspect.getdoc(value) or ''}\n```\n"


if __name__ == "__main__":
    for code in WORDS:
        (ROOT / f"docs/{code}/commands.md").write_text(commands_page(code), encoding="utf-8")
        (ROOT / f"docs/{code}/library.md").write_text(library_page(code), encoding="utf-8")
