"""How a run's network meets a film: the pixels it is given, its scores, and what these mean.

The pixels are those of the training: a film of the run gives the score of the run's predictions.csv.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumo_tf.data.images import BLANK, in_mode, prepared_jpeg, read_film, read_film_file
from pneumo_tf.data.preparation.filters import FilterOptions, framed_and_filtered
from pneumo_tf.data.preparation.record import read_prepared
from pneumo_tf.data.shards import folder_of
from pneumo_tf.errors import FilmError, check_known
from pneumo_tf.evaluation.calibration.calibrators import Calibrator
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.progress import announce
from pneumo_tf.runs.folder import COMPLETE, RunError, RunFolder
from pneumo_tf.runs.graphs import KeptEngine, everything_of, is_kept, keep_graph
from pneumo_tf.runs.operating_points import point_of
from pneumo_tf.training.engine import AUTO, ENGINES, KERAS, Engine, KerasEngine, choose_engine
from pneumo_tf.training.graphs import check_installed
from pneumo_tf.training.machine import available_cores, describe_device, pin_numbers
from pneumo_tf.training.pixels import resized
from pneumo_tf.training.trunk import ahead

if TYPE_CHECKING:
    import keras

BATCH = 32

Film = NDArray[np.uint8]
Values = NDArray[np.floating]
Variant = Callable[[Film, int], Film]
"""A film (H, W, 3) and its number to another film of the same shape."""


@dataclass(frozen=True)
class FilmReader:
    """A film's file to uint8 (size, size, 3), as a run's network meets it.

    Attributes:
        size: Height and width of the network's input, in pixels.
        filters: What was done to the run's films before; None where that is unknown or nothing, and films
            are then taken as they are.
        home: The folder of the run's own films.
        depth: Bits of grey that films of more than 8 are scaled from where they are taken as they are.
        takes_blank: Whether a film whose pixels are all alike is read like any other.
    """

    size: int
    filters: FilterOptions | None
    home: Path
    depth: int | None = None
    takes_blank: bool = True

    def __call__(self, path: Path) -> Film:
        """The pixels of a film.

        Raises:
            FilmError: No complete image, a blank one where none is taken, or one that was prepared in another
                way than the run's films.
        """
        ready = self.is_ready(path)
        film = self.pixels(read_film_file(path, depth=self.depth_of(ready=ready)), ready=ready)
        if film.min() == film.max() and not self.takes_blank:
            raise FilmError("A film must show something.", received=f"{path} ({BLANK})",
                            remedy="Replace it or leave it out.")
        return film

    def depth_of(self, *, ready: bool) -> int | None:
        """Bits of grey that a film of more than 8 is scaled from, as `images.read_film` takes it."""
        return self.depth if ready or self.filters is None else self.filters.depth

    def pixels(self, film: Image.Image, *, ready: bool) -> Film:
        """The pixels of a film of `images.read_film`; one that isn't ready is prepared on the way."""
        return self.with_facts(film, ready=ready)[0]

    def with_facts(self, film: Image.Image, *, ready: bool) -> tuple[Film, dict[str, str]]:
        """As `pixels`, and by a manifest's names facts of the frame that an original came in.

        Of a film that was prepared before nothing is known.
        """
        if ready:
            return resized(film, self.size), {}
        framed = framed_and_filtered(film, self.filters or FilterOptions())
        # As prepare_pict.py would have written it and a training read it, through the same JPEG.
        pixels = resized(read_film(prepared_jpeg(framed.image)), self.size)
        return pixels, {"width": str(film.width), "height": str(film.height), **framed.framing}

    def prepare(self, original: Image.Image, change: Callable[[Film], Film] | None = None) -> Film:
        """The pixels of an original film, which is prepared as the run's were.

        Args:
            original: As `images.read_film` gives it.
            change: What happens to its pixels, uint8 (H, W, 1 or 3), before that.
        """
        if change is not None:
            original = in_mode(original, "RGB" if self.filters and self.filters.color else "L")
            pixels = np.asarray(original).reshape(original.height, original.width, -1)
            original = Image.fromarray(change(pixels).squeeze(2) if pixels.shape[2] == 1 else change(pixels))
        return self.pixels(original, ready=False)

    def is_ready(self, path: Path) -> bool:
        """Whether a film needs no preparation: the run's had none, it is one of them, or its folder was
        prepared alike.

        Raises:
            FilmError: Its folder was prepared in another way.
        """
        if self.filters is None or path.resolve().is_relative_to(self.home):
            return True
        found = _filters_of(folder_of(path).resolve())
        if found not in (None, self.filters):
            raise FilmError("Films must be prepared as the films of the run were.",
                            received=f"{folder_of(path)} with {found}, where the run had {self.filters}",
                            remedy="Prepare the originals with the run's options, or name the originals' "
                                   "folder: they are then prepared on the way.")
        return found is not None


