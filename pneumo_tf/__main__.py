"""`python -m pneumo_tf COMMAND`: the same commands as in scripts/, wherever the package is installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "prepare_pict": "filter films into one folder, ready to be labelled",
    "get_labels": "write the table of films and their classes",
    "binary_class": "train, evaluate, report and export a classifier",
    "find_lr": "find a learning rate by a range test",
    "evaluate_model": "see how far a run's figures hold: changed films, other films, other splits",
    "explain_pict": "show where a network looks, and how far to believe it",
    "compare_runs": "train several ways on one split and compare them",
    "cache": "show what is kept for later runs, or clear it",
    "backbones": "list the networks that a training can start from",
    "demo": "all of this on synthetic films",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Hand the arguments on to the command that they begin with; its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0].removesuffix(".py") if arguments else "--help"
    if name in ("-h", "--help"):
        print(_usage())
        return 0
    if name not in COMMANDS:
        print(f"pneumo_tf: error: The command must be one that exists. Received: {name}. "
              f"Choose one of: {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    return int(import_module(f"pneumo_tf.cli.{name}").main(arguments[1:]))


def _usage() -> str:
    lines = "\n".join(f"  {name:<16}{purpose}" for name, purpose in COMMANDS.items())
    return f"usage: python -m pneumo_tf COMMAND [OPTIONS]\n\n{lines}\n\nCOMMAND --help lists its options."


if __name__ == "__main__":
    raise SystemExit(main())
