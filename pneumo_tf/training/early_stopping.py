"""Early stopping, as the assignment defines it; it knows nothing of networks and serves any loop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from pneumo_tf.errors import OptionError


@dataclass
class EarlyStopping:
    """Counts the epochs without improvement.

    Attributes:
        mode: "min" where less is better, "max" where more is.
        patience: Epochs in a row without improvement at which to stop, at least 1.
        relative: Whether the tolerance is a share of the best figure's size.
        tolerance: By how much a figure must be better than the best one to count, 0 or more.
        best: The best figure so far; None before the first.
        waited: Epochs since then.

    Raises:
        OptionError: Options without a meaning.
    """

    mode: str = "min"
    patience: int = 5
    relative: bool = False
    tolerance: float = 0.0
    best: float | None = field(default=None, init=False)
    waited: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.mode not in ("min", "max"):
            raise OptionError("Early stopping waits for the least or the greatest figure.",
                              received=f"mode {self.mode!r}", remedy="Choose min or max.")
        if isinstance(self.patience, bool) or not isinstance(self.patience, int) or self.patience < 1:
            raise OptionError("The patience is a whole number of epochs, at least 1.",
                              received=f"patience {self.patience}", remedy="Choose, say, 5.")
        if not 0 <= self.tolerance < math.inf:
            raise OptionError("The tolerance of early stopping must be 0 or more.",
                              received=f"tolerance {self.tolerance}", remedy="Choose, say, 0.")

    def improved(self, value: float) -> bool:
        """Whether a figure is better than the best so far by more than the tolerance; changes nothing.

        The first one is; NaN and infinity never are.
        """
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.tolerance * (abs(self.best) if self.relative else 1)

    def should_stop(self, value: float) -> bool:
        """Count an epoch's figure; True once as many in a row as `patience` were no improvement."""
        if self.improved(value):
            self.best, self.waited = float(value), 0
        else:
            self.waited += 1
        return self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        """The best figure and the count, ready for JSON."""
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.best, self.waited = state["best"], state["waited"]
