"""get_data.py: fetch a public archive of films, check it, unpack it and say what is in it."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pneumo_tf.cli import command, options
from pneumo_tf.cli.get_labels import counts, films_and_patients, say_history
from pneumo_tf.errors import OptionError, choose_from
from pneumo_tf.language import counted, say, show, show_json, translated
from pneumo_tf.places import output_path

if TYPE_CHECKING:
    from pneumo_tf.cohort import Cohort
    from pneumo_tf.data.download import Archive

_DESCRIPTION = ("Fetch a public archive of films, compare its hash, unpack the films and say what is in it. "
                "Interrupted, the same command goes on where it stopped.")
_EPILOG = ("chest_xray is the set of Kermany, Zhang and Goldbaum at Mendeley Data (5,856 chest films of "
           "children, CC BY 4.0), whose hash is asked from there. Without a network, save the archive "
           "where the error message says and run the same command.")
_USUAL = "chest_xray"


def build_parser() -> command.Parser:
    """The options of get_data.py."""
    parser = command.build("get_data.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)
    parser.add_argument("archive", nargs="?", default=_USUAL, metavar="NAME|URL",
                        help=f"{_USUAL}, or the address of a .zip")
    parser.add_argument("--sha256", type=_sha256, default=argparse.SUPPRESS, metavar="HEX",
                        help="hash that the archive must have (default: the one its publisher tells)")
    parser.add_argument("-o", "--output", metavar="DIR", default=argparse.SUPPRESS,
                        help="folder of the films; the .zip goes beside it (default: the archive's name, in "
                        "the project)")
    parser.add_argument("--no-unpack", action="store_true",
                        help="keep the .zip alone, which prepare_pict.py reads as it is")
    parser.add_argument("--workers", type=options.processes, default=argparse.SUPPRESS, metavar="N",
                        help="processes that look at the films (default: one for each core)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch an archive; the exit code."""
    return command.run(build_parser(), act, argv)


def _sha256(text: str) -> str:
    """An argparse type: a SHA-256 in hexadecimal, in lower case."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(
            translated(f"64 hexadecimal digits are needed. Received: {text[:80]}"))
    return text.lower()


def act(typed: argparse.Namespace) -> str:
    """Fetch, check, unpack and audit; what to do next."""
    from pneumo_tf.data.download import fetch, published_hash, unpack
    from pneumo_tf.data.preparation.prepare import audit_source

    archive = _archive(typed.archive, has_hash="sha256" in typed)
    folder = output_path(getattr(typed, "output", None), default=archive.name)
    path = folder.with_name(f"{folder.name}.zip")
    wanted = getattr(typed, "sha256", "") or published_hash(archive)
    say(f"Checking {path}" if path.exists() else f"Fetching {archive.url} to {path}")
    told = fetch(archive, path, sha256=wanted)
    say(f"SHA-256 {told}" + (", as it must be" if wanted else
        "; nobody's hash was known to compare it with: keep it, and give it with --sha256 next time"))
    source = path
    if not typed.no_unpack:
        unpack(path, folder)
        source = folder
    cohort = audit_source(source, workers=getattr(typed, "workers", os.cpu_count() or 1))
    show_json({"source": str(source), "sha256": told, **counts(cohort)})
    if not typed.json:
        _show_audit(cohort)
    say(f"Written to {source}")
    return command.line("prepare_pict", "--source", source)


def _archive(typed: str, *, has_hash: bool) -> Archive:
    """The archive of that name or at that address."""
    from pneumo_tf.data.download import ARCHIVES, archive_at

    if typed in ARCHIVES:
        return ARCHIVES[typed]
    if re.match(r"https?://[^/]+/", typed):
        if not has_hash and not re.match(r"https:|http://(127\.0\.0\.1|localhost)[:/]", typed):
            raise OptionError("What comes without https must have a known hash.", received=typed,
                              remedy="Give the address with https, or --sha256.")
        return archive_at(typed)
    raise OptionError("An archive is named, or given by its address (https://…).", received=typed,
                      remedy=choose_from(ARCHIVES, typed))


def _show_audit(cohort: Cohort) -> None:
    """Films and patients by folder and class, and what speaks against using some of them."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*map(translated, ("folder", "class", "films", "patients")))
    for column in table.columns[2:]:
        column.justify = "right"
    for origin, label in sorted({(film.origin, film.label) for film in cohort}):
        films = [film for film in cohort if (film.origin, film.label) == (origin, label)]
        table.add_row(origin, label, *films_and_patients(films))
    Console(highlight=False, soft_wrap=True).print(table)
    say_history(cohort)
    train, test = ({film.patient for film in cohort if film.origin == name} - {""}
                   for name in ("train", "test"))
    if shared := train & test:
        show(f"{counted(len(shared), 'patient|patients')} in train and in test, e.g. {min(shared)}.")
