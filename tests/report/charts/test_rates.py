import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from pneumo_tf.report.charts.drawing import drawn, style
from pneumo_tf.report.charts.rates import plot_rate_curve, plot_schedules

RATES = np.geomspace(1e-7, 10, 100)
LOSSES = 1 - 0.6 / (1 + np.exp(-np.linspace(-8, 8, 100))) + np.linspace(0, 1, 100) ** 12
SUGGESTIONS = {"minimum": 2.5e-2, "steep": 1e-3, "valley": 8e-4, "slide": 1.2e-1}


def curve(suggestions=SUGGESTIONS):
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    with style():
        axes = figure.add_subplot()
        plot_rate_curve(axes, RATES, LOSSES, suggestions)
    return axes


def marks(axes):
    return {line.get_label().split()[0]: line for line in axes.lines if line.get_marker() not in ("None", "")}


def test_every_suggestion_is_marked_on_the_curve_at_its_rate():
    found = marks(curve())
    assert set(found) == set(SUGGESTIONS)
    for name, rate in SUGGESTIONS.items():
        assert found[name].get_xdata()[0] == rate
        nearest = np.abs(np.log(RATES / rate)).argmin()
        assert found[name].get_ydata()[0] == pytest.approx(LOSSES[nearest], abs=0.02)


def test_suggestions_differ_in_colour_and_in_shape_and_let_each_other_be_seen():
    found = marks(curve()).values()
    assert len({line.get_markeredgecolor() for line in found}) == 4
    assert len({line.get_marker() for line in found}) == 4
    assert {line.get_markerfacecolor() for line in found} == {"none"}


def test_a_rules_colour_and_shape_do_not_depend_on_the_rates_it_found():
    other = {**SUGGESTIONS, "minimum": 1e-6, "slide": 1e-5}
    for name, line in marks(curve(other)).items():
        assert line.get_marker() == marks(curve())[name].get_marker()
        assert line.get_markeredgecolor() == marks(curve())[name].get_markeredgecolor()


def test_the_legend_reads_from_the_lowest_rate_to_the_highest_as_people_type_them():
    legend = [text.get_text() for text in curve().get_legend().get_texts()]
    assert legend == ["valley  8.0e-4", "steep  1.0e-3", "minimum  2.5e-2", "slide  1.2e-1"]


def test_the_scale_is_logarithmic_with_every_power_of_ten_named(tmp_path):
    axes = curve()
    assert axes.get_xscale() == "log"
    svg = drawn("rates", lambda: axes.figure, tmp_path)
    assert {f">1e{power}</text>" for power in range(-7, 2)} <= set(re.findall(r">1e-?\d+</text>", svg))
    assert (tmp_path / "rates.png").stat().st_size > 5000


def test_a_suggestion_beyond_the_curve_stands_at_its_end():
    assert marks(curve({"minimum": 1e-8}))["minimum"].get_ydata()[0] == LOSSES[0]


def test_losses_that_shoot_up_at_the_end_do_not_flatten_the_curve():
    axes = Figure().add_subplot()
    plot_rate_curve(axes, RATES, np.append(LOSSES[:-2], [50.0, 5000.0]), SUGGESTIONS)
    low, high = axes.get_ylim()
    assert low < LOSSES[:-5].min()
    assert LOSSES[:-5].max() < high < 2


def test_a_level_curve_can_be_drawn():
    axes = Figure().add_subplot()
    plot_rate_curve(axes, RATES[:4], np.ones(4), {})
    assert axes.get_ylim() == pytest.approx((0.9, 1.1))


def test_a_curve_alone_needs_no_legend():
    assert curve({}).get_legend() is None


def test_schedules_are_lines_over_the_steps_that_differ_in_colour_and_dashes():
    axes = Figure().add_subplot()
    schedules = {"one-cycle": np.linspace(0, 1e-3, 40), "constant": np.full(40, 5e-4)}
    plot_schedules(axes, schedules)
    for line, (name, rates) in zip(axes.lines, schedules.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_ydata(), rates)
        np.testing.assert_array_equal(line.get_xdata(), np.arange(40))
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 2
    assert axes.get_ylim()[0] == 0


def test_matplotlib_is_only_imported_to_draw():
    code = "import sys, pneumo_tf.report.charts.rates; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