def film_reader(run: RunFolder, size: int) -> FilmReader:
    """The reader of a run's network with an input of `size` × `size` pixels."""
    preparation = run.facts.get("preparation")
    home = Path((run.facts.get("data") or {}).get("films") or ".").expanduser().resolve()
    filters = FilterOptions.from_json(preparation["options"] or {}) if preparation else None
    return FilmReader(size, filters, home, (run.facts.get("input") or {}).get("depth"))


@lru_cache(maxsize=256)  # films may lie in a folder each
def _filters_of(folder: Path) -> FilterOptions | None:
    """How the films of a folder were prepared; None where they weren't."""
    prepared = read_prepared(folder)
    return prepared.filters if prepared else None


def load_network(run: RunFolder) -> keras.Model:
    """The network that a finished run exported.

    Raises:
        RunError: The run has none, or one that Keras can't read.
    """
    import keras

    from pneumo_tf.runs.export import read_exported

    path = run.path / COMPLETE
    announce("Network")
    pin_numbers()
    try:
        model = read_exported(path)
    except (ValueError, OSError, TypeError, KeyError) as failure:
        raise RunError("A run meets films by the network that it exported.",
                       received=f"{path} ({str(failure).strip().partition(chr(10))[0]})",
                       remedy="Train again, or name another run with --run.") from failure
    # Read from a file it asks for a list of one input, and warns of every film that is given without.
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def decide(values: Values, *, positive: int, threshold: float | None) -> NDArray[np.intp]:
    """Scores (n, K) to classes (n,): by the threshold on the positive's score, else the highest score."""
    if threshold is None:
        return values.argmax(axis=1)
    return np.where(values[:, positive] >= threshold, positive, 1 - positive).astype(np.intp)


class Outputs(NamedTuple):
    """What a network gives for n films.

    Attributes:
        scores: float32 (n, K) in [0, 1], uncalibrated.
        features: float32 (n, D), as of `classifier.with_features`.
        members: float32 (n, M, K), the scores of each network of an ensemble; M is 0 where there is one.
    """

    scores: NDArray[np.float32]
    features: NDArray[np.float32]
    members: NDArray[np.float32]


