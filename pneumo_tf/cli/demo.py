"""demo.py: the whole pipeline on phantoms, synthetic chest films that come with the program."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from pneumo_tf.cli import binary_class, command, get_labels, options, prepare_pict
from pneumo_tf.places import output_path

_DESCRIPTION = ("Draw synthetic chest films, prepare and label them, train a classifier on them and write "
                "its report. The three commands behind it are printed as they run.")

_BACKBONE = "efficientnet_lite0"


def build_parser() -> command.Parser:
    """The options of demo.py."""
    parser = command.build("demo.py", _DESCRIPTION)
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
    options.add_lang(parser)
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
    print(f"Drawing {typed.films} synthetic films of {typed.patients} patients in {folder / 'phantoms'}")
    films = write_phantoms(folder / "phantoms", films=typed.films, patients=typed.patients, seed=typed.seed,
                           workers=os.cpu_count() or 1)
    backbone = getattr(typed, "backbone", "")
    if not backbone:
        backbone = usable([_BACKBONE])[0] if typed.weights == "imagenet" else _BACKBONE
    prepared, labels = folder / "clasificacion", folder / "labels" / "labels.csv"
    _run(prepare_pict, "--source", films, "--target", prepared, "--force")
    _run(get_labels, "--path", prepared, "--output", labels)
    _run(binary_class, "--epochs", typed.epochs, "--path", prepared, "--labels", labels, "--output",
         folder / "model", "--recipe", "fast", "--backbone", backbone, "--weights", typed.weights,
         "--seed", typed.seed, "--lang", typed.lang, "--synthetic")


def _run(module: object, *arguments: object) -> None:
    """Print a command and run it in this process."""
    typed = [str(argument) for argument in arguments]
    name = module.__name__.rpartition(".")[2]  # type: ignore[attr-defined]
    print(f"\n$ {command.line(name, *typed)}", flush=True)
    # What the first ones would do next is done here.
    code = command.run(module.build_parser(), module.act, typed,  # type: ignore[attr-defined]
                       leads_on=module is binary_class)
    if code:
        raise _CommandError(code)
