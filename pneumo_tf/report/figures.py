"""The curves and the matrix of the report, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from pneumo_tf.report.drawing import FAINT, INK, SERIES
from pneumo_tf.report.language import Language

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


def learning_curve(history: pd.DataFrame, metric: str, words: Language) -> Figure | None:
    """A metric by epoch on train and validation; None where no epoch has it."""
    from matplotlib.ticker import MaxNLocator

    columns = [name for name in (metric, f"val_{metric}") if name in history and history[name].notna().any()]
    if not columns:
        return None
    figure, axes = _axes(words, width=4.8, height=3.0)
    epochs = history["epoch"] if "epoch" in history else pd.Series(range(1, len(history) + 1))
    for name in columns:
        is_validation = name.startswith("val_")
        axes.plot(epochs, history[name], color=SERIES[is_validation], linestyle=_DASHES[is_validation],
                  marker="o", markersize=3 if len(epochs) > 1 else 6,
                  label=words.say("curve.validation" if is_validation else "curve.train"))
    _phases(axes, history, epochs, words)
    axes.set_xlabel(words.say("curve.epoch"))
    axes.set_title(words.named("curve.metric", metric), loc="left", pad=18)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def roc(curves: dict[str, dict[str, list[float]]], words: Language, *,
        point: tuple[float, float] | None = None) -> Figure:
    """ROC curves by class, and the operating point as (false positive rate, sensitivity)."""
    figure, axes = _axes(words, width=4.6, height=4.2)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    for index, (name, curve) in enumerate(curves.items()):
        axes.plot(curve["fpr"], curve["tpr"], color=SERIES[index % len(SERIES)],
                  linestyle=_DASHES[index % len(_DASHES)], label=name)
    if point is not None:
        axes.plot(*point, marker="o", markersize=8, markerfacecolor="none", markeredgewidth=2, linestyle="",
                  color=SERIES[1], clip_on=False, zorder=5, label=words.say("roc.point"))
    axes.set(xlabel=words.say("roc.x"), ylabel=words.say("roc.y"), xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right")
    return figure


def confusion(counts: Sequence[Sequence[int]], shares: Sequence[Sequence[float]], classes: Sequence[str],
              words: Language) -> Figure:
    """The confusion matrix: films, and the share of the actual class; shaded by the share."""
    size = len(classes)
    cell = 1.3 if size < 5 else 0.8
    figure, axes = _axes(words, width=1.6 + cell * size, height=1.2 + 0.7 * cell * size)
    for row in range(size):
        for column in range(size):
            _cell(axes, row, column, share=shares[row][column],
                  fontsize=11 if size < 5 else 8,
                  text=f"{words.number(counts[row][column])}\n{words.percent(shares[row][column])}")
    axes.set(xlim=(0, size), ylim=(size, 0), xlabel=words.say("confusion.predicted"),
             ylabel=words.say("confusion.actual"))
    middles = [index + 0.5 for index in range(size)]
    axes.set_xticks(middles, classes, rotation=0 if size < 4 else 30, ha="center" if size < 4 else "right")
    axes.set_yticks(middles, classes)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    return figure


def reliability(bins: dict[str, list[dict[str, float]]], words: Language, *,
                top_label: bool = False) -> Figure:
    """The share of positive films against their mean score, with Wilson intervals; one line per key.

    With `top_label` the share of films whose highest score is that of their class, against that score.
    """
    figure, axes = _axes(words, width=4.6, height=4.2)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    for index, (name, parts) in enumerate(bins.items()):
        x, y = ([part[key] for part in parts] for key in ("mean_score", "share"))
        reach = [[part["share"] - part["low"] for part in parts],
                 [part["high"] - part["share"] for part in parts]]
        axes.errorbar(x, y, yerr=reach, color=SERIES[index], linestyle=_DASHES[index], marker="os"[index],
                      markersize=5, linewidth=1.5, elinewidth=0.8, label=name)
    share = words.say("calibration.y.several" if top_label else "calibration.y")
    axes.set(xlabel=words.say("calibration.x"), ylabel=share, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="best")
    return figure


def decision_curve(curve: dict[str, Any], words: Language) -> Figure:
    """Net benefit of the network, of calling all films positive and of calling none, by threshold.

    The network's with its interval, where the run has one.
    """
    figure, axes = _axes(words, width=6.0, height=3.6)
    axes.axhline(0, color=SERIES[2], linestyle=_DASHES[2], label=words.say("benefit.none"))
    for index, name in enumerate(("network", "all")):
        axes.plot(curve["threshold"], curve[name], color=SERIES[index], linestyle=_DASHES[index],
                  label=words.say(f"benefit.{name}"))
    if curve.get("low", [None])[0] is not None:
        axes.fill_between(curve["threshold"], curve["low"], curve["high"], color=SERIES[0], alpha=0.18,
                          linewidth=0)
    top = max(*curve["network"], *curve["all"], 0.01)
    # Calling all falls without end: what lies far below nothing isn't worth the space.
    axes.set(xlabel=words.say("benefit.x"), ylabel=words.say("benefit.y"), xlim=(0, 1),
             ylim=(-0.25 * top, 1.08 * top))
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 0.2))  # above the line of none
    return figure


def _cell(axes: Axes, row: int, column: int, *, share: float, text: str, fontsize: int) -> None:
    from matplotlib.patches import Rectangle

    colour = SERIES[0] if row == column else SERIES[1]
    # At most 0.45 opaque, so that the ink stays legible on it in light and in dark mode.
    axes.add_patch(Rectangle((column + 0.03, row + 0.03), 0.94, 0.94, facecolor=colour,
                             alpha=0.06 + 0.39 * share, linewidth=0))
    axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=INK, fontsize=fontsize)


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


def _axes(words: Language, *, width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[:].set_color(FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    formatter = FuncFormatter(lambda value, _: words.number(value, _decimals(value)))
    axes.xaxis.set_major_formatter(formatter)
    axes.yaxis.set_major_formatter(formatter)
    return figure, axes


def _decimals(tick: float) -> int:
    """As many decimals as the tick needs, so that 0.925 isn't written as 0.93."""
    return len(f"{tick:.4g}".partition(".")[2])
