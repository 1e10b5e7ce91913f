"""What every calibrator can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pneumo_tf.evaluation.scores import Scores


class Calibrator(ABC):
    """Turns scores into probabilities.

    Attributes:
        method: Its name, e.g. "temperature".
    """

    method: ClassVar[str]

    @property
    @abstractmethod
    def films(self) -> int:
        """Number of films that it was fitted on."""

    @property
    @abstractmethod
    def why(self) -> str:
        """Why none could be fitted, so that the scores stay as they are; else ""."""

    @classmethod
    @abstractmethod
    def fit(cls, validation: Scores) -> Self:
        """The one with the least loss on the validation films."""

    @abstractmethod
    def apply(self, scores: Scores) -> Scores:
        """The same films with probabilities in place of scores."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """What it does to a score, ready for JSON."""

    @classmethod
    @abstractmethod
    def from_parameters(cls, content: Mapping[str, Any], *, films: int, why: str) -> Self:
        """The one whose `to_json` gave `content`.

        Raises:
            KeyError, TypeError, ValueError: A record that isn't whole.
        """

    def to_json(self) -> dict[str, Any]:
        """What run.json holds of it: all that is needed to apply it to other films."""
        content = {"method": self.method, **self.parameters(), "fitted_on": "validation", "films": self.films}
        return content | ({"why": self.why} if self.why else {})
