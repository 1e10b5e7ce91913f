"""What to expect on films of other hospitals, before any was seen: a range drawn from what stress costs.

A run's figures are of films like those that it learnt from. Two things lie between them and another hospital.
The pictures differ, in framing, grey levels, sharpness and marks: stress imitates that, and what it costs can
be measured. And the patients differ, in age, in the share and the kinds of disease, in how others read them:
no change of a picture imitates that.

So a figure of the run's own films that stress lowers by d is expected to fall

- by a quarter of d to three quarters of it: one hospital differs in some of the ways that stress combines;
- and by up to 0.15 for what stress can't show, the largest loss that was seen in networks which stress hardly
  touched; or to rise by up to 0.05, because the patients may be easier.

And scores of films from elsewhere mostly move to one side, where sensitivity gains what specificity loses, or
the other way round. The figure that stress costs less is expected higher by a quarter of the difference, the
other lower: of three `fast` networks, which stress cost 0.10 to 0.15 of sensitivity and 0.23 to 0.31 of
specificity, the kind was measured elsewhere to find 0.977 (0.94 of its own films) at a specificity of 0.75
(0.96).

Where the ends lie further apart than 0.30 they are drawn in about the middle, since a wider range says
nothing; few films of one's own widen the range as far as that allows.

It was held against what is known of the children's chest films (tests/evaluation/test_forecast.py): the
specificity of frozen features, 0.97, fell to 0.58 under strong views and to 0.76 in six invented hospitals,
and was 0.75 on independent films; that of a network trained throughout under strong views, 0.97, fell to 0.93
and was 0.82 to 0.89. It wasn't held against InceptionV3's frozen features, which had 0.35 to 0.65 there and
whose stress nobody measured. It doesn't hold for films of another kind, such as adults' after children's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pneumo_tf.evaluation.intervals import Estimate
from pneumo_tf.evaluation.stressed import FOR_TWO

WIDEST = 0.30
_HIDDEN_LOSS, _HIDDEN_GAIN = 0.15, 0.05  # of a figure, that stress can't show
_FEWEST = 30  # stressed films, below which nothing is foretold


@dataclass(frozen=True, slots=True)
class Range:
    """What to expect elsewhere of a figure.

    Attributes:
        low, high: The ends, in [0, 1], at most 0.30 apart.
        own: The figure on the run's own films.
        stressed: On those that were stressed.
        lost: By how much stress lowers it, at least 0.
    """

    low: float
    high: float
    own: float
    stressed: float
    lost: float


def forecast(own: Mapping[str, Estimate], stress: Mapping[str, Any]) -> dict[str, Range]:
    """The ranges of sensitivity and specificity on films of other hospitals.

    Args:
        own: Figures of the run's own test films.
        stress: As `stress_figures` gives them, at the same threshold.

    Returns:
        Both figures by name; empty where stress wasn't measured, on fewer than 30 films, or where a figure
        doesn't exist.
    """
    together, clean = stress.get("together"), stress.get("clean")
    if not together or not clean or stress["films"] < _FEWEST or any(
            part.get(name, {}).get("value") is None for part in (own, together, clean) for name in FOR_TWO):
        return {}
    lost = {name: max(clean[name]["value"] - together[name]["value"], 0.0) for name in FOR_TWO}
    mean = sum(lost.values()) / 2
    return {name: foretold(own[name], stressed=together[name]["value"], lost=lost[name],
                           moved=(mean - lost[name]) / 2) for name in FOR_TWO}


def foretold(own: Estimate, *, stressed: float, lost: float, moved: float) -> Range:
    """The range of one figure.

    Args:
        own: On the run's own films, with its interval.
        stressed: On films that were stressed.
        lost: What that cost, at least 0.
        moved: What it gains from the other one because scores move to one side; below 0 what it gives.
    """
    value = float(own["value"])
    bottom, top = (value if own.get(end) is None else float(own[end]) for end in ("low", "high"))
    middle = value - lost / 2 + moved - (_HIDDEN_LOSS - _HIDDEN_GAIN) / 2
    low = min(max(bottom - 3 / 4 * lost + moved - _HIDDEN_LOSS, middle - WIDEST / 2, 0.0), 1.0)
    high = max(min(top - lost / 4 + moved + _HIDDEN_GAIN, middle + WIDEST / 2, 1.0), low)
    return Range(low, high, value, stressed, lost)

