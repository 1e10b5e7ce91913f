"""triage_pict.py: the films of a folder in the order in which they should be read."""

from __future__ import annotations

import argparse
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumo_tf.cli import command, options
from pneumo_tf.cli.predict_pict import add_put_right, choose_engine, reader_of, terms_of
from pneumo_tf.errors import FilmError, OptionError
from pneumo_tf.language import say, show, show_json
from pneumo_tf.places import MODEL_FOLDER, find_existing, output_path
from pneumo_tf.storage import make_folder

if TYPE_CHECKING:
    from pneumo_tf.reading.answer import Answer
    from pneumo_tf.reading.incoming import Incoming
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
_PORT, _SECONDS, _DICOM_PORT = 8080, 5.0, 11112
_SERVERS = ("starlette", "uvicorn", "multipart")


def build_parser() -> command.Parser:
    """The options of triage_pict.py."""
    parser = command.build("triage_pict.py", _DESCRIPTION, epilog=_EPILOG, has_json=True)
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
    _add_node(parser)
    parser.add_argument("--views", type=options.whole_number(at_least=1, at_most=1000), metavar="N",
                        default=_VIEWS, help="views of each film behind the range of its probability, itself "
                        "among them")
    add_put_right(parser)
    parser.add_argument("--explain", type=options.whole_number(at_least=1), metavar="N", default=unset,
                        help="show where the network looks on the first N films of the page")
    options.add_engine(parser, default="the quickest on a processor that is installed; keras for a GPU")
    options.add_threads(parser)
    return parser


def _add_node(parser: command.Parser) -> None:
    """Films that come over DICOM's network, and where their results go."""
    group, unset = parser.add_argument_group("DICOM"), argparse.SUPPRESS
    group.add_argument("--listen", type=options.whole_number(at_least=0, at_most=65535), nargs="?",
                       const=_DICOM_PORT, default=unset, metavar="PORT", help="be a DICOM node that takes "
                       f"films into DIR/films ({_DICOM_PORT} where no port is given, 0 for a free one) and "
                       "follows them")
    group.add_argument("--aet", default="PNEUMO_TF", metavar="TITLE", help="AE title of the node")
    group.add_argument("--peer", action="append", default=unset, metavar="TITLE",
                       help="AE title that may send films; may be repeated (default: any of this machine)")
    group.add_argument("--send", default=unset, metavar="TITLE@HOST:PORT",
                       help="archive that gets the results: a structured report and a secondary capture")
    group.add_argument("--stow", default=unset, metavar="URL", help="the same over DICOMweb")


def main(argv: Sequence[str] | None = None) -> int:
    """Keep a worklist; the exit code is 0, or 2 after a mistake said in one line."""
    return command.run(build_parser(), act, argv)


def act(typed: argparse.Namespace) -> str:
    """Answer the films of the folder, and keep on where it is to be followed; what to do next."""
    live = [name for name in ("serve", "watch", "listen") if name in typed]
    if live and typed.json:
        raise OptionError("JSON is of a worklist that is finished.", received=f"--json and --{live[0]}",
                          remedy="Leave one of them out.")
    if "serve" in typed and not all(map(find_spec, _SERVERS)):
        raise OptionError("--serve needs a web server.", received="no starlette, uvicorn, python-multipart",
                          remedy="Install them with: pip install 'pneumo_tf[serve]', or take --watch.")
    run_path = options.find_run(typed)
    folder = output_path(typed.folder, default="") if "listen" in typed else find_existing(
        typed.folder, what="folder of films", error=FilmError, remedy="Name the folder that films come into.")
    if "listen" in typed:
        make_folder(folder)
    if not folder.is_dir():
        raise FilmError("A worklist is of a folder.", received=str(folder),
                        remedy="Name the folder, or read a single film with predict_pict.py.")
    from pneumo_tf.runs.folder import read_run

    run = read_run(run_path)
    for name in ("send", "stow", "peer"):
        if name in typed and "listen" not in typed:
            raise OptionError(f"--{name} belongs to a node.", received=f"--{name} without --listen",
                              remedy="Add --listen, or leave it out.")
    typed.lang = options.language_of(typed, run_path)
    output = output_path(getattr(typed, "output", None),
                         default=f"{MODEL_FOLDER}/worklist/{folder.resolve().name or 'films'}")
    triage, reader = _triage(typed, run, folder / "films" if "listen" in typed else folder, output)
    with triage.claimed(), _receiving(typed, run, folder, triage, reader):
        if "serve" in typed:
            _serve(triage, typed)
        elif "watch" in typed or "listen" in typed:
            _watch(triage, every=getattr(typed, "watch", _SECONDS))
        else:
            triage.refresh()
            _tell(triage)
            show_json([{"id": film.answer.id, "group": film.group, "call": film.answer.call,
                        "probability": film.answer.probability, "refusal": film.answer.refusal}
                       for film in triage.films])
    return "" if live else command.line("triage_pict", typed.folder, "--watch",
                                        *(["--run", run_path] if "run" in typed else []))


