"""Films in, answers out: decoded ahead of the network, computed in batches, and none stops the rest."""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumo_tf import cluster
from pneumo_tf.data.images import read_film, refuse_blank
from pneumo_tf.errors import FilmError
from pneumo_tf.reading.answer import UNREADABLE, Answer
from pneumo_tf.reading.batch import Batch, Measured
from pneumo_tf.reading.incoming import Incoming, why_unread
from pneumo_tf.reading.refusal import Verdict, judge_of, put_right
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import RunFolder
from pneumo_tf.runs.predictor import BATCH, Film, Outputs, Predictor
from pneumo_tf.training.trunk import ahead
from pneumo_tf.training.views import FILMS, apply_view, sample_view, view_rng

_WINDOW = 16_384  # films that a cluster has at a time
_SEED = 42  # of the views, as evaluate_model.py draws them


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A run's predictor, and how much is asked of each film.

    Attributes:
        predictor: The run's.
        words: The language of the reasons.
        views: Views of each film behind the range of its probability, the film itself among them.
        learnt: What training films are known by, as of `learnt_films`.
        look: An upright film of `images.read_film`, before it is prepared, to a verdict.
        judge: A film's pixels and its features (D,) to a verdict.
        puts_right: Whether a film that `look` refuses and says how to turn is turned and looked at again.
        gather: Told the pixels, the features and the facts (`FilmReader.with_facts`) of each film that the
            network saw.
        saw: Told each answer that isn't a refusal, with the film's pixels.
    """

    predictor: Predictor
    words: Language
    views: int = 1
    learnt: frozenset[str] = frozenset()
    look: Callable[[Image.Image], Verdict] = lambda _: Verdict()
    judge: Callable[[Film, NDArray[np.float32]], Verdict] = lambda *_: Verdict()
    puts_right: bool = False
    gather: Callable[[Film, NDArray[np.float32], Mapping[str, str]], None] = lambda *_: None
    saw: Callable[[Answer, Film], None] = lambda *_: None

    def answers(self, films: Iterable[Incoming]) -> Iterator[Answer]:
        """One answer a film, in their order; memory doesn't grow with their number."""
        together = max(1, BATCH // self.views)
        with ThreadPoolExecutor(self.predictor.workers) as pool:
            read = ahead(pool, self._read, films, depth=2 * max(together, self.predictor.workers))
            while batch := list(islice(read, together)):
                yield from self._answered(batch, together)

    def _read(self, film: Incoming) -> _Read:
        """The views of a film, or why there are none; in a thread of its own."""
        begun = time.perf_counter()
        try:
            read = self._looked_at(film)
        except (FilmError, OSError) as failure:
            read = _Read(film.id, self._unreadable(why_unread(failure, film.id)))
        return read._replace(ms=1000 * (time.perf_counter() - begun))

    def _looked_at(self, film: Incoming) -> _Read:
        if film.trouble:
            return _Read(film.id, self._unreadable(film.trouble))
        reader = self.predictor.read
        ready = reader.filters is None or (film.path is not None and reader.is_ready(film.path))
        data = film.read()
        seen = refuse_blank(read_film(data, depth=reader.depth_of(ready=ready)))
        verdict = self.look(seen)
        if self.puts_right and verdict.turn:
            seen, turned = put_right(seen, verdict.turn), verdict.reason
            verdict = self.look(seen)
            verdict = verdict._replace(reason=verdict.reason or self.words.say("answer.turned", why=turned))
        if verdict.refusal:
            return _Read(film.id, verdict)
        if self.learnt & {hashlib.sha256(data).hexdigest(), str(film.path and film.path.resolve())}:
            verdict = Verdict("", _joined(self.words.say("answer.learnt"), verdict.reason))
        pixels, facts = reader.with_facts(seen, ready=ready)
        return _Read(film.id, verdict, self._drawn(pixels), facts)

    def _drawn(self, film: Film) -> Film:
        """A film and views of it, uint8 (V, H, W, 3), drawn by its pixels: the same wherever it comes in."""
        number = zlib.crc32(film.tobytes())
        return np.stack([film, *(apply_view(film, sample_view(FILMS, view_rng(_SEED, number, view)))
                                 for view in range(1, self.views))])

    def _unreadable(self, why: str) -> Verdict:
        return Verdict(UNREADABLE, self.words.named("reason", why))

    def _answered(self, batch: list[_Read], together: int) -> Iterator[Answer]:
        """The answers of a few films, whose views are computed in one go."""
        begun, views = time.perf_counter(), [read.views for read in batch if read.views is not None]
        if views:
            outputs = self.predictor.outputs(np.concatenate(views), together=together * self.views)
            each = iter(zip(*(part.reshape(len(views), self.views, *part.shape[1:]) for part in outputs),
                            strict=True))
        share = 1000 * (time.perf_counter() - begun) / len(batch)
        for read in batch:
            ms = round(read.ms + share, 1)
            if read.views is None:
                yield Answer(read.id, refusal=read.verdict.refusal, reason=read.verdict.reason, ms=ms)
            else:
                yield self._answer(read, Outputs(*next(each)), ms)

    def _answer(self, read: _Read, of_views: Outputs, ms: float) -> Answer:
        """The answer of one film from what the network gave for its V views."""
        assert read.views is not None
        film, features, predictor = read.views[0], of_views.features[0], self.predictor
        self.gather(film, features, read.facts)
        verdict = self.judge(film, features)
        if verdict.refusal:
            return Answer(read.id, refusal=verdict.refusal, reason=verdict.reason, ms=ms)
        scores = np.concatenate([of_views.scores, of_views.members[0]])
        called, probabilities = predictor.decide(scores), predictor.probabilities(scores)
        shown = int(called[0]) if predictor.threshold is None else predictor.classes.index(predictor.positive)
        low, high = (float(end(probabilities[:, shown])) if len(scores) > 1 else None for end in (min, max))
        answer = Answer(read.id, predictor.classes[called[0]], float(probabilities[0, shown]), low, high,
                        float(scores[0, shown]), predictor.threshold, "",
                        _joined(read.verdict.reason, self._otherwise(called), verdict.reason), ms,
                        tuple(probabilities[0].tolist()))
        self.saw(answer, film)
        return answer

    def _otherwise(self, called: NDArray[np.intp]) -> str:
        """How many views and members call the film otherwise; "" where none does."""
        parts = {"views": called[1 : self.views], "members": called[self.views :]}
        return _joined(*(self.words.say(f"answer.otherwise.{kind}", n=int((calls != called[0]).sum()),
                                        of=len(calls))
                         for kind, calls in parts.items() if (calls != called[0]).any()))


def answers_of_cluster(films: Iterable[Incoming], make: Callable[[], tuple[Reader, Batch | None]],
                       gather: Callable[[Any, Any], None]) -> Iterator[Answer]:
    """One answer a film, in their order, from readers on the machines of the cluster that was joined.

    Args:
        films: Whose files every machine sees.
        make: Gives a machine its reader, and what measures films for `gather`; picklable.
        gather: Told what `Batch.measure` gives of each film that the network saw.
    """
    films = iter(films)
    while window := list(islice(films, _WINDOW)):
        pieces = [window[start : start + BATCH] for start in range(0, len(window), BATCH)]
        done = dict(cluster.mapped(partial(_answering, make), pieces, whole_machine=True))
        for place in range(len(pieces)):
            answers, measured = done[place]
            for one in measured:
                gather(*one)
            yield from answers


def _answering(make: Callable[[], tuple[Reader, Batch | None]]) -> Callable[
        [list[Incoming]], tuple[list[Answer], list[Measured]]]:
    """What a worker of the cluster makes: films to answers, and to what is gathered of them."""
    reader, batch = make()

    def answer(films: list[Incoming]) -> tuple[list[Answer], list[Measured]]:
        measured: list[Measured] = []
        gathering = reader if batch is None else \
            replace(reader, gather=lambda *seen: measured.append(batch.measure(*seen)))
        return list(gathering.answers(films)), measured

    return answer


def measure_again(films: Iterable[Incoming], reader: Reader, batch: Batch) -> Iterator[Measured | None]:
    """What `Batch.measure` gives of films that were answered before; None of one that is read no longer."""
    measured: list[Measured] = []
    again = replace(reader, views=1, saw=lambda *_: None,
                    gather=lambda *seen: measured.append(batch.measure(*seen)))
    return (measured.pop() if measured else None for _ in again.answers(films))


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)


def reader_of(run: RunFolder, predictor: Predictor, words: Language, *, views: int = 1,
              puts_right: bool = False) -> Reader:
    """What reads new films with a run's predictor, and refuses what the run can't judge.

    Raises:
        RunError: What the run keeps of its own films is damaged.
    """
    judge = judge_of(run, words=words, size=predictor.read.size)
    return Reader(predictor=predictor, words=words, views=views, learnt=learnt_films(run), look=judge.look,
                  judge=judge.judge, puts_right=puts_right)


def learnt_films(run: RunFolder) -> frozenset[str]:
    """The run's training films: the SHA-256 of their originals, and the paths of their files."""
    home = run.films_folder.resolve()
    films = [film for film in run.cohort if film.split == "train"]
    return frozenset([*(film.sha256 for film in films), *(str(home / film.file) for film in films)]) - {""}


class _Read(NamedTuple):
    """A film's id, what was said of it so far, its views (V, H, W, 3), its facts, and the time it took."""

    id: str
    verdict: Verdict
    views: Film | None = None
    facts: Mapping[str, str] = MappingProxyType({})
    ms: float = 0.0
