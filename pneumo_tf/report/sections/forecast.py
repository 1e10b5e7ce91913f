"""What to expect on films of other hospitals: a range, and how it was made."""

from __future__ import annotations

from typing import Any

from pneumo_tf.evaluation import forecast
from pneumo_tf.evaluation.forecast import Range
from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import ROBUSTNESS, RunFolder


def foretold(run: RunFolder, words: Language) -> list[str]:
    """The forecast for the first screen, in sentences; none where there is nothing to foretell it from."""
    ranges = _ranges(run)
    if not ranges:
        return []
    found, spared = ranges["sensitivity"], ranges["specificity"]
    return [words.say("forecast.found", positive=run.positive, low=_of_hundred(found.low),
                      high=_of_hundred(found.high)),
            words.say("forecast.alarms", positive=run.positive, low=_of_hundred(1 - spared.high),
                      high=_of_hundred(1 - spared.low))]


def elsewhere(run: RunFolder, words: Language) -> dict[str, Any] | None:
    """The ranges beside what they were drawn from; None where there are none.

    Raises:
        RunError: The record of perturbed films is no JSON.
    """
    ranges = _ranges(run)
    if not ranges:
        return None
    stress = _stress(run)
    return {"sentences": foretold(run, words), "rows": [_row(name, of, words) for name, of in ranges.items()],
            "films": words.say("forecast.films.test" if run.record(ROBUSTNESS).get("stress")
                               else "forecast.films.validation", films=words.count(stress["films"], "film"),
                               patients=words.count(stress["patients"], "patient"))}


def _ranges(run: RunFolder) -> dict[str, Range]:
    """Nothing is foretold of phantoms, which no hospital takes, nor of several classes."""
    if not run.is_binary or run.facts.get("phantoms"):
        return {}
    return forecast.forecast(run.test["figures"], _stress(run))


def _stress(run: RunFolder) -> dict[str, Any]:
    """Test films after the whole table of perturbations, else the validation films of the training."""
    return dict(run.record(ROBUSTNESS).get("stress") or run.metrics.get("stress") or {})


def _row(name: str, of: Range, words: Language) -> dict[str, Any]:
    return {"name": words.named("figure", name), "own": words.percent(of.own),
            "stressed": words.percent(of.stressed),
            "expected": words.between(words.percent(of.low, 0), words.percent(of.high, 0)),
            "bar": (100 * of.low, 100 * of.high, 50 * (of.low + of.high))}


def _of_hundred(share: float) -> int:
    return round(100 * share)


FORECAST = Section("forecast", elsewhere, "trust", 45, answers=("robustness",))
