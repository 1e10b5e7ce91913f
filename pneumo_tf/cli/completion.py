"""completion.py: what a shell needs to complete commands, options and values of pneumo-tf."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

from pneumo_tf import cli
from pneumo_tf.cli import command
from pneumo_tf.errors import OptionError

_DESCRIPTION = "Print a script that completes commands, options, their values and files of pneumo-tf."
_EPILOG = ("For bash: pneumo-tf completion bash > ~/.local/share/bash-completion/completions/pneumo-tf; for "
           "zsh: into a folder of $fpath, as _pneumo-tf. It needs pip install 'pneumo_tf[completion]'.")

_FILES = ("CSV", "DIR|ZIP", "FILE", "FILM", "PATH")  # metavars of options that take the path of one


def build_parser() -> command.Parser:
    """The options of completion.py."""
    parser = command.build("completion.py", _DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="whose script it is")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the script; the exit code."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> None:
    """Print the script of all commands together."""
    try:
        import shtab
    except ImportError as failure:
        raise OptionError("Completion needs the package shtab.", received="it isn't installed",
                          remedy="Run: pip install 'pneumo_tf[completion]'.") from failure
    whole = argparse.ArgumentParser(prog="pneumo-tf")
    commands = whole.add_subparsers()
    for module in (import_module(f"{cli.__name__}.{name}") for _, name, _ in iter_modules(cli.__path__)):
        if hasattr(module, "build_parser"):
            name = module.__name__.rpartition(".")[2]
            parser = module.build_parser()
            added = commands.add_parser(name, parents=[parser], add_help=False, conflict_handler="resolve",
                                        help=parser.description)
            _complete_files(added)
    print(shtab.complete(whole, typed.shell))


def _complete_files(parser: argparse.ArgumentParser) -> None:
    """Options that take a path complete files, or folders alone."""
    import shtab

    for action in parser._actions:
        if action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
