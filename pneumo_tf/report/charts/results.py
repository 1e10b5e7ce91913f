"""The charts of a run's results: class frequencies, confusion matrix, ROC, reliability, decision curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pneumo_tf.report.charts.drawing import DASHES, FAINT, INK, SERIES, new_axes
from pneumo_tf.report.words import Language

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HATCHES = ("", "///", "...")


def class_bars(counts: Mapping[str, Mapping[str, int]], shares: Mapping[str, Sequence[float]],
               classes: Sequence[str], words: Language) -> Figure:
    """For each class a bar per split: its share of the split's films, with their number above.

    Args:
        counts: Films by split and class.
        shares: Of the classes in each split, from 0 to 1.
        classes: In the order of the shares.
        words: The language.
    """
    from matplotlib.ticker import FuncFormatter

    figure, axes = new_axes(words, width=min(2.2 + 1.6 * len(classes), 9.0), height=3.2)
    for index, split in enumerate(counts):
        places = [place + 0.27 * (index - 1) for place in range(len(classes))]
        axes.bar(places, shares[split], width=0.25, color=SERIES[index], hatch=_HATCHES[index],
                 edgecolor="white", linewidth=0, label=words.say(f"split.{split}"))
        if len(classes) < 5:
            for place, height, label in zip(places, shares[split], classes, strict=True):
                axes.text(place, height, words.number(counts[split][label]), ha="center", va="bottom",
                          fontsize=9)
    axes.set_xticks(range(len(classes)), classes, rotation=0 if len(classes) < 5 else 30,
                    ha="center" if len(classes) < 5 else "right")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.percent(value, 0)))
    axes.set_ylabel(words.say("distribution.y"))
    axes.margins(y=0.12)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    figure.legend(frameon=False, loc="outside upper left", ncols=3)
    return figure


def roc(curves: dict[str, dict[str, list[float]]], words: Language, *,
        point: tuple[float, float] | None = None) -> Figure:
    """ROC curves by class, and the operating point as (false positive rate, sensitivity)."""
    figure, axes = new_axes(words, width=4.6, height=4.2)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    for index, (name, curve) in enumerate(curves.items()):
        axes.plot(curve["fpr"], curve["tpr"], color=SERIES[index % len(SERIES)],
                  linestyle=DASHES[index % len(DASHES)], label=name)
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
    figure, axes = new_axes(words, width=1.6 + cell * size, height=1.2 + 0.7 * cell * size)
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
    figure, axes = new_axes(words, width=4.6, height=4.2)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    for index, (name, parts) in enumerate(bins.items()):
        x, y = ([part[key] for part in parts] for key in ("mean_score", "share"))
        reach = [[part["share"] - part["low"] for part in parts],
                 [part["high"] - part["share"] for part in parts]]
        axes.errorbar(x, y, yerr=reach, color=SERIES[index], linestyle=DASHES[index], marker="os"[index],
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
    figure, axes = new_axes(words, width=6.0, height=3.6)
    axes.axhline(0, color=SERIES[2], linestyle=DASHES[2], label=words.say("benefit.none"))
    for index, name in enumerate(("network", "all")):
        axes.plot(curve["threshold"], curve[name], color=SERIES[index], linestyle=DASHES[index],
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
