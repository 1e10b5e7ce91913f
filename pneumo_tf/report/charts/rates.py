"""Learning rates drawn: the curve of a range test with what it suggests, and schedules over the steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumo_tf.report.charts.drawing import DASHES, SERIES, style, without_box
from pneumo_tf.storage import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "osD^vP"


def plot_rate_curve(axes: Axes, curve_rates: np.ndarray, curve_losses: np.ndarray,
                    suggestions: Mapping[str, float]) -> None:
    """Loss against rate on a logarithmic scale, each suggestion marked on the curve.

    The marks are open and of different shapes, so that two in one place can both be seen; the legend names
    them from the lowest rate to the highest. Labels are English; another language sets its own afterwards.

    Args:
        curve_rates: (N,), growing and above zero.
        curve_losses: (N,), smoothed.
        suggestions: Rates by name; one outside of the curve stands at its end.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    without_box(axes)
    axes.set_xscale("log")
    axes.plot(curve_rates, curve_losses, color=SERIES[0])
    for index, (name, rate) in sorted(enumerate(suggestions.items()), key=lambda item: item[1][1]):
        loss = float(np.interp(np.log(rate), np.log(curve_rates), curve_losses))
        colour = SERIES[1 + index % (len(SERIES) - 1)]
        axes.axvline(rate, color=colour, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.plot(rate, loss, linestyle="", marker=_MARKERS[index % len(_MARKERS)], markersize=9, zorder=5,
                  markerfacecolor="none", markeredgecolor=colour, markeredgewidth=2,
                  label=f"{name}  {_power(rate, 1)}")
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: _power(rate, 0)))
    axes.set(xlabel="Learning rate", ylabel="Loss, smoothed", ylim=_height(curve_losses))
    if suggestions:
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def plot_schedules(axes: Axes, schedules: Mapping[str, np.ndarray]) -> None:
    """Rates over the steps of a phase, one line per schedule.

    Args:
        schedules: Rates (N,) of every step, by the name of the schedule.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    without_box(axes)
    for index, (name, rates) in enumerate(schedules.items()):
        axes.plot(np.arange(len(rates)), rates, color=SERIES[index % len(SERIES)], label=name,
                  linestyle=DASHES[index % len(DASHES)])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:.4g}"))
    axes.set(xlabel="Step", ylabel="Learning rate")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _height(losses: np.ndarray) -> tuple[float, float]:
    """Limits without the last five losses, which would flatten the rest where they shoot up."""
    seen = losses[:-5] if len(losses) > 5 else losses
    low, high = float(np.min(seen)), float(np.max(seen))
    margin = 0.08 * (high - low) or 0.1
    return low - margin, high + margin


def _power(rate: float, digits: int) -> str:
    """A rate as people type it, e.g. "1e-3", "2.5e-4"."""
    mantissa, exponent = f"{rate:.{digits}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def draw_rate_curve(curve_rates: np.ndarray, curve_losses: np.ndarray, suggestions: Mapping[str, float],
                    target: Path) -> None:
    """`plot_rate_curve` as `target`.png and `target`.svg.

    Raises:
        StorageError: The disk refuses.
    """
    _save(target, lambda axes: plot_rate_curve(axes, curve_rates, curve_losses, suggestions))


def draw_schedules(schedules: Mapping[str, np.ndarray], target: Path) -> None:
    """`plot_schedules` as `target`.png and `target`.svg.

    Raises:
        StorageError: The disk refuses.
    """
    _save(target, lambda axes: plot_schedules(axes, schedules))


def _save(target: Path, plot: Callable[[Axes], None]) -> None:
    from matplotlib.figure import Figure

    with style(target.name):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        plot(figure.add_subplot())
        for extension in ("png", "svg"):
            with replacing(target.with_suffix(f".{extension}")) as temporary:
                figure.savefig(temporary, dpi=160, facecolor="white")
