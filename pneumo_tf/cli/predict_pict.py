"""predict_pict.py: what a run says of new films: of one, a folder, an archive or a list."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumo_tf import cluster
from pneumo_tf.cli import command, options
from pneumo_tf.errors import OptionError
from pneumo_tf.language import say
from pneumo_tf.places import MODEL_FOLDER, output_path

if TYPE_CHECKING:
    from pneumo_tf.reading.batch import Batch
    from pneumo_tf.reading.incoming import Given, Incoming
    from pneumo_tf.reading.predict import Reader
    from pneumo_tf.reading.table import Table
    from pneumo_tf.runs.folder import RunFolder

_DESCRIPTION = ("Read new films with a finished run. One film gets a few lines on the terminal, many get a "
                "table with a row each. Films are prepared on the way as the run's were.")
_EPILOG = ("A film that can't be judged gets the reason in its row and stops no other. The exit code is 0 "
           "where all were judged, 1 where some were refused, 2 after a mistake. Interrupted, the same "
           "command goes on with its table.")
_VIEWS = 8  # of a single film; of many each would cost another pass


def build_parser() -> command.Parser:
    """The options of predict_pict.py."""
    parser = command.build("predict_pict.py", _DESCRIPTION, epilog=_EPILOG)
    unset = argparse.SUPPRESS
    parser.add_argument("films", nargs="+", metavar="PATH",
                        help="film, folder, .zip or pattern; - reads a list of paths from standard input")
    options.add_run(parser)
    options.add_at(parser)
    parser.add_argument("-o", "--output", metavar="FILE", default=unset,
                        help="table of the answers, .csv or .jsonl; - for standard output (default of more "
                             f"than one film: {MODEL_FOLDER}/answers/<name>.csv)")
    parser.add_argument("--json", action="store_true", help="JSON Lines instead of text or CSV")
    parser.add_argument("--views", type=options.whole_number(at_least=1, at_most=1000), metavar="N",
                        default=unset, help="views of each film behind the range of its probability, itself "
                        f"among them; each takes as long as the film (default: {_VIEWS} of a single film; of "
                        "many 1, which leaves low and high empty)")
    add_put_right(parser)
    parser.add_argument("--explain", action="store_true",
                        help="write a picture of where the network looks, beside the table or here")
    options.add_engine(parser, default="the quickest on a processor that is installed; keras for a GPU")
    options.add_threads(parser)
    options.add_cluster(parser, what="the answers of many films")
    return parser


def add_put_right(parser: command.Parser) -> None:
    parser.add_argument("--put-right", action="store_true",
                        help="turn films that lie upside down or on their side, and invert negatives, "
                        "instead of refusing them; the answer says so")


def main(argv: Sequence[str] | None = None) -> int:
    """Read films; the exit code is 0, 1 where some were refused, or 2 after a mistake said in one line."""
    refused: Counter[str] = Counter()
    code = command.run(build_parser(), lambda typed: act(typed, refused), argv)
    return code or int(bool(refused))


def act(typed: argparse.Namespace, refused: Counter[str]) -> str:
    """Read films, and count those that are refused by the codes of their refusals; what to do next."""
    run_path = options.find_run(typed)
    from pneumo_tf.reading.incoming import find_given
    from pneumo_tf.runs.folder import read_run

    given, run = find_given(typed.films), read_run(run_path)
    is_alone = len(given) == 1 and given[0].is_film and "output" not in typed
    typed.views = getattr(typed, "views", _VIEWS if is_alone else 1)
    typed.lang = options.language_of(typed, run_path)
    engine, later = choose_engine(typed, run, is_alone=is_alone)
    reader = reader_of(typed, run, engine)
    if is_alone:
        refused.update(_read_one(typed, given, run, reader))
    else:
        refused.update(_read_many(typed, given, run, reader, engine))
    if later:
        _keep(run, later)
    return _next(typed, given, run_path)


def _next(typed: argparse.Namespace, given: Sequence[Given], run: Path) -> str:
    """Where the network looks on a single film, or the order in which to read those of a folder."""
    own = ["--run", run] if "run" in typed else []
    if len(given) > 1 or getattr(typed, "output", "") == "-":
        return ""
    if given[0].path.is_dir():
        return command.line("triage_pict", given[0].path, *own)
    if not given[0].is_film:
        return ""
    from pneumo_tf.reading.incoming import opened

    with opened(given) as films:
        is_called_so = next(films).id == given[0].typed
    # A DICOM film is called by its instance, because its path may be called after a patient.
    return command.line("explain_pict", given[0].path, *own) if is_called_so else ""


def choose_engine(typed: argparse.Namespace, run: RunFolder, *, is_alone: bool) -> tuple[str, str]:
    """The engine, and the one whose graph is to be kept after the answer; "" where it is or isn't wanted.

    Making a graph takes longer than one answer by Keras.
    """
    from pneumo_tf.runs.graphs import is_kept, quickest
    from pneumo_tf.training.engine import AUTO, KERAS

    typed_engine = getattr(typed, "engine", AUTO)
    engine = quickest(run) if typed_engine == AUTO else typed_engine
    missing = engine != KERAS and not is_kept(run, engine)
    if engine == KERAS or missing or getattr(typed, "explain", False):
        command.start_keras(getattr(typed, "threads", None))
    return (KERAS, engine) if missing and is_alone and typed_engine == AUTO else (engine, "")


def reader_of(typed: argparse.Namespace, run: RunFolder, engine: str) -> Reader:
    """What reads films for the options, `views` and `lang` among them."""
    from pneumo_tf.reading import predict
    from pneumo_tf.report.words import language
    from pneumo_tf.runs.predictor import predictor_of

    predictor = predictor_of(run, engine=engine, threads=getattr(typed, "threads", None),
                             at=getattr(typed, "at", ""))
    return predict.reader_of(run, predictor, language(typed.lang), views=typed.views,
                             puts_right=typed.put_right)


def _read_one(typed: argparse.Namespace, given: Sequence[Given], run: RunFolder,
              reader: Reader) -> Counter[str]:
    """Print the answer of one film, in words or as JSON."""
    from pneumo_tf.reading.block import block
    from pneumo_tf.reading.incoming import opened
    from pneumo_tf.reading.table import cells

    with opened(given) as films:
        answer = next(_explaining(typed, run, reader, Path.cwd()).answers(films))
    if typed.json:
        print(json.dumps(cells(answer, run.classes), ensure_ascii=False))
    else:
        print(block(answer, run, reader, at=getattr(typed, "at", "")))
    return Counter([answer.refusal] if answer.refusal else [])


def _read_many(typed: argparse.Namespace, given: Sequence[Given], run: RunFolder, reader: Reader,
               engine: str) -> Counter[str]:
    """Write a table, and say what it holds on standard error."""
    from pneumo_tf.progress import progress_bar
    from pneumo_tf.reading.batch import batch_of, sentences
    from pneumo_tf.reading.incoming import opened
    from pneumo_tf.reading.predict import answers_of_cluster, measure_again

    path, passed = _table_path(typed, given), Counter[str]()
    reader = _explaining(typed, run, reader, Path.cwd() if path is None else path.with_suffix(""))
    batch = batch_of(run)
    if batch is not None:
        reader = replace(reader, gather=batch.add)
    whole = len(given) == 1 and not given[0].is_list
    terms = terms_of(str(given[0].path.resolve()) if whole else "a list", run, reader, engine)
    with _table(path, terms, is_json=typed.json) as table, \
            progress_bar("Films", _count(given)) as advance, \
            opened(given, pass_over=lambda name: passed.update([Path(name).suffix])) as films, \
            cluster.joined(getattr(typed, "cluster", None)):
        new = _new(films, table, batch)
        answers = reader.answers(new) if not cluster.is_joined() else answers_of_cluster(
            new, partial(_reader_there, typed, run.path, engine),
            gather=batch.incoming.add if batch is not None else lambda *_: None)
        for answer in answers:
            table.write(answer)
            advance(1)
        if batch is not None:
            batch.incoming.measure_held(lambda held: measure_again(held, reader, batch))
        difference = batch.difference() if batch is not None else None
        table.notes["batch"] = difference and difference.to_json()
    if difference is not None:
        print(*sentences(difference, reader.words), sep="\n", file=sys.stderr)
    if passed:  # a hospital calls files after patients: their endings say enough
        endings = ", ".join(ending or "no ending" for ending, _ in passed.most_common(5))
        say(f"Passed over: {passed.total()} that are no images ({endings})", aside=True)
    refused = "".join(f", {code} {count}" for code, count in table.refused.items())
    say(f"Films: {table.answered} answered, {sum(table.refused.values())} refused{refused}"
        + ("" if path is None else f". Table: {path}"), aside=True)
    return table.refused


def _new(films: Iterable[Incoming], table: Table, batch: Batch | None) -> Iterator[Incoming]:
    """The films that have no row yet; the others are part of the batch all the same."""
    for film in films:
        if not table.has(film.id):
            yield film
        elif batch is not None and table.was_seen(film.id):
            batch.incoming.hold(film)


def _reader_there(typed: argparse.Namespace, run_path: Path, engine: str) -> tuple[Reader, Batch | None]:
    """The reader on another machine, and what measures the films there."""
    from pneumo_tf.reading.batch import batch_of
    from pneumo_tf.runs.folder import read_run

    run = read_run(run_path)
    return reader_of(typed, run, engine), batch_of(run)


def _explaining(typed: argparse.Namespace, run: RunFolder, reader: Reader, folder: Path) -> Reader:
    """The reader, which writes overlays where they are wanted."""
    if not typed.explain:
        return reader
    if "cluster" in typed:
        raise OptionError("Pictures of where the network looks are drawn on this machine.",
                          received="--explain and --cluster", remedy="Leave one of them out.")
    from pneumo_tf.reading.overlays import overlay_writer

    say(f"Overlays: {folder}", aside=True)
    return replace(reader, saw=overlay_writer(run, folder))


def _table_path(typed: argparse.Namespace, given: Sequence[Given]) -> Path | None:
    """Where the table goes; None for standard output."""
    if getattr(typed, "output", "") == "-":
        return None
    is_single = len(given) == 1 and not given[0].is_list
    name = given[0].path.resolve().stem if is_single else "films"
    default = f"{MODEL_FOLDER}/answers/{name}.{'jsonl' if typed.json else 'csv'}"
    return output_path(getattr(typed, "output", None), default=default)


def _table(path: Path | None, terms: dict[str, Any], *, is_json: bool) -> AbstractContextManager[Table]:
    from pneumo_tf.reading.table import table_at, table_on_screen

    if path is None:
        return nullcontext(table_on_screen(terms["classes"], is_json=is_json))
    return table_at(path, terms=terms)


def terms_of(films: str, run: RunFolder, reader: Reader, engine: str) -> dict[str, Any]:
    """What answers depend on: what was named, and all that answers it."""
    from pneumo_tf.runs.graphs import network_sha256

    predictor = reader.predictor
    return {"run": run.name, "network_sha256": network_sha256(run), "engine": engine,
            "classes": run.classes, "positive": run.positive, "threshold": predictor.threshold,
            "calibration": predictor.calibrator.to_json(), "views": reader.views,
            "puts_right": reader.puts_right,
            "lang": reader.words.code, "films": films}


def _count(given: Sequence[Given]) -> int:
    """Number of films, for a bar that somebody sees; 0 shows none."""
    from pneumo_tf.reading.incoming import opened

    if not sys.stderr.isatty() or given[0].is_list:
        return 0
    with opened(given) as films:
        return sum(1 for _ in films)


def _keep(run: RunFolder, engine: str) -> None:
    from pneumo_tf.runs.graphs import keep_graph
    from pneumo_tf.runs.predictor import load_network

    keep_graph(run, engine, load_network(run))
