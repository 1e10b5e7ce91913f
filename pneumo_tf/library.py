"""The library's door, for a notebook: films in, a run out that draws itself; no HTML, nothing to remember.

    run = learn("films/", output="model", epochs=10)
    run.plot_confusion()
    run.top_losses()
    run.explain("PNEUMONIA-17")
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pneumo_tf.language import current
from pneumo_tf.progress import quiet

with quiet():  # the backend greets when it is loaded and when it computes for the first time
    import keras

    keras.ops.zeros(1)

from pneumo_tf.data.images import in_mode, read_film_file
from pneumo_tf.data.labels import read_folder
from pneumo_tf.data.preparation.filters import FilterOptions
from pneumo_tf.data.preparation.prepare import PrepareOptions, prepare
from pneumo_tf.data.preparation.record import read_prepared
from pneumo_tf.evaluation.error_analysis import most_confused
from pneumo_tf.explain.films import choose_films, explain_one
from pneumo_tf.explain.lime import LimeOptions
from pneumo_tf.explain.methods import Explainer
from pneumo_tf.explain.network import Network, network_of_run
from pneumo_tf.explain.pictures import explanation_panel
from pneumo_tf.places import PREPARED_FOLDER
from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.block import block
from pneumo_tf.reading.incoming import find_given, opened
from pneumo_tf.reading.predict import reader_of
from pneumo_tf.report.charts import results
from pneumo_tf.report.charts.curves import epoch_curve
from pneumo_tf.report.charts.drawing import make_legible, style
from pneumo_tf.report.sections.distribution import counts_and_shares
from pneumo_tf.report.sections.explanations import sentence
from pneumo_tf.report.sections.result import roc_curves, roc_point
from pneumo_tf.report.words import Language, language
from pneumo_tf.runs.folder import REPORT, ROBUSTNESS, RunFolder, read_run
from pneumo_tf.runs.predictor import predictor_of
from pneumo_tf.storage import replacing
from pneumo_tf.studies.plan import StudyOptions
from pneumo_tf.studies.stress import Rescoring, rescore_run
from pneumo_tf.studies.train import run_study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS, _SIDE, _DPI = 4, 2.6, 110


class Drawing:
    """A matplotlib figure that a notebook shows when it is the last word of a cell.

    Attributes:
        figure: To be changed as one likes.
    """

    def __init__(self, draw: Callable[[], Figure]) -> None:
        with style():
            self.figure = draw()
            make_legible(self.figure)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with style():
            self.figure.savefig(buffer, format="png", dpi=_DPI, facecolor="white")
        return buffer.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write it as a PNG; a StorageError where the disk refuses."""
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(self._repr_png_())
        return Path(path)


@dataclass(frozen=True)
class Prediction:
    """What a run says of one film: the answer, and the same in a few lines, which a notebook shows."""

    answer: Answer
    text: str

    def __repr__(self) -> str:
        return self.text


