"""`python -m pneumo_tf COMMAND`: the same commands as in scripts/, wherever the package is installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from pneumo_tf import cli
from pneumo_tf.cli.command import speak_plainly
from pneumo_tf.errors import choose_from


def _commands() -> dict[str, ModuleType]:
    """The modules of cli that build a parser; they are light, since a command imports late what it needs."""
    modules = {name: import_module(f"{cli.__name__}.{name}") for _, name, _ in iter_modules(cli.__path__)}
    return {name: module for name, module in modules.items() if hasattr(module, "build_parser")}


COMMANDS = _commands()


def main(argv: Sequence[str] | None = None) -> int:
    """Hand the arguments on to the command that they begin with; its exit code."""
    speak_plainly()
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0].removesuffix(".py") if arguments else "--help"
    if name in ("-h", "--help"):
        print(_usage())
        return 0
    if name not in COMMANDS:
        print(f"pneumo_tf: error: The command must be one that exists. Received: {name}. "
              f"{choose_from(COMMANDS, name)}", file=sys.stderr)
        return 2
    return int(COMMANDS[name].main(arguments[1:]))


def _usage() -> str:
    """Each command with the first line of its module, which begins with the command's name."""
    lines = "\n".join(f"  {name:<16}{(module.__doc__ or '').partition(': ')[2].splitlines()[0].rstrip('.')}"
                      for name, module in COMMANDS.items())
    return f"usage: python -m pneumo_tf COMMAND [OPTIONS]\n\n{lines}\n\nCOMMAND --help lists its options."


if __name__ == "__main__":
    raise SystemExit(main())
