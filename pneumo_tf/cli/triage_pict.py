"""triage_pict.py: the films of a folder in the order in which they should be read."""

from __future__ import annotations

import argparse
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumo_tf.cli import command, options
from pneumo_tf.cli.predict_pict import choose_engine, reader_of, terms_of
from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.places import MODEL_FOLDER, find_existing, output_path

if TYPE_CHECKING:
    from pneumo_tf.reading.answer import Answer
    from pneumo_tf.reading.predict import Reader
    from pneumo_tf.reading.triage import Triage
    from pneumo_tf.reading.worklist import Waiting
    from pneumo_tf.runs.folder import RunFolder
    from pneumo_tf.runs.predictor import Film

_DESCRIPTION = ("Put the films of a folder into the order in which they should be read: first those that the "
                "run can't judge, which a person must read, then those called ill, then the others. It "
                "writes worklist.html, one page that opens anywhere, and worklist.csv.")
_EPILOG = ("It is an order, no faster care, and no film is cleared by it. Answered films are remembered: the "
           "same command goes on. Nothing leaves this machine.")
_VIEWS = 4  # behind the range of each probability
_PORT, _SECONDS = 8080, 5.0
_SERVERS = ("starlette", "uvicorn", "multipart")


def build_parser() -> command.Parser:
    """The options of triage_pict.py."""
    parser = command.build("triage_pict.py", _DESCRIPTION, epilog=_EPILOG)
    unset = argparse.SUPPRESS
    parser.add_argument("folder", metavar="DIR", help="folder that films come into")
    options.add_run(parser)
    options.add_at(parser)
    parser.add_argument("-o", "--output", metavar="DIR", default=unset,
                        help=f"folder of the worklist (default: {MODEL_FOLDER}/worklist/<folder's name>)")
    parser.add_argument("--watch", type=options.positive_number, nargs="?", const=_SECONDS, default=unset,
                        metavar="SECONDS", help="follow the folder, looking into it every so many seconds "
                        f"({_SECONDS:g} where none are given), until Ctrl-C")
    parser.add_argument("--serve", type=options.whole_number(at_least=0, at_most=65535), nargs="?",
                        const=_PORT, default=unset, metavar="PORT", help="follow the folder and serve the "
                        f"page at http://127.0.0.1:PORT ({_PORT} where none is given, 0 for a free one); "
                        "films can be dropped into it")
    parser.add_argument("--host", default="127.0.0.1",
                        help="address that --serve listens at; another than this lets others in")
    parser.add_argument("--views", type=options.whole_number(at_least=1, at_most=1000), metavar="N",
                        default=_VIEWS, help="views of each film behind the range of its probability, itself "
                        "among them")
    parser.add_argument("--explain", type=options.whole_number(at_least=1), metavar="N", default=unset,
                        help="show where the network looks on the first N films of the page")
    options.add_engine(parser, default="the quickest on a processor that is installed; keras for a GPU")
    options.add_threads(parser)
    options.add_lang(parser, of="the page", default="the run's")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Keep a worklist; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> None:
    """Answer the films of the folder, and keep on where it is to be followed."""
    if "serve" in typed and not all(map(find_spec, _SERVERS)):
        raise OptionError("--serve needs a web server.", received="no starlette, uvicorn, python-multipart",
                          remedy="Install them with: pip install 'pneumo_tf[serve]', or take --watch.")
    run_path = options.find_run(typed)
    folder = find_existing(typed.folder, what="folder of films", error=FilmError,
                           remedy="Name the folder that films come into.")
    if not folder.is_dir():
        raise FilmError("A worklist is of a folder.", received=str(folder),
                        remedy="Name the folder, or read a single film with predict_pict.py.")
    from pneumo_tf.runs.folder import read_run

    run = read_run(run_path)
    typed.lang = getattr(typed, "lang", (run.facts.get("options") or {}).get("lang") or "en")
    output = output_path(getattr(typed, "output", None),
                         default=f"{MODEL_FOLDER}/worklist/{folder.resolve().name or 'films'}")
    triage = _triage(typed, run, folder, output)
    with triage.claimed():
        if "serve" in typed:
            _serve(triage, typed)
        elif "watch" in typed:
            _watch(triage, every=typed.watch)
        else:
            triage.refresh()
            _tell(triage)


