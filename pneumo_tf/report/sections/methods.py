"""The terms of the appendix, each explained once."""

from __future__ import annotations

from typing import Any

from pneumo_tf.report.rendering import Section
from pneumo_tf.report.words import Language
from pneumo_tf.runs.folder import RunFolder

_TERMS = ("interval", "wilson", "bootstrap", "delong", "newcombe", "mover", "log_loss", "calibration",
          "out_of_fold", "splits", "law", "explanation")


def content(_: RunFolder, words: Language) -> dict[str, Any]:
    """Every term with its explanation."""
    return {"terms": [(words.say(f"methods.{term}"), words.say(f"methods.{term}.means")) for term in _TERMS]}


METHODS = Section("methods", content, "made", 25, answers=("metrics",), pages=("report", "external"))
