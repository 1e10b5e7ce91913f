"""demo.py: the whole pipeline on phantoms, synthetic chest films that come with the program."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

from pneumo_tf.cli import binary_class, command, get_labels, options, prepare_pict
from pneumo_tf.language import counted, say
from pneumo_tf.places import output_path

_DESCRIPTION = ("Draw synthetic chest films, prepare and label them, train a classifier on them and write "
                "its report. The three commands behind it are printed as they run.")

_BACKBONE = "efficientnet_lite0"


def build_parser() -> command.Parser:
    """The options of demo.py."""
    parser = command.build("demo.py", _DESCRIPTION, has_json=True)
    parser.add_argument("-o", "--output", metavar="DIR", default=argparse.SUPPRESS,
                        help="folder for everything it makes (default: demo in the project)")
    parser.add_argument("--films", type=options.whole_number(at_least=24), default=360, help="films to draw")
    parser.add_argument("--patients", type=options.whole_number(at_least=24), default=240,
                        help="patients they are of")
    parser.add_argument("--backbone", default=argparse.SUPPRESS, help=f"network to start from (default: "
                        f"{_BACKBONE}, or one whose weights are here where its aren't)")
    parser.add_argument("--weights", default="imagenet", metavar="PATH", help="its weights")
    parser.add_argument("-e", "--epochs", type=options.whole_number(at_least=1), default=60,
                        help="most epochs of training")
    options.add_seed(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the pipeline; the exit code of the first command that fails, else 0."""
    try:
        return command.run(build_parser(), act, argv)
    except _CommandError as failure:
        return failure.code


class _CommandError(Exception):
    """A command of the pipeline failed and has already said why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def act(typed: argparse.Namespace) -> None:
    """Draw films, then run the commands on them."""
    from pneumo_tf.models.published import usable
    from pneumo_tf.phantoms.write import write_phantoms
    from pneumo_tf.storage import make_folder

    folder = make_folder(output_path(getattr(typed, "output", None), default="demo"))
    say(f"Drawing {counted(typed.films, 'synthetic film|synthetic films')} of "
        f"{counted(typed.patients, 'patient|patients')} in {folder / 'phantoms'}")
    films = write_phantoms(folder / "phantoms", films=typed.films, patients=typed.patients, seed=typed.seed,
                           workers=os.cpu_count() or 1)
    backbone = getattr(typed, "backbone", "")
    if not backbone:
        backbone = usable([_BACKBONE])[0] if typed.weights == "imagenet" else _BACKBONE
    prepared, labels = folder / "clasificacion", folder / "labels" / "labels.csv"
    _run(prepare_pict, typed, "--source", films, "--target", prepared, "--force")
    _run(get_labels, typed, "--path", prepared, "--output", labels)
    _run(binary_class, typed, "--epochs", typed.epochs, "--path", prepared, "--labels", labels, "--output",
         folder / "model", "--recipe", "fast", "--backbone", backbone, "--weights", typed.weights,
         "--seed", typed.seed, "--synthetic")


def _run(module: object, typed: argparse.Namespace, *arguments: object) -> None:
    """Print a command and run it in this process, in the manner of this one."""
    manner = [*(["--lang", typed.lang] if "lang" in typed else []), *(["--quiet"] if typed.quiet else []),
              *(["--json"] if typed.json else [])]
    words = [*map(str, arguments), *manner]
    name = module.__name__.rpartition(".")[2]  # type: ignore[attr-defined]
    say(f"\n$ {command.line(name, *words)}")
    # What the first ones would do next is done here, and JSON is the figures of the last.
    aside = sys.stderr if typed.json and module is not binary_class else sys.stdout
    with redirect_stdout(aside):
        code = command.run(module.build_parser(), module.act, words,  # type: ignore[attr-defined]
                           leads_on=module is binary_class)
    if code:
        raise _CommandError(code)
