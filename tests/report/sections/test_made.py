"""What a run took: also what the other recipe would have taken, where the minutes were counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pneumo_tf.report.sections.made import COST
from pneumo_tf.runs.folder import read_run


@pytest.mark.parametrize(("lang", "said"), [
    ("en", "Chosen for 10 minutes: the recipe fast. This machine was measured to learn from 117 films a "
           "second; sturdy would take about 5 min 51 s."),
    ("es", "Elegida para 10 minutos: la receta fast. Se midió que este equipo aprende de 117 imágenes "
           "por segundo; sturdy tardaría unos 5 min 51 s.")])
def test_what_the_other_recipe_would_cost_is_told_where_it_was_measured(
        finished_run: Path, changed: Callable[..., Path], filled: Callable[..., str], lang: str,
        said: str) -> None:
    assert "117" not in filled(COST, read_run(finished_run), lang)
    changed(finished_run, pace={"minutes": 10.0, "films_per_second": 117.2, "epochs": 0, "seconds": 120.0,
                                "other": "sturdy", "other_seconds": 351.0})
    assert said in filled(COST, read_run(finished_run), lang)
