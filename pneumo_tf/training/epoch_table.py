"""The table of epochs, printed row by row while a training runs."""

from __future__ import annotations

from dataclasses import dataclass

from pneumo_tf.training.checkpoint import Row

_COLUMNS = {"train loss": "loss", "valid loss": "val_loss", "error rate": "error_rate",
            "accuracy": "val_accuracy", "AUC": "val_auc"}


@dataclass
class EpochTable:
    """Prints a heading before the first row, and again when another phase begins.

    Losses weight the classes alike where the recipe does; error rate, accuracy and AUC are of validation.
    """

    phase: str = ""

    def show(self, row: Row) -> None:
        """Print the row of one finished epoch."""
        if row["phase"] != self.phase:
            self.phase = row["phase"]
            print(f"{self.phase}\nepoch" + "".join(f"{name:>12}" for name in _COLUMNS) + f"{'time':>8}")
        figures = "".join(_figure(row.get(key)) for key in _COLUMNS.values())
        minutes, seconds = divmod(round(row["seconds"]), 60)
        print(f"{row['epoch']:>5}{figures}{minutes:>5}:{seconds:02}", flush=True)


def _figure(value: float | None) -> str:
    return f"{'–':>12}" if value is None else f"{value:>12.4f}"