def _triage(typed: argparse.Namespace, run: RunFolder, folder: Path,
            output: Path) -> tuple[Triage, Reader]:
    from pneumo_tf.reading.batch import batch_of, sentences
    from pneumo_tf.reading.predict import measure_again
    from pneumo_tf.reading.triage import OVERLAYS, Triage

    engine, _ = choose_engine(typed, run, is_alone=False)
    reader, threads, batch = reader_of(typed, run, engine), getattr(typed, "threads", None), batch_of(run)
    if batch is not None:
        reader = replace(reader, gather=batch.add)

    def cautions() -> list[str]:
        if batch is None:
            return []
        batch.incoming.measure_held(lambda held: measure_again(held, reader, batch))
        difference = batch.difference()
        return sentences(difference, reader.words) if difference is not None and difference.differs else []

    is_live = any(name in typed for name in ("serve", "watch", "listen"))
    draws = any(name in typed for name in ("serve", "explain", "send", "stow"))
    return Triage(folder=folder, output=output, answers=reader.answers, positive=run.positive, run=run.name,
                  words=reader.words, terms=terms_of(str(folder.resolve()), run, reader, engine),
                  live="watch" if is_live else "", cautions=cautions,
                  remember=batch.incoming.hold if batch is not None else lambda _: None,
                  draw=_drawer(run, reader, output / OVERLAYS, threads) if draws else None,
                  explained=getattr(typed, "explain", 0)), reader


@contextmanager
def _receiving(typed: argparse.Namespace, run: RunFolder, folder: Path, triage: Triage,
               reader: Reader) -> Iterator[None]:
    """A DICOM node at work beside the worklist, which then shows its answers; nothing without --listen."""
    if "listen" not in typed:
        yield
        return
    from pneumo_tf.reading.incoming import Incoming
    from pneumo_tf.reading.node import Node

    one_at_a_time = threading.Lock()

    def read(film: Incoming) -> Answer:
        with one_at_a_time:
            return next(reader.answers([film]))

    def shown(films: Iterable[Incoming]) -> Iterator[Answer]:
        """The node's answers to what it received, as far as they are given, and those to what was dropped."""
        for film in films:
            assert film.path is not None
            if (given := node.answered(film.path)) is not None:
                yield replace(given, id=film.id)
            elif not node.expects(film.path):
                yield read(film)

    node = Node(folder=folder, answer=lambda film: read(Incoming(film.stem, film.read_bytes, film)),
                version=hashlib.sha256(json.dumps(triage.terms, sort_keys=True).encode()).hexdigest()[:12],
                title=typed.aet, peers=getattr(typed, "peer", ()), **_results(typed, run, folder, triage))
    triage.answers = shown
    triage.remember = lambda _: None  # what it would ask of the reader, the node is asking
    with node.running(typed.listen, typed.host) as port:
        show(f"Films are taken by {typed.aet} at {typed.host}:{port}.")
        yield


def _results(typed: argparse.Namespace, run: RunFolder, folder: Path, triage: Triage) -> dict[str, Any]:
    """What a node sends back, and to whom; nothing where nobody is named."""
    from pneumo_tf.reading.dicom_out import results_of
    from pneumo_tf.reading.outbox import Outbox, Peer, by_dimse, by_stow

    if "send" in typed and "stow" in typed:
        raise OptionError("Results go one way.", received="--send and --stow", remedy="Leave one out.")
    if "send" in typed:
        send = by_dimse(Peer.parse(typed.send), title=typed.aet)
    elif "stow" in typed:
        send = by_stow(typed.stow)
    else:
        return {}
    return {"results": partial(results_of, run=run, words=triage.words, draw=triage.heat_map),
            "outbox": Outbox(folder / "results", send)}


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

    say(f"Following {triage.folder}; Ctrl-C ends it.")
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
    show(f"The worklist of {triage.folder}: http://{typed.host}:{port}/   (Ctrl-C ends it)")
    if not is_own:
        say("Whoever reaches this address sees the films.", aside=True)
    config = uvicorn.Config(server.application(), log_level="warning", access_log=False, server_header=False,
                            timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listening])


def _tell(triage: Triage) -> None:
    """How many films wait in which group, the first of them, and where the page lies."""
    from pneumo_tf.reading.page import call_in_words
    from pneumo_tf.reading.triage import PAGE

    numbers: dict[Any, int] = Counter(film.group for film in triage.films)
    show(", ".join([triage.words.say(f"worklist.heading.{'one' if len(triage.films) == 1 else 'other'}",
                                      n=triage.words.number(len(triage.films))),
                    *(f"{triage.words.say(f'worklist.group.{group}')} {number}"
                      for group, number in numbers.items())]))
    for rank, film in enumerate(triage.films[:5], start=1):
        probability = "" if film.answer.probability is None else \
            f"  {triage.words.percent(film.answer.probability, 0)}"
        show(f"{rank:>3}  {film.answer.id}  {call_in_words(film, triage.words)}{probability}")
    show(f"{triage.output / PAGE}")
