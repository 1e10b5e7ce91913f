"""Curves over epochs, splits and numbers of patients."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from pneumo_tf.report.charts.drawing import DASHES, INK, SERIES, dressed, new_axes
from pneumo_tf.report.words import Language

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_METRICS = ("loss", "accuracy")
_SIDES = {"train": "", "validation": "val_"}
# Above so many times the usual highest value of a row, a row has diverged.
_DIVERGED = 2.0


def recorded(history: pd.DataFrame, metric: str) -> list[str]:
    """The columns of a metric, on train and validation, in which some epoch has a value."""
    return [name for name in (metric, f"val_{metric}") if name in history and history[name].notna().any()]


def epoch_curve(history: pd.DataFrame, metric: str, words: Language) -> Figure:
    """A metric by epoch on train and validation."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_axes(words, width=4.8, height=3.0)
    epochs = history["epoch"] if "epoch" in history else pd.Series(range(1, len(history) + 1))
    for name in recorded(history, metric):
        is_validation = name.startswith("val_")
        axes.plot(epochs, history[name], color=SERIES[is_validation], linestyle=DASHES[is_validation],
                  marker="o", markersize=3 if len(epochs) > 1 else 6,
                  label=words.say("curve.validation" if is_validation else "curve.train"))
    _phases(axes, history, epochs, words)
    axes.set_xlabel(words.say("curve.epoch"))
    axes.set_title(words.named("curve.metric", metric), loc="left", pad=18)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def _phases(axes: Axes, history: pd.DataFrame, epochs: pd.Series, words: Language) -> None:
    """A line where a new phase of the recipe begins, with its name."""
    if "phase" not in history or history["phase"].nunique() < 2:
        return
    starts = history["phase"].ne(history["phase"].shift()).to_numpy().nonzero()[0]
    for start in starts:
        if start:
            axes.axvline(float(epochs.iloc[start]) - 0.5, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.text(float(epochs.iloc[start]) - 0.45, 1.01, words.named("phase", history["phase"].iloc[start]),
                  fontsize=8, color=INK, va="bottom", transform=axes.get_xaxis_transform())


@dataclass(frozen=True)
class PanelAxes:
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


def panel_axes(rows: list[dict[str, Any]], metric: str) -> PanelAxes | None:
    """Axes that hold every run but for losses that diverged; None where no run has the metric."""
    values = [found for row in rows if (found := _values(row["runs"], metric))]
    if not values:
        return None
    top, usual = max(map(max, values)), statistics.median(map(max, values))
    high = min(top, _DIVERGED * usual) if metric == "loss" else top
    low = min(map(min, values))
    margin = 0.04 * (high - low) or 0.05
    epochs = max(max(_epochs(run)) for row in rows for run in row["runs"] if _epochs(run))
    return PanelAxes(metric, epochs, low - margin, high + margin, is_clipped=high < top)


def panel(runs: list[dict[str, Any]], axes: PanelAxes, words: Language) -> Figure:
    """A metric by epoch on train and validation, one thin line each for every run."""
    from matplotlib.ticker import MaxNLocator

    figure, plot = new_axes(words, width=3.1, height=2.0, significant=3)
    for run in runs:
        for index, prefix in enumerate(_SIDES.values()):
            values = run["history"].get(prefix + axes.metric)
            if values:
                plot.plot(_epochs(run), [float("nan") if value is None else value for value in values],
                          color=SERIES[index], linestyle=DASHES[index], linewidth=1.1,
                          marker="o" if len(values) == 1 else None, markersize=4)
    margin = 0.03 * max(axes.epochs - 1, 1)
    plot.set(xlim=(1 - margin, axes.epochs + margin), ylim=(axes.low, axes.high),
             xlabel=words.say("curve.epoch"))
    plot.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    plot.yaxis.set_major_locator(MaxNLocator(nbins=4))
    return figure


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


def split_dots(found: Mapping[str, Any], words: Language) -> Figure:
    """A line of dots for each figure, one per split; the run's own split as a ring."""
    names = [name for name in found["figures"] if name != "brier"]  # the one that is better when low
    figure, axes = new_axes(words, width=6.4, height=0.9 + 0.42 * len(names))
    for place, name in enumerate(names):
        values = [split["figures"][name] for split in found["splits"]]
        axes.plot(values, [place] * len(values), linestyle="", marker="o", markersize=6, alpha=0.6,
                  color=SERIES[0], label="" if place else words.say("repeat_splits.others"))
        axes.plot([found["figures"][name]["own"]], [place], linestyle="", marker="o", markersize=10,
                  markerfacecolor="none", markeredgewidth=2, color=SERIES[1],
                  label="" if place else words.say("repeat_splits.own"))
    axes.set_yticks(range(len(names)), [words.say(f"figure.{name}") for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    figure.legend(frameon=False, loc="outside upper right", ncols=2)
    return figure


def patient_curves(learning: Mapping[str, Any], area: str, words: Language) -> Figure:
    """The area and the log loss by patients, with the range of the draws and the law where it holds.

    Args:
        learning: Of the record.
        area: "auc" or "macro_auc".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 3.3), layout="constrained")
    for axes, key, name in zip(figure.subplots(1, 2), ("area", "log_loss"), (area, "log_loss"),
                               strict=True):
        dressed(axes, words)
        _curve(axes, learning["sizes"], key)
        if learning["outlook"][key].get("law"):
            _law(axes, learning["outlook"][key], is_area=key == "area", words=words)
        _by_patients(axes, [size["patients"] for size in learning["sizes"]], words)
        axes.set_title(words.say(f"figure.{name}"), loc="left")
    return figure


def _curve(axes: Axes, sizes: list[dict[str, Any]], key: str) -> None:
    patients = [size["patients"] for size in sizes]
    low, value, high = ([size[key][end] for size in sizes] for end in ("low", "value", "high"))
    axes.fill_between(patients, low, high, color=SERIES[0], alpha=0.18, linewidth=0)
    axes.plot(patients, value, color=SERIES[0], marker="o", markersize=4, linewidth=1.5)


def _law(axes: Axes, outlook: Mapping[str, Any], *, is_area: bool, words: Language) -> None:
    """The law from the largest measured size on to twice as many."""
    import numpy as np

    from pneumo_tf.evaluation.refits import PowerLaw

    x = np.geomspace(outlook["patients"] / 2, outlook["patients"], 30)
    errors = PowerLaw(**outlook["law"]).at(x)
    y = 1 - errors if is_area else errors
    axes.plot(x, y, color=SERIES[1], linestyle=DASHES[1], label=words.say("learning.law"))
    axes.plot(x[-1], y[-1], color=SERIES[1], marker="o", markerfacecolor="none", markersize=7)
    axes.legend(frameon=False, loc="lower right" if is_area else "upper right")


def _by_patients(axes: Axes, patients: list[int], words: Language) -> None:
    """A logarithmic axis with a tick at every second size, the largest among them."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes.set_xscale("log")
    axes.set_xticks(patients[::-2])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.number(value)))
    axes.set_xlabel(words.say("learning.x"))
