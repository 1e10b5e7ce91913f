"""Errors that the person at the keyboard can mend.

Every message is one line that says the rule, what was received and the remedy. The commands print it on
standard error and leave with exit code 2; anything else that escapes is a defect of ours and keeps its
traceback.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from pneumo_tf.language import translated

# Options whose names aren't those of the values that they set.
_OPTIONS = {"films": "--path", "extension": "--ext", "rates": "--lr", "phases": "--phase",
            "weighted": "--class-weights", "prevalences": "--prevalence"}


def option_of(name: str) -> str:
    """The command line's option for a value that the library knows by `name`: "--batch-size"."""
    return _OPTIONS.get(name, "--" + name.replace("_", "-"))


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that is spelled most like an unknown one; empty where none is near."""
    spelled = {other.casefold(): other for other in known}
    return next((spelled[match] for match in get_close_matches(name.casefold(), spelled, n=1)), "")


def choose_from(known: Iterable[str], received: str) -> str:
    """The remedy for a name that isn't known: what it was probably meant to be, and all there are."""
    known = list(known)
    near = closest(received, known)
    return (f"Did you mean {near}? " if near else "") + f"Choose one of: {', '.join(known)}."


class PneumoError(Exception):
    """A broken rule, what was received instead, and what to do about it.

    Args:
        rule: A full sentence, e.g. "A training needs at least two classes."
        received: What was found instead, without a final full stop.
        remedy: A full sentence in the imperative.
    """

    def __init__(self, rule: str, *, received: str = "", remedy: str = "") -> None:
        self.rule = rule
        self.received = received
        self.remedy = remedy
        super().__init__(rule)

    def __str__(self) -> str:
        """All three in one line, in the language in use."""
        rule, received, remedy = (" ".join(part.split()) for part in (self.rule, self.received, self.remedy))
        # A single word is a name that was typed.
        told = translated(received) if " " in received else received
        told = f"{translated('Received:')} {told}." if received else ""
        return " ".join(part for part in (translated(rule), told, translated(remedy)) if part)


class OptionError(PneumoError):
    """An option, or a combination of options, that has no meaning."""


def check_known(what: str, name: str, known: Collection[str]) -> None:
    """Refuse a name that isn't among the known ones of its kind, e.g. of the optimizers.

    Raises:
        OptionError: It isn't.
    """
    if name not in known:
        raise OptionError(f"The {what} must be one that this program knows.", received=name,
                          remedy=choose_from(known, name))


class FilmError(PneumoError):
    """Films, folders or archives that can't be used as they are."""


class LabelError(PneumoError):
    """A labels table that can't be read or doesn't fit the films."""


class WeightsError(PneumoError):
    """Weights that can't be found, or that belong to another network."""


class StorageError(PneumoError):
    """A place that can't be written to: read-only, full, or taken."""


class TrainingError(PneumoError):
    """A training that can't go on: a loss that is no number, no memory left, a damaged checkpoint."""
