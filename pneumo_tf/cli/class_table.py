"""Films and patients of each class, as both commands that make a cohort print them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from pneumo_tf.cohort import Cohort


def class_table(cohort: Cohort) -> Table:
    """One row per class; patients that no name tells are said to be unknown."""
    from rich.table import Table

    table = Table("class", "films", "patients")
    for column in table.columns[1:]:
        column.justify = "right"
    for label in cohort.classes:
        films = [film for film in cohort if film.label == label]
        patients = {film.patient for film in films} - {""}
        table.add_row(label, f"{len(films):,}", f"{len(patients):,}" if patients else "unknown")
    return table
