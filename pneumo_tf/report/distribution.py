"""How frequent the classes are in each split, what follows, and the validation drawn like the test."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from pneumo_tf.report.drawing import FAINT, SERIES, drawn
from pneumo_tf.report.language import Language
from pneumo_tf.report.tables import SPLITS, FigureRow, figure_row
from pneumo_tf.runs.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Shares that differ by less move a predictive value by about a point at most.
_SAME = 0.02
_HATCHES = ("", "///", "...")
Counts = dict[str, dict[str, int]]


class ResampledRow(NamedTuple):
    """One figure of the validation films, as they are and as they were drawn."""

    plain: FigureRow
    drawn: FigureRow


def content(run: RunFolder, words: Language) -> dict[str, Any]:
    """What the section on class distributions shows, under the one key `distribution`."""
    counts = _counts(run)
    svg = drawn("distribution", lambda: bars(counts, run.classes, words), run.path / "figures")
    found = (run.metrics.get("validation") or {}).get("resampling") or {}
    return {"distribution": {"svg": Markup(svg), "alt": _alt(counts, run, words),
                             "implies": _implications(counts, run, words),
                             "resampled": _drawn(found, words) if "figures" in found else "",
                             "rows": _rows(found, run, words)}}


def bars(counts: Counts, classes: list[str], words: Language) -> Figure:
    """For each class a bar per split: its share of the split's films, with their number above."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(min(2.2 + 1.6 * len(classes), 9.0), 3.2), layout="constrained")
    axes = figure.add_subplot()
    for index, split in enumerate(SPLITS):
        shares = _shares(counts[split], classes)
        places = [place + 0.27 * (index - 1) for place in range(len(classes))]
        axes.bar(places, shares, width=0.25, color=SERIES[index], hatch=_HATCHES[index], edgecolor="white",
                 linewidth=0, label=words.say(f"split.{split}"))
        if len(classes) < 5:
            for place, height, label in zip(places, shares, classes, strict=True):
                axes.text(place, height, words.number(counts[split][label]), ha="center", va="bottom",
                          fontsize=9)
    axes.set_xticks(range(len(classes)), classes, rotation=0 if len(classes) < 5 else 30,
                    ha="center" if len(classes) < 5 else "right")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.percent(value, 0)))
    axes.set_ylabel(words.say("distribution.y"))
    axes.margins(y=0.12)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.spines[:].set_color(FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper left", ncols=3)
    return figure


def _counts(run: RunFolder) -> Counts:
    """Films by split and class."""
    found = Counter((film.split, film.label) for film in run.cohort)
    return {split: {label: found[split, label] for label in run.classes} for split in SPLITS}


def _shares(films: dict[str, int], classes: list[str]) -> list[float]:
    total = max(sum(films.values()), 1)
    return [films[label] / total for label in classes]


def _implications(counts: Counts, run: RunFolder, words: Language) -> list[str]:
    """A sentence each on what validation, training and the world outside have in common with the test."""
    test = _shares(counts["test"], run.classes)
    said = []
    for split in ("validation", "train"):
        gaps = [abs(there - here) for there, here in
                zip(_shares(counts[split], run.classes), test, strict=True)]
        label = run.positive if run.is_binary else run.classes[gaps.index(max(gaps))]
        place = run.classes.index(label)
        said.append(words.say(f"distribution.{split}.{'same' if max(gaps) < _SAME else 'other'}", label=label,
                              there=words.percent(_shares(counts[split], run.classes)[place]),
                              test=words.percent(test[place])))
    return [*said, words.say("distribution.elsewhere")]


def _alt(counts: Counts, run: RunFolder, words: Language) -> str:
    parts = "; ".join(words.say("distribution.part", split=words.say(f"split.{split}"), label=label,
                                films=words.count(counts[split][label], "film"), share=words.percent(value))
                      for split in SPLITS
                      for label, value in zip(run.classes, _shares(counts[split], run.classes), strict=True))
    return words.say("distribution.alt", parts=parts)


def _drawn(found: dict[str, Any], words: Language) -> str:
    return words.say("distribution.drawn", films=words.count(found["films"], "film"),
                     drawn=words.number(found["drawn"]), copies=words.number(found["drawn"] - found["films"]))


def _rows(found: dict[str, Any], run: RunFolder, words: Language) -> list[ResampledRow]:
    plain = (run.metrics.get("validation") or {}).get("figures") or {}
    return [ResampledRow(*(figure_row(name, part[name], words, positive=run.positive)
                           for part in (plain, found["figures"])))
            for name in found.get("figures") or {} if name in plain]
