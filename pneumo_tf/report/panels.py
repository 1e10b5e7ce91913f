"""Small multiples: the same pair of curves for every row of a comparison, all on the same axes."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pneumo_tf.report.drawing import FAINT, SERIES
from pneumo_tf.report.language import Language

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = ("loss", "accuracy")
_SIDES = {"train": "", "validation": "val_"}
_DASHES = ("-", (0, (5, 2)))
# Above so many times the usual highest value of a row, a row has diverged.
_DIVERGED = 2.0


@dataclass(frozen=True)
class Frame:
    """The axes that all panels of a metric share.

    Attributes:
        metric: "loss" or "accuracy".
        epochs: The most that any run has.
        low, high: Ends of the vertical axis.
        is_clipped: Some values lie above it.
    """

    metric: str
    epochs: float
    low: float
    high: float
    is_clipped: bool


def frame(rows: list[dict[str, Any]], metric: str) -> Frame | None:
    """Axes that hold every run but for losses that diverged; None where no run has the metric."""
    values = [found for row in rows if (found := _values(row["runs"], metric))]
    if not values:
        return None
    top, usual = max(map(max, values)), statistics.median(map(max, values))
    high = min(top, _DIVERGED * usual) if metric == "loss" else top
    low = min(map(min, values))
    margin = 0.04 * (high - low) or 0.05
    epochs = max(max(_epochs(run)) for row in rows for run in row["runs"] if _epochs(run))
    return Frame(metric, epochs, low - margin, high + margin, is_clipped=high < top)


def panel(runs: list[dict[str, Any]], axes: Frame, words: Language) -> Figure:
    """A metric by epoch on train and validation, one thin line each for every run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1, 2.0), layout="constrained")
    plot = figure.add_subplot()
    for run in runs:
        for index, prefix in enumerate(_SIDES.values()):
            values = run["history"].get(prefix + axes.metric)
            if values:
                plot.plot(_epochs(run), [float("nan") if value is None else value for value in values],
                          color=SERIES[index], linestyle=_DASHES[index], linewidth=1.1,
                          marker="o" if len(values) == 1 else None, markersize=4)
    _dress(plot, axes, words)
    return figure


def _dress(plot: Axes, axes: Frame, words: Language) -> None:
    """Limits, ticks in the reader's language, and no more lines than are needed."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    margin = 0.03 * max(axes.epochs - 1, 1)
    plot.set(xlim=(1 - margin, axes.epochs + margin), ylim=(axes.low, axes.high),
             xlabel=words.say("curve.epoch"))
    plot.spines[:].set_color(FAINT)
    plot.spines[["top", "right"]].set_visible(False)
    plot.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    plot.yaxis.set_major_locator(MaxNLocator(nbins=4))
    plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.number(value)))
    plot.yaxis.set_major_formatter(FuncFormatter(
        lambda value, _: words.number(value, len(f"{value:.3g}".partition(".")[2]))))


def last_values(runs: list[dict[str, Any]], metric: str) -> dict[str, float]:
    """The mean over the runs of what each has last, on train and validation; what none has is left out."""
    lasts = {side: [known[-1] for run in runs if (known := _known(run, prefix + metric))]
             for side, prefix in _SIDES.items()}
    return {side: statistics.fmean(values) for side, values in lasts.items() if values}


def _epochs(run: dict[str, Any]) -> list[float]:
    """The numbers of a run's epochs, counted where they weren't written."""
    columns = run["history"]
    longest = max(map(len, columns.values()), default=0)
    return list(columns.get("epoch") or range(1, longest + 1))


def _values(runs: list[dict[str, Any]], metric: str) -> list[float]:
    return [value for run in runs for prefix in _SIDES.values() for value in _known(run, prefix + metric)]


def _known(run: dict[str, Any], column: str) -> list[float]:
    return [value for value in run["history"].get(column, []) if value is not None]
