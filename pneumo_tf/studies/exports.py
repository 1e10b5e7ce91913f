"""A run in the formats of other runtimes: each is read again there and held against Keras before it is kept.

Writes `exports/<format>/` into the run's folder, or elsewhere: the network, and export.json, which tells all
that a program needs to use it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.data.images import in_mode, read_film_file
from pneumo_tf.data.preparation.filters import FilterOptions
from pneumo_tf.data.preparation.prepare import PrepareOptions, prepare
from pneumo_tf.models.film_input import taking_films
from pneumo_tf.models.folding import fold_batch_norm
from pneumo_tf.models.formats import FORMATS, Network, check_installed, open_network, write_network
from pneumo_tf.phantoms.write import write_phantoms
from pneumo_tf.progress import announce, progress_bar
from pneumo_tf.runs.folder import COMPLETE, CONTRACT, EXPORTS, RunFolder, read_run
from pneumo_tf.runs.operating_points import RunPoint, point_of
from pneumo_tf.runs.predictor import Film, Values, decide, load_network
from pneumo_tf.storage import make_folder, put, temporary, write_json
from pneumo_tf.training.machine import describe_device, package_versions
from pneumo_tf.training.pixels import INTERPOLATION, load_film

KERAS = "keras"


@dataclass(frozen=True, kw_only=True)
class Exporting:
    """What is exported, and how it is held against Keras.

    Attributes:
        formats: Names in `FORMATS`.
        at: The place whose operating point and calibrator go with it; "" for the run's own.
        output: Folder of the exports; None takes the one in the run.
        films: How many films are compared: the run's, test films first, or phantoms where those are gone.
        force: Keep an export though it calls a film otherwise.
        threads: Of the processor; None takes all cores.
    """

    formats: Sequence[str]
    at: str = ""
    output: Path | None = None
    films: int = 256
    force: bool = False
    threads: int | None = None


@dataclass(frozen=True)
class Parity:
    """One format beside Keras.

    Attributes:
        format: Its name, or `KERAS` for what the others are held against.
        size: Bytes of its files.
        films_per_second: One film at a time; reading isn't counted, nor resizing where the format can't.
        folder: Where it is kept; None where it is refused.
        films: How many were compared.
        phantoms: Whether they were drawn, because the run's are gone.
        difference: The largest, of any class's score.
        changed: Films that are called otherwise.
        near: Test films of the run whose score lies so near to the operating point that such a difference
            could change the call.
        of: Test films of the run.
    """

    format: str
    size: int
    films_per_second: float
    folder: Path | None
    films: int = 0
    phantoms: bool = False
    difference: float = 0.0
    changed: int = 0
    near: int = 0
    of: int = 0

    def to_json(self) -> dict[str, Any]:
        """What export.json holds of it."""
        return {name: value for name, value in asdict(self).items() if name not in ("format", "folder")}


@dataclass(frozen=True)
class _Reference:
    """What every export is held against.

    Attributes:
        run: The run.
        point: Where films are called.
        size: Height and width of the network's input.
        files: Films as they were prepared.
        phantoms: Whether they were drawn.
        scores: What Keras gives for them, (n, K).
    """

    run: RunFolder
    point: RunPoint
    size: int
    files: Sequence[Path]
    phantoms: bool
    scores: Values

    @property
    def positive(self) -> int:
        return self.run.classes.index(self.run.positive)

    def calls(self, scores: Values) -> NDArray[np.intp]:
        return decide(scores, positive=self.positive, threshold=self.point.threshold)

    def margins(self) -> NDArray[np.float64]:
        """How much the scores of each test film of the run must change until it is called otherwise."""
        values = self.run.scores("test").values.astype(np.float64)
        if self.point.threshold is not None:
            return np.abs(values[:, self.positive] - self.point.threshold)
        ordered = np.sort(values, axis=1)
        return (ordered[:, -1] - ordered[:, -2]) / 2


def export_run(folder: Path, exporting: Exporting) -> list[Parity]:
    """Export a finished run.

    Returns:
        Keras, then each format in the order of `exporting`; one that calls a film otherwise isn't kept.

    Raises:
        RunError: The folder is no finished run, or has no network.
        OptionError: An unknown format, what writes or reads it isn't here, or no such operating point.
        StorageError: The output can't be written to.
    """
    check_installed(exporting.formats)
    run = read_run(folder)
    point, model = point_of(run, exporting.at), load_network(run)
    output, size = make_folder(exporting.output or folder / EXPORTS), model.input_shape[1]
    threads = exporting.threads or describe_device().cores
    with temporary(output / CONTRACT) as begun:
        begun.mkdir()
        files, phantoms = _films(run, exporting.films, begun, workers=threads)
        scores, speed = _computed(model.predict_on_batch, files, _reader(run, size), what="Keras")
        reference = _Reference(run, point, size, files, phantoms, scores)
        rows = [Parity(KERAS, (folder / COMPLETE).stat().st_size, speed, folder)]
        folded = fold_batch_norm(model)
        for name in exporting.formats:
            rows.append(_export(reference, folded, name, begun / name, threads=threads))
            if not rows[-1].changed or exporting.force:
                put(begun / name, output / name)
                rows[-1] = replace(rows[-1], folder=output / name)
    return rows


def _films(run: RunFolder, wanted: int, place: Path, *, workers: int) -> tuple[list[Path], bool]:
    """Prepared films to compare by: the run's, test films first, evenly taken; else phantoms, and that."""
    turn = {"test": 0, "validation": 1}
    films = sorted(run.cohort, key=lambda film: turn.get(film.split, 2))
    there = [path for path in (run.film_path(film.file) for film in films) if path is not None]
    if there:
        among = there[: max(wanted, sum(film.split == "test" for film in films))]
        rows = np.linspace(0, len(among) - 1, min(wanted, len(among))).round().astype(int)
        return [among[row] for row in rows], False
    announce("Phantoms, since the films of the run are gone")
    drawn = write_phantoms(place / "phantoms", films=wanted, patients=wanted, workers=workers)
    if preparation := run.facts.get("preparation"):
        prepare(drawn, place / "prepared", PrepareOptions(FilterOptions.from_json(preparation["options"])),
                workers=workers, tell=lambda _: None)
        drawn = place / "prepared"
    return sorted(drawn.rglob("*.jpeg")), True


