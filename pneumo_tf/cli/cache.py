"""cache.py: what is kept for later runs, the pixels of films and the outputs of frozen networks."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pneumo_tf.cli import command
from pneumo_tf.language import say, show, show_json, translated
from pneumo_tf.places import CACHE_FOLDER, output_path

if TYPE_CHECKING:
    from pneumo_tf.training.store import Cache, Kept

_DESCRIPTION = "Show what is kept on the disk so that later runs need not compute it again, or remove it."
_EPILOG = "Nothing is lost by removing it but time. Whatever else lies in the folder stays."


def build_parser() -> command.Parser:
    """The options of cache.py."""
    parser = command.build("cache.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)
    parser.add_argument("--cache", metavar="DIR", default=argparse.SUPPRESS,
                        help=f"folder of the cache (default: {CACHE_FOLDER} in the project)")
    parser.add_argument("--clear", action="store_true", help="remove all of it")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """List or clear; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> None:
    """List or clear."""
    from pneumo_tf.training.store import Cache

    cache = Cache(output_path(getattr(typed, "cache", None), default=CACHE_FOLDER))
    if typed.clear:
        _clear(cache)
    else:
        _list(cache, typed)


def _clear(cache: Cache) -> None:
    from pneumo_tf.training.store import amount

    freed, in_use = cache.clear()
    show_json({"folder": str(cache.folder), "freed_bytes": freed, "kept": [entry.what for entry in in_use]})
    show(f"Freed {amount(freed)} in {cache.folder}")
    for entry in in_use:
        show(f"Kept, because a process is making it: {entry.what}")


def _list(cache: Cache, typed: argparse.Namespace) -> None:
    entries = cache.entries()
    show_json({"folder": str(cache.folder), "entries": [
        {"kind": entry.kind, "what": entry.what, "bytes": entry.bytes, "written": entry.written}
        for entry in entries]})
    if typed.json:
        return
    if not entries:
        show(f"Nothing is kept in {cache.folder}")
        return
    from rich.console import Console
    from rich.table import Table

    from pneumo_tf.training.store import amount

    table = Table(*map(translated, ("kind", "what", "size", "age")))
    for column in table.columns[2:]:
        column.justify, column.no_wrap = "right", True
    for entry in sorted(entries, key=lambda entry: entry.written):
        table.add_row(translated(entry.kind), translated(entry.what), amount(entry.bytes), _age(entry))
    Console().print(table)
    show(f"Together {amount(cache.size())} in {cache.folder}")
    elsewhere = ["--cache", cache.folder] if "cache" in typed else []
    say(f"Remove it with: {command.line('cache', '--clear', *elsewhere)}")


def _age(entry: Kept) -> str:
    """Time since the last row was written."""
    minutes = max(0, int(time.time() - entry.written) // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} d"
