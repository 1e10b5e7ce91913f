"""`python -m pneumo_tf COMMAND`: the same commands as in scripts/, wherever the package is installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from pneumo_tf import cli
from pneumo_tf.cli.command import speak_plainly
from pneumo_tf.errors import OptionError, choose_from
from pneumo_tf.language import asked_for, speaking, translated


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
    if name in COMMANDS:
        return int(COMMANDS[name].main(arguments[1:]))
    with speaking(asked_for(arguments)):
        if name.startswith(("-h", "--help", "--lang")):
            print(_usage())
            return 0
        failure = OptionError("The command must be one that exists.", received=name,
                              remedy=choose_from(COMMANDS, name))
        print("pneumo_tf:", translated("error:"), failure, file=sys.stderr)
    return 2


def _usage() -> str:
    """Each command with what it is for."""
    lines = "\n".join(f"  {name:<16}{translated(purpose(module)).rstrip('.')}"
                      for name, module in COMMANDS.items())
    return (f"{translated('usage: ')}python -m pneumo_tf {translated('COMMAND [OPTIONS]')}\n\n{lines}\n\n"
            f"{translated('COMMAND --help lists its options.')}")


def purpose(module: ModuleType) -> str:
    """What a command is for: the first line of its module behind the command's name."""
    return (module.__doc__ or "").partition(": ")[2].splitlines()[0]


if __name__ == "__main__":
    raise SystemExit(main())