def gallery(pictures: Sequence[tuple[NDArray[np.uint8] | None, str]]) -> Drawing:
    """Pictures uint8 (H, W) or (H, W, 3) side by side, four in a row, each with its title; None is a gap."""

    def draw() -> Figure:
        from matplotlib.figure import Figure

        rows = max(1, -(-len(pictures) // _COLUMNS))
        figure = Figure(figsize=(_SIDE * _COLUMNS, (_SIDE + 0.7) * rows), layout="constrained")
        grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, (picture, title) in zip(grid, pictures, strict=False):
            if picture is not None:
                axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axes.set_title(title, fontsize=8)
        return figure

    return Drawing(draw)


def learn(films: str | Path, *, output: str | Path = "model", lang: str | None = None, color: bool = False,
          **options: Any) -> Run:
    """Prepare and label films where nobody has, train a network on them, and test it.

    Args:
        films: A folder that prepare_pict.py filled; or class folders or a .zip of them, which are prepared
            into `clasificacion` within the output.
        output: Folder of the runs.
        lang: "en" or "es", of report and figures; None takes the locale's.
        color: Keep the colours of films that are prepared here.
        options: Anything else of `StudyOptions`, e.g. `recipe`, `epochs`, `backbone`, `positive`, `seed`.

    Raises:
        PneumoError: Anything that the person who started it can mend.
    """
    output, films = Path(output), Path(films)
    if films.is_file() or read_prepared(films) is None:
        prepared = output / PREPARED_FOLDER
        prepare(films, prepared, PrepareOptions(FilterOptions(color=color)), tell=lambda _: None)
        films = prepared
    labels = output / "labels.csv"
    read_folder(films).write_csv(labels)
    return open_run(run_study(StudyOptions(films=films, labels=labels, output=output, lang=lang or current(),
                                           **options)), lang=lang)


def open_run(folder: str | Path, *, lang: str | None = None) -> Run:
    """A finished run; a RunError where there is none."""
    return Run(read_run(Path(folder)), language(lang or current()))


@dataclass(frozen=True)
class Run:
    """A finished run that draws itself; `folder` is its record, `words` the language of the drawings."""

    folder: RunFolder
    words: Language

    def __repr__(self) -> str:
        return f"Run({str(self.folder.path)!r})"

    @property
    def report(self) -> Path:
        """The whole report, one HTML file."""
        return self.folder.path / REPORT

    @property
    def figures(self) -> pd.DataFrame:
        """The figures of the test films with their 95 % intervals, a row each."""
        return self._table(self.folder.test["figures"])

    @property
    def resampled(self) -> pd.DataFrame:
        """The figures of the validation films drawn with the class shares of the test films."""
        return self._table(self.folder.metrics["validation"]["resampling"].get("figures", {}))

    def _table(self, figures: Mapping[str, Any]) -> pd.DataFrame:
        rows = {self.words.named("figure", name): [figure.get(part) for part in ("value", "low", "high")]
                for name, figure in figures.items()}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"])

    def judge_views(self, count: int = 8, *, preset: str = "films", films: int = 300) -> pd.DataFrame:
        """Test films by several views of each: every way to combine them, at the run's threshold and at one
        that was fixed on validation films treated alike. It goes into the run's report too.

        Args:
            count: Views of each film, itself among them.
            preset: What the others are drawn from, a preset of `training.views`.
            films: Most films of each split.
        """
        rescore_run(self.folder.path, Rescoring(views=count, preset=preset, films=films,
                                                lang=self.words.code))
        rows = {}
        for way in self.folder.record(ROBUSTNESS)["views"]["ways"]:
            for threshold in ("own", "refixed"):
                if way[threshold]:
                    rows[way["name"], threshold] = {"threshold": way[threshold]["threshold"], **{
                        self.words.named("figure", name): figure["value"]
                        for name, figure in way[threshold]["figures"].items()}}
        return pd.DataFrame.from_dict(rows, orient="index")

    def plot_classes(self) -> Drawing:
        """How frequent each class is in each split."""
        counts, shares = counts_and_shares(self.folder)
        return Drawing(lambda: results.class_bars(counts, shares, self.folder.classes, self.words))

    def plot_curves(self, metric: str = "loss") -> Drawing:
        """A column of history.csv over the epochs, on training and validation films."""
        return Drawing(lambda: epoch_curve(self.folder.history, metric, self.words))

    def plot_confusion(self) -> Drawing:
        """What the test films are against what they were called."""
        test = self.folder.test
        return Drawing(lambda: results.confusion(test["confusion"], test["confusion_normalised"],
                                                 self.folder.classes, self.words))

    def plot_roc(self) -> Drawing:
        """The ROC curves of the test films, with the operating point."""
        return Drawing(lambda: results.roc(roc_curves(self.folder), self.words, point=roc_point(self.folder)))

    def most_confused(self, at_least: int = 1) -> pd.DataFrame:
        """Pairs of classes that were taken for each other at least so often, most often first."""
        found = most_confused(self.folder.test["confusion"], self.folder.classes, min_val=at_least)
        return pd.DataFrame([pair._asdict() for pair in found], columns=["actual", "predicted", "films"])

    def top_losses(self, count: int = 8) -> Drawing:
        """The test films to whose true class the network gave the least probability."""
        say, files = self.words.say, {film.id: film.file for film in self.folder.cohort}
        pictures = []
        for film in self.folder.test["errors"]["top_losses"][:count]:
            path = self.folder.film_path(files[film["id"]])
            probability = say("errors.probability", label=film["actual"],
                              probability=self.words.number(film["probability"], 3))
            pictures.append((None if path is None else np.asarray(in_mode(read_film_file(path), "RGB")),
                             f"{film['id']}\n{say('errors.is', label=film['actual'])}, "
                             f"{say('errors.said', predicted=film['predicted'])}\n{probability}"))
        return gallery(pictures)

    def predict(self, film: str | Path) -> Prediction:
        """Read a new film, prepared on the way as the run's own were.

        Raises:
            FilmError: There is no such file.
        """
        reader = reader_of(self.folder, predictor_of(self.folder), self.words)
        with opened(find_given([str(film)])) as films:
            answer = next(reader.answers(films))
        return Prediction(answer, block(answer, self.folder, reader))

    def explain(self, film: str | Path, methods: Sequence[str] = ("gradcam", "lime-slic"), *,
                wanted: str | None = None, **lime: Any) -> Drawing:
        """Where the network looks on a film of the run, by its id, or on another, by its path.

        Args:
            film: An id of split.csv or the path of an image.
            methods: Names of `explain.methods.METHODS`.
            wanted: The class to explain; None takes the positive one, of several the called one.
            lime: Options of `LimeOptions`, e.g. `samples`, `surrogate`, `absent`.

        Raises:
            FilmError: There is no such film.
            OptionError: An unknown method, class or option of LIME.
        """
        chosen = choose_films([str(film)], run=self.folder)[0]
        explainer = Explainer(self._network, options=LimeOptions(**lime))
        found = explain_one(explainer, chosen, methods, wanted=wanted)
        return Drawing(lambda: explanation_panel(
            found.film, found.findings, words=self.words, title=sentence(found.record, self.words),
            explained=found.record["explained"]))

    @cached_property
    def _network(self) -> Network:
        return network_of_run(self.folder)
