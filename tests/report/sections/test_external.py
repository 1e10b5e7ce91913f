"""The page on films from elsewhere."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.evaluation.external_validation import drop
from pneumo_tf.evaluation.metrics import evaluate
from pneumo_tf.evaluation.reliability import reliability
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.report.page import write_external_report
from pneumo_tf.report.sections import external
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import RunFolder, read_run

BOUGHT = {"before": 0.5, "after": 0.25, "low": 0.2, "high": 0.3, "improved": 0.975}


def films_elsewhere(classes: list[str], positive: str, films: int, *, only: str = "") -> Scores:
    generator = np.random.default_rng(7)
    labels = np.full(films, classes.index(only)) if only else generator.integers(0, len(classes), films)
    values = generator.dirichlet(np.ones(len(classes)), films) + 0.4 * np.eye(len(classes))[labels]
    return Scores(tuple(classes), positive, [f"far-{row}" for row in range(films)], labels,
                  values / values.sum(axis=1, keepdims=True), np.array([f"q{row}" for row in range(films)]))


def page_of(run_folder: Path, *, lang: str = "en", films: int = 80, only: str = "", **record: Any) -> str:
    """Fabricate an evaluation elsewhere and give its page."""
    run = read_run(run_folder)
    table = run.predictions[run.predictions["split"] == "test"]
    here = Scores(tuple(run.classes), run.positive, list(table["id"]),
                  np.array([run.classes.index(label) for label in table["label"]]),
                  table[[f"p_{name}" for name in run.classes]].to_numpy(float),
                  table["patient"].to_numpy(str))
    there = films_elsewhere(run.classes, run.positive, films, only=only)
    threshold = run.threshold if run.is_binary else None
    test = evaluate(there, threshold, resamples=30)
    if run.is_binary:
        test["calibration"] = {stage: reliability(there, resamples=30) for stage in ("before", "after")}
    folder = run_folder / "external/clinic"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"name": "clinic", "created": "2026-01-02T03:04:05+00:00", "films_folder": "/films", "seed": 1,
               "labels": "/labels.csv", "labels_sha256": "ab", "command": ["python", "evaluate_model.py"],
               "overlap": {"films": 0, "patients": 0}, "test": test,
               "drop": drop(here, there, threshold, calibrated=lambda scores: scores, resamples=30), **record}
    (folder / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
    names = np.array(there.classes)
    frame = {"id": there.ids, "patient": there.patients, "split": "test", "label": names[there.labels],
             "predicted": names[there.predicted(threshold)]}
    columns = {f"p_{name}": there.values[:, index] for index, name in enumerate(there.classes)}
    pd.DataFrame({**frame, **columns}).to_csv(folder / "predictions.csv", index=False)
    rows = zip(there.ids, frame["label"], there.patients, strict=True)
    cohort = Cohort(tuple(Radiograph(name, str(label), file=f"{name}.jpeg", patient=str(patient))
                          for name, label, patient in rows))
    return write_external_report(folder, run, cohort, lang=lang).read_text(encoding="utf-8")


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL).split())


def test_the_page_sets_here_against_there(finished_run: Path) -> None:
    page = page_of(finished_run)
    text = text_of(page)
    assert "Does it hold on films from elsewhere?" in text
    assert "Tested on 80 films of 80 patients from another source" in text
    for place in ("elsewhere", "elsewhere-calibration", "result", "roc", "grid", "made"):
        assert f'<section id="{place}">' in page
        assert f'href="#{place}"' in page
    assert "What would a few labels buy?" not in text
    assert "evaluate_model.py" in text
    assert (finished_run / "external/clinic/figures/reliability.png").is_file()
    assert not (finished_run / "figures").exists()


def test_what_labels_buy_is_told_where_it_was_asked(finished_run: Path) -> None:
    found = {"labelled": 30, "repeats": 200, "skipped": 3,
             "figures": {"log_loss": BOUGHT, "sensitivity": BOUGHT}}
    text = text_of(page_of(finished_run, recalibration=found))
    assert "Suppose 30 films from there were labelled" in text
    assert "Log loss, calibrated 0.500 0.250 0.200 to 0.300 98%" in text
    assert "Sensitivity 50.0% 25.0% 20.0% to 30.0% 98%" in text
    found = {"labelled": 30, "repeats": 200, "skipped": 200, "figures": {}}
    assert "nothing can be said" in text_of(page_of(finished_run, recalibration=found))


def test_films_of_the_run_are_no_films_from_elsewhere(finished_run: Path) -> None:
    known = {"films": 5, "copies": 2, "alike": 3, "unseen": 7, "patients": 1}
    text = text_of(page_of(finished_run, overlap=known))
    first = text.index("Known to the run already: 5 films, 2 of them byte for byte and 3 by their looks.")
    assert first < text.index("Sought by their bytes alone: 7 films of the run")
    assert "Named like patients of the run: 1 patient." in text
    assert "byte for byte" not in text_of(page_of(finished_run))


def test_a_loss_beyond_chance_is_said_at_the_top(finished_run: Path) -> None:
    lost = {"value": -0.2, "low": -0.3, "high": -0.1, "count": 1, "of": 2}
    record = {name: {side: {**lost, "high": high} for side in ("internal", "external", "difference")}
              for name, high in (("sensitivity", -0.1), ("specificity", 0.1), ("prevalence", -0.1))}
    text = text_of(page_of(finished_run, drop=record))
    assert "beyond what chance explains: Sensitivity." in text
    assert "is not as frequent there as here" in text
    assert "−20.0 −30.0 to −10.0" in text


def lost(**differences: tuple[float | None, float | None]) -> RunFolder:
    """As much of an evaluation as tells what was lost: the intervals of differences, by figure."""
    side = {"value": 0.5, "low": 0.4, "high": 0.6}
    drops = {name: {"internal": side, "external": side,
                    "difference": {"value": 0.0, "low": low, "high": high}}
             for name, (low, high) in differences.items()}
    nothing = pd.DataFrame()
    return RunFolder(Path(), {}, {"drop": drops, "test": {"positive": "PNEUMONIA"}}, nothing, Cohort(()),
                     nothing)


@pytest.mark.parametrize(("differences", "said"), [
    ({"sensitivity": (-0.04, 0.02), "auc": (-0.01, 0.03)}, "No figure is worse"),
    ({"sensitivity": (-0.06, 0.02), "auc": (-0.01, 0.03)}, "can't be told from these: Sensitivity may"),
    ({"specificity": (None, None)}, "can't be told from these: Specificity may"),
    ({"sensitivity": (-0.06, -0.01), "auc": (-0.2, 0.1)}, "beyond what chance explains: Sensitivity."),
    ({"brier": (0.01, 0.1)}, "beyond what chance explains: Brier score, calibrated."),
    ({"brier": (-0.1, -0.01), "prevalence": (-0.5, -0.4)}, "No figure is worse")])
def test_a_loss_that_few_films_could_hide_is_not_denied(differences: dict[str, Any], said: str) -> None:
    assert said in external._lost(lost(**differences), language("en")).text


@pytest.mark.parametrize(("ends", "said"), [
    ((-0.05, 0.05), "about as frequent there as here"), ((-0.3, 0.3), "can't be told from these films"),
    ((0.1, 0.3), "is not as frequent there as here"), ((None, None), "can't be told from these films")])
def test_shares_are_called_alike_only_where_the_interval_is_narrow(ends: Any, said: str) -> None:
    assert said in external.drop(lost(prevalence=ends), language("en"))["prevalence"]


def test_one_class_leaves_out_what_doesnt_exist(finished_run: Path) -> None:
    text = text_of(page_of(finished_run, only="PNEUMONIA"))
    assert "No test film is NORMAL" in text
    assert "the split holds one class only" in text


def test_few_films_are_said_to_be_few(finished_run: Path) -> None:
    assert "Few test films" in text_of(page_of(finished_run, films=24))


def test_several_classes_and_spanish(run_of: Callable[..., Path]) -> None:
    page = page_of(run_of(classes=("NORMAL", "bacteria", "virus")), lang="es")
    assert "¿Se sostiene con imágenes de otro lugar?" in page
    assert '<section id="elsewhere-calibration">' not in page


def test_names_that_hold_markup_are_text(run_of: Callable[..., Path]) -> None:
    run = run_of(classes=("<b>A</b>", "<script>alert(1)</script>"))
    page = page_of(run, name="<script>alert(2)</script>", films_folder="<script>alert(3)")
    assert "<script>alert" not in page