def _reader(run: RunFolder, size: int | None) -> Callable[[Path], Film]:
    """A prepared film's file to uint8 (H, W, 3): as the network takes it, or for None as it is."""
    depth = (run.facts.get("input") or {}).get("depth")
    if size is not None:
        return lambda path: load_film(path, size, depth=depth)
    return lambda path: np.asarray(in_mode(read_film_file(path, depth=depth), "RGB"))


def _computed(network: Network, files: Sequence[Path], read: Callable[[Path], Film], *,
              what: str) -> tuple[Values, float]:
    """Scores (n, K) of films one at a time, and how many a second, reading left out."""
    network(read(files[0])[None])  # what is done for the first film alone isn't counted
    scores, seconds = [], 0.0
    with progress_bar(f"Films by {what}", len(files)) as advance:
        for path in files:
            film = read(path)[None]
            start = time.perf_counter()
            scores.append(np.asarray(network(film)))
            seconds += time.perf_counter() - start
            advance(1)
    return np.concatenate(scores), len(files) / seconds


def _export(reference: _Reference, model: keras.Model, name: str, folder: Path, *, threads: int) -> Parity:
    """Write one format into a new folder, read it again in its own runtime, and note how they compare."""
    announce(f"Export: {name}")
    form, run = FORMATS[name], reference.run
    preparation = (run.facts.get("preparation") or {}).get("options")
    grey = preparation is not None and not preparation["color"]
    contract = _contract(reference, name, grey=grey)
    folder.mkdir()
    write_network(taking_films(model, any_size=form.any_size, grey=grey), folder / form.file, name,
                  facts=contract)
    network = open_network(folder / form.file, name, threads=threads)
    scores, speed = _computed(network, reference.files,
                              _reader(run, None if form.any_size else reference.size), what=name)
    # What is no number is as wrong as a score can be.
    difference = float(np.nan_to_num(np.abs(scores - reference.scores), nan=1.0, posinf=1.0).max())
    kept = np.isfinite(scores).all(axis=1) & (reference.calls(scores) == reference.calls(reference.scores))
    margins = reference.margins()
    row = Parity(name, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()), speed,
                 None, len(scores), reference.phantoms, difference, int((~kept).sum()),
                 int((margins <= difference).sum()), len(margins))
    write_json(folder / CONTRACT, {**contract, "parity": row.to_json()})
    return row


def _contract(reference: _Reference, name: str, *, grey: bool) -> dict[str, Any]:
    """All that a program must know to use an export, ready for JSON."""
    run, point = reference.run, reference.point
    sides = ["height", "width"] if FORMATS[name].any_size else [reference.size, reference.size]
    return {
        "run": run.name, "format": name, "file": FORMATS[name].file,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"), "versions": package_versions(),
        "use": "For learning and research, not a medical device.",
        "classes": run.classes, "positive": run.positive,
        "operating_point": {"name": point.name, "threshold": point.threshold, "rule": point.rule},
        "calibration": point.calibrator.to_json(),
        "input": {"name": "films", "shape": ["films", *sides, 3], "dtype": "uint8", "color_mode": "rgb",
                  "inside": [*(["grey"] if grey else []), *(["size"] if FORMATS[name].any_size else [])],
                  "height": reference.size, "width": reference.size, "interpolation": INTERPOLATION,
                  "depth": (run.facts.get("input") or {}).get("depth")},
        "preparation": run.facts.get("preparation"),
        "output": "an uncalibrated score for each of the classes, in their order"}
