"""How frequent the classes are in each split, what follows, and the validation drawn like the test."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pneumo_tf.report.charts.drawing import drawn
from pneumo_tf.report.charts.results import class_bars
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.sections.data import SPLITS
from pneumo_tf.report.words import Language, figure_row
from pneumo_tf.runs.folder import FIGURES, RunFolder

# Shares that differ by less move a predictive value by about a point at most.
_SAME = 0.02


def content(run: RunFolder, words: Language) -> dict[str, Any]:
    """The shares as a chart and in sentences; the drawn validation where the run has one."""
    counts, shares = counts_and_shares(run)
    parts = "; ".join(words.say("distribution.part", split=words.say(f"split.{split}"), label=label,
                                films=words.count(counts[split][label], "film"), share=words.percent(share))
                      for split in SPLITS for label, share in zip(run.classes, shares[split], strict=True))
    return {"chart": drawn("distribution", lambda: class_bars(counts, shares, run.classes, words),
                           run.path / FIGURES),
            "alt": words.say("distribution.alt", parts=parts),
            "implies": _implications(shares, run, words), **_resampled(run, words)}


def counts_and_shares(run: RunFolder) -> tuple[dict[str, dict[str, int]], dict[str, list[float]]]:
    """Films by split and class, and the classes' shares of each split in their order."""
    found = Counter((film.split, film.label) for film in run.cohort)
    counts = {split: {label: found[split, label] for label in run.classes} for split in SPLITS}
    return counts, {split: [count / max(sum(films.values()), 1) for count in films.values()]
                    for split, films in counts.items()}


def _implications(shares: dict[str, list[float]], run: RunFolder, words: Language) -> list[str]:
    """A sentence each on what validation, training and the world outside have in common with the test."""
    said = []
    for split in ("validation", "train"):
        gaps = [abs(there - here) for there, here in zip(shares[split], shares["test"], strict=True)]
        label = run.positive if run.is_binary else run.classes[gaps.index(max(gaps))]
        place = run.classes.index(label)
        said.append(words.say(f"distribution.{split}.{'same' if max(gaps) < _SAME else 'other'}", label=label,
                              there=words.percent(shares[split][place]),
                              test=words.percent(shares["test"][place])))
    return [*said, words.say("distribution.elsewhere")]


def _resampled(run: RunFolder, words: Language) -> dict[str, Any]:
    """The validation figures beside those of the validation films drawn like the test."""
    validation = run.metrics.get("validation") or {}
    plain, found = validation.get("figures") or {}, validation.get("resampling") or {}
    if "figures" not in found:
        return {"resampled": "", "rows": []}
    said = words.say("distribution.drawn", films=words.count(found["films"], "film"),
                     drawn=words.number(found["drawn"]), copies=words.number(found["drawn"] - found["films"]))
    return {"resampled": said, "rows": [
        [figure_row(name, part[name], words, positive=run.positive) for part in (plain, found["figures"])]
        for name in found["figures"] if name in plain]}


DISTRIBUTION = Section("distribution", content, "films", 30, answers=("characteristics", "balance", "shift"))