@dataclass(frozen=True)
class Predictor:
    """A run's network with all that turns films into scores, probabilities and classes.

    Attributes:
        classes: Names, in the order of the scores.
        positive: The class that is looked for.
        threshold: The operating point, on the positive's uncalibrated score; None: the highest score wins.
        calibrator: What makes probabilities of scores.
        read: A film's file to uint8 (H, W, 3).
        engine: uint8 films (n, H, W, 3) to scores (n, K), or to `graphs.everything_of` them.
        workers: Threads that read films.
        members: Networks of an ensemble, whose mean the scores are; 0 where there is one.
    """

    classes: tuple[str, ...]
    positive: str
    threshold: float | None
    calibrator: Calibrator
    read: FilmReader
    engine: Engine
    workers: int = 1
    members: int = 0

    def scores(self, files: Sequence[Path], *,
               advance: Callable[[int], None] = lambda _: None) -> NDArray[np.float32]:
        """Uncalibrated scores (n, K) of films; memory doesn't grow with their number.

        Raises:
            FilmError: One can't be read.
        """
        return self.variant_scores(files, [lambda film, _: film], range(len(files)), advance=advance)[0]

    def variant_scores(self, files: Sequence[Path], variants: Sequence[Variant], numbers: Sequence[int], *,
                       advance: Callable[[int], None] = lambda _: None) -> NDArray[np.float32]:
        """Uncalibrated scores (V, n, K) of V variants of each film, every film read once.

        Args:
            files: n films.
            variants: What is made of each.
            numbers: n numbers that the variants are told, such as the films' places in their cohort.
            advance: Told how many films are done.

        Raises:
            FilmError: A film can't be read.
        """
        def draw(place: int) -> Film:
            film = self.read(files[place])
            return np.stack([variant(film, numbers[place]) for variant in variants])

        return self.drawn_scores(draw, films=len(files), variants=len(variants), advance=advance)

    def drawn_scores(self, draw: Callable[[int], Film], *, films: int, variants: int,
                     advance: Callable[[int], None] = lambda _: None) -> NDArray[np.float32]:
        """Uncalibrated scores (V, n, K) of V variants of n films.

        Args:
            draw: A number below n to the variants of that film, uint8 (V, H, W, 3).
        """
        found = np.empty((films, variants, len(self.classes)), np.float32)
        together = max(1, BATCH // variants)
        with ThreadPoolExecutor(self.workers) as pool:
            drawn = ahead(pool, draw, range(films), depth=2 * max(together, self.workers))
            for start in range(0, films, together):
                seen = np.concatenate(list(islice(drawn, together)))
                done = len(seen) // variants
                values = self.outputs(seen, together=together * variants).scores
                found[start : start + done] = values.reshape(done, variants, -1)
                advance(done)
        return found.swapaxes(0, 1)

    def outputs(self, films: Film, *, together: int = BATCH) -> Outputs:
        """Everything of at most `together` films (n, H, W, 3)."""
        count, classes = len(films), len(self.classes)
        if not isinstance(self.engine, KeptEngine):  # compiled for one shape
            films = np.pad(films, [(0, together - count), *[(0, 0)] * (films.ndim - 1)])
        values = np.asarray(self.engine(films), np.float32)[:count]
        ends = [classes, values.shape[1] - self.members * classes]
        scores, features, members = np.split(values, ends, axis=1)
        # Another engine's softmax may pass 1 by its last digit.
        return Outputs(scores.clip(0, 1), features, members.reshape(count, self.members, classes).clip(0, 1))

    def probabilities(self, values: Values) -> NDArray[np.float64]:
        """Scores (n, K) made into probabilities by the run's calibrator."""
        return np.asarray(self.calibrator.apply(self._nameless(values)).values, dtype=np.float64)

    def decide(self, values: Values) -> NDArray[np.intp]:
        """Uncalibrated scores (n, K) to classes (n,) at the run's operating point."""
        return decide(values, positive=self.classes.index(self.positive), threshold=self.threshold)

    def _nameless(self, values: Values) -> Scores:
        """Films of which nothing but the scores is known; a calibrator asks for no more."""
        films = len(values)
        return Scores(self.classes, self.positive, [str(number) for number in range(films)],
                      np.zeros(films, int), values, np.full(films, ""))


def predictor_of(run: RunFolder, *, engine: str = KERAS, threads: int | None = None,
                 model: keras.Model | None = None, at: str = "") -> Predictor:
    """The predictor of a finished run.

    Args:
        run: The run.
        engine: One of `ENGINES`; "auto" for what suits the machine. For another one than Keras the network's
            graph is kept in the run's folder; with it, Keras isn't needed.
        threads: Of the processor; None takes all cores.
        model: The run's network where it was loaded before.
        at: The place whose operating point and calibrator are used; "" for the run's own.

    Raises:
        RunError: The run has no network.
        OptionError: No such engine, or it can't be had here; or no such operating point.
        TrainingError: The engine doesn't compute what Keras does.
        StorageError: The run's folder can't take the graph.
        CalibrationError: The record of its calibrator isn't whole.
    """
    point, threads = point_of(run, at), threads or available_cores()
    made = _engine(run, engine, model, threads=threads)
    is_ensemble = run.facts.get("recipe") == "ensemble"
    members = str(run.facts.get("backbone")).count("+") + 1 if is_ensemble else 0
    return Predictor(tuple(run.classes), run.positive, point.threshold, point.calibrator,
                     film_reader(run, made.input_shape[0]), made, workers=threads, members=members)


def _engine(run: RunFolder, name: str, model: keras.Model | None, *, threads: int) -> Engine:
    check_known("engine", name, ENGINES)
    name = choose_engine(AUTO, describe_device()) if name == AUTO else name
    if name == KERAS:
        return KerasEngine(everything_of(model or load_network(run)))
    check_installed(name)
    if not is_kept(run, name):
        keep_graph(run, name, model or load_network(run))
    return KeptEngine(run, name, threads=threads)