def _triage(typed: argparse.Namespace, run: RunFolder, folder: Path, output: Path) -> Triage:
    from pneumo_tf.reading.triage import OVERLAYS, Triage

    engine, _ = choose_engine(typed, run, is_alone=False)
    reader, threads = reader_of(typed, run, engine), getattr(typed, "threads", None)
    is_live = "serve" in typed or "watch" in typed
    draws = "serve" in typed or "explain" in typed
    return Triage(folder=folder, output=output, answers=reader.answers, positive=run.positive, run=run.name,
                  words=reader.words, terms=terms_of(str(folder.resolve()), run, reader, engine),
                  live="watch" if is_live else "",
                  draw=_drawer(run, reader, output / OVERLAYS, threads) if draws else None,
                  explained=getattr(typed, "explain", 0))


def _drawer(run: RunFolder, reader: Reader, folder: Path, threads: int | None) -> Callable[[Waiting], None]:
    """Draws heat maps, one at a time; Keras is started for the first."""
    one_at_a_time = threading.Lock()
    writers: list[Callable[[Answer, Film], None]] = []

    def draw(film: Waiting) -> None:
        from pneumo_tf.reading.overlays import overlay_writer

        with one_at_a_time:
            if not writers:
                command.start_keras(threads)
                writers.append(overlay_writer(run, folder))
            writers[0](film.answer, reader.predictor.read(film.file))

    return draw


def _watch(triage: Triage, *, every: float) -> None:
    from pneumo_tf.reading.server import watch

    print(f"Following {triage.folder}; Ctrl-C ends it.", flush=True)
    watch(triage, every=every, over=threading.Event(), tell=lambda _: _tell(triage))


def _serve(triage: Triage, typed: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    import socket

    import uvicorn

    from pneumo_tf.reading.server import WorklistServer

    try:
        listening = socket.create_server((typed.host, typed.serve))
    except OSError as failure:
        raise OptionError("The page needs an address that is free.",
                          received=f"{typed.host}:{typed.serve} ({failure.strerror})",
                          remedy="Name another port with --serve, or 0 for a free one.") from failure
    port = listening.getsockname()[1]
    is_own = typed.host in ("127.0.0.1", "localhost", "::1")
    server = WorklistServer(triage, every=getattr(typed, "watch", _SECONDS), hosts=None if is_own else ["*"])
    print(f"The worklist of {triage.folder}: http://{typed.host}:{port}/   (Ctrl-C ends it)", flush=True)
    if not is_own:
        print("Whoever reaches this address sees the films.", file=sys.stderr, flush=True)
    config = uvicorn.Config(server.application(), log_level="warning", access_log=False, server_header=False,
                            timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listening])


def _tell(triage: Triage) -> None:
    """How many films wait in which group, the first of them, and where the page lies."""
    from pneumo_tf.reading.page import call_in_words
    from pneumo_tf.reading.triage import PAGE

    numbers: dict[Any, int] = Counter(film.group for film in triage.films)
    print(", ".join([triage.words.say(f"worklist.heading.{'one' if len(triage.films) == 1 else 'other'}",
                                      n=triage.words.number(len(triage.films))),
                     *(f"{triage.words.say(f'worklist.group.{group}')} {number}"
                       for group, number in numbers.items())]))
    for rank, film in enumerate(triage.films[:5], start=1):
        probability = "" if film.answer.probability is None else \
            f"  {triage.words.percent(film.answer.probability, 0)}"
        print(f"{rank:>3}  {film.answer.id}  {call_in_words(film, triage.words)}{probability}")
    print(f"{triage.output / PAGE}", flush=True)
