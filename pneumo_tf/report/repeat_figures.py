"""The drawings of repeats.json: a figure over several splits, and over the number of patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pneumo_tf.report.drawing import FAINT, SERIES
from pneumo_tf.report.language import Language

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHES = (0, (5, 2))


def figure_name(figure: str, words: Language) -> str:
    """What a figure is called."""
    return words.say(f"repeat_splits.{figure}" if figure in ("brier", "log_loss") else f"figure.{figure}")


def spread_figure(found: Mapping[str, Any], words: Language) -> Figure:
    """A line of dots for each figure, one per split; the run's own split as a ring."""
    from matplotlib.figure import Figure

    names = [name for name in found["figures"] if name != "brier"]  # the one that is better when low
    figure = Figure(figsize=(6.4, 0.9 + 0.42 * len(names)), layout="constrained")
    axes = _plain(figure.add_subplot(), words)
    for place, name in enumerate(names):
        values = [split["figures"][name] for split in found["splits"]]
        axes.plot(values, [place] * len(values), linestyle="", marker="o", markersize=6, alpha=0.6,
                  color=SERIES[0], label="" if place else words.say("repeat_splits.others"))
        axes.plot(found["figures"][name]["own"], place, linestyle="", marker="o", markersize=10,
                  markerfacecolor="none", markeredgewidth=2, color=SERIES[1],
                  label="" if place else words.say("repeat_splits.own"))
    axes.set_yticks(range(len(names)), [figure_name(name, words) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    figure.legend(frameon=False, loc="outside upper right", ncols=2)
    return figure


def curve_figure(learning: Mapping[str, Any], area: str, words: Language) -> Figure:
    """The area and the log loss by patients, with the range of the draws and the law where it holds.

    Args:
        learning: Of the record.
        area: "auc" or "macro_auc".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 3.3), layout="constrained")
    for axes, key, name in zip(figure.subplots(1, 2), ("area", "log_loss"), (area, "log_loss"),
                               strict=True):
        _plain(axes, words)
        _curve(axes, learning["sizes"], key)
        if learning["outlook"][key].get("law"):
            _law(axes, learning["outlook"][key], is_area=key == "area", words=words)
        _by_patients(axes, [size["patients"] for size in learning["sizes"]], words)
        axes.set_title(figure_name(name, words), loc="left")
    return figure


def _curve(axes: Axes, sizes: list[dict[str, Any]], key: str) -> None:
    patients = [size["patients"] for size in sizes]
    low, value, high = ([size[key][end] for size in sizes] for end in ("low", "value", "high"))
    axes.fill_between(patients, low, high, color=SERIES[0], alpha=0.18, linewidth=0)
    axes.plot(patients, value, color=SERIES[0], marker="o", markersize=4, linewidth=1.5)


def _law(axes: Axes, outlook: Mapping[str, Any], *, is_area: bool, words: Language) -> None:
    """The law from the largest measured size on to twice as many."""
    import numpy as np

    from pneumo_tf.evaluation.learning_curve import PowerLaw

    x = np.geomspace(outlook["patients"] / 2, outlook["patients"], 30)
    errors = PowerLaw(**outlook["law"]).at(x)
    y = 1 - errors if is_area else errors
    axes.plot(x, y, color=SERIES[1], linestyle=_DASHES, label=words.say("learning.law"))
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


def _plain(axes: Axes, words: Language) -> Axes:
    from matplotlib.ticker import FuncFormatter

    axes.spines[:].set_color(FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    formatter = FuncFormatter(lambda value, _: words.number(value, len(f"{value:.4g}".partition(".")[2])))
    axes.xaxis.set_major_formatter(formatter)
    axes.yaxis.set_major_formatter(formatter)
    return axes
