"""The sections on perturbed films and on several views, from what evaluate_model.py leaves in a run."""

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pneumo_tf.evaluation.robustness import combined, judge_views, robustness
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.stressed import stress_figures
from pneumo_tf.report.page import write_report
from pneumo_tf.report.sections import robustness as robustness_section
from pneumo_tf.report.sections.robustness import ROBUST, perturbed, views
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import PERTURBED_FILMS, ROBUSTNESS, read_run


def films_of_the_test(run: Path) -> Scores:
    """The run's test films, as predictions.csv has them."""
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    table = pd.read_csv(run / "predictions.csv", dtype={"patient": str})
    table = table[table["split"] == "test"]
    classes = facts["classes"]
    return Scores(tuple(classes), facts["positive"], list(table["id"]),
                  np.array([classes.index(label) for label in table["label"]]),
                  table[[f"p_{name}" for name in classes]].to_numpy(), table["patient"].to_numpy(str))



def rescored(run: Path, *, fault: float = 0.3) -> Path:
    """Leave in a run what rescoring would: a perturbation that harms, one that doesn't, and three views."""
    scores, generator = films_of_the_test(run), np.random.default_rng(0)
    threshold = json.loads((run / "run.json").read_text(encoding="utf-8"))["operating_point"]["threshold"]
    classes = len(scores.classes)
    harmed = (1 - fault) * scores.values + fault * np.eye(classes)[0]
    noisy = np.abs(scores.values + generator.normal(0, 0.1, (2, *scores.values.shape)))
    views = np.concatenate([scores.values[None], noisy / noisy.sum(axis=2, keepdims=True)])
    ways = combined(scores, views)
    record = {"films": len(scores.ids), "patients": len(np.unique(scores.groups)), "of": 99,
              "classes": list(scores.classes), "positive": scores.positive, "threshold": threshold,
              "perturbations": robustness(scores, {"blur": harmed, "flip": scores.values}, threshold,
                                          resamples=30),
              "views": {"count": 3, "preset": "films", "validation_films": len(scores.ids), "rule": "youden",
                        **judge_views(ways, ways if classes == 2 else None, threshold=threshold,
                                      fix=lambda _: 0.6, resamples=30)}}
    (run / ROBUSTNESS).write_text(json.dumps(record), encoding="utf-8")
    (run / PERTURBED_FILMS).mkdir(exist_ok=True)
    Image.new("L", (20, 20), 90).save(run / PERTURBED_FILMS / "blur.jpeg")
    return run


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    return found[0] if found else ""


def shown(run: Path, lang: str = "en") -> str:
    return write_report(run, lang=lang).read_text(encoding="utf-8")


def test_a_run_that_wasnt_rescored_has_neither_section(finished_run: Path) -> None:
    page = shown(finished_run)
    assert section(page, "robust") == section(page, "tta") == ""
    assert 'href="#robust"' not in page


def test_both_sections_stand_in_the_page_and_its_contents(finished_run: Path) -> None:
    page = shown(rescored(finished_run))
    assert 'href="#robust"' in page
    assert 'href="#tta"' in page
    robust = section(page, "robust")
    assert "Blurred" in robust
    assert "Left and right exchanged" in robust
    assert robust.count("<img ") == 1  # there is no other picture
    assert 'alt="A film after this change: Blurred"' in robust
    for way in ("The film alone", "Mean", "Maximum", "Surest view"):
        assert way in section(page, "tta")


def test_the_worst_perturbation_is_named_with_its_share(finished_run: Path) -> None:
    run = read_run(rescored(finished_run))
    record, words = run.record(ROBUSTNESS), language("en")
    most = perturbed(run, words)["most"]
    assert "Blurred" in most
    assert words.percent(record["perturbations"][0]["changed"]["value"]) in most
    assert "Not one film" in perturbed(read_run(rescored(finished_run, fault=0)), words)["most"]


def test_a_negative_is_no_small_change(finished_run: Path) -> None:
    rows = [{"name": "blur", "changed": {"value": 0.0, "count": 0, "of": 9}, "shift": {}, "auc": None},
            {"name": "negative", "changed": {"value": 0.9, "count": 8, "of": 9}, "shift": {}, "auc": None}]
    assert "after a small change" in robustness_section._most({"perturbations": rows}, language("en"))


@pytest.mark.parametrize(("accuracy", "sensitivity", "said", "also"), [
    ((-0.02, 0.02), (-0.05, 0.05), "no more than chance explains", False),
    ((-0.2, 0.2), (-0.05, 0.05), "can't be said", False),
    ((-0.02, 0.02), (-0.15, -0.05), "no more than chance explains", True)])
def test_a_gain_is_judged_by_its_interval_and_names_what_else_moves(accuracy, sensitivity, said, also):
    changes = {name: {"value": sum(ends) / 2, "low": ends[0], "high": ends[1]}
               for name, ends in (("accuracy", accuracy), ("sensitivity", sensitivity))}
    way = {"name": "maximum", "own": {"changes": changes}, "refixed": None}
    told = " ".join(robustness_section._gain("same", way, language("en")))
    assert said in told
    assert ("Sensitivity −10.0 −15.0 to −5.0" in told) is also


def test_the_verdict_says_when_the_maximum_is_legitimate(finished_run: Path) -> None:
    tta = section(shown(rescored(finished_run)), "tta")
    assert "not legitimate with that threshold" in tta
    assert "treated alike" in tta


def test_in_spanish_without_a_word_of_english(finished_run: Path) -> None:
    page = shown(rescored(finished_run), "es")
    assert "Desenfocada" in section(page, "robust")
    assert "no es legítimo con ese umbral" in section(page, "tta")
    assert not re.search(r"\b(the|film|views)\b", re.sub(r"<[^>]*>", " ", section(page, "tta")))


def test_several_classes_have_no_threshold(run_of: Callable[..., Path]) -> None:
    run = rescored(run_of(classes=("NORMAL", "bacteria", "virus")))
    found, words = read_run(run), language("en")
    assert [title for title, _ in views(found, words)["tables"]] == ["The class with the highest score wins"]
    assert len(perturbed(found, words)["rows"][0]["shifts"]) == 3
    assert "Several classes have no threshold" in section(shown(run), "tta")


def test_a_class_named_like_markup_is_text(run_of: Callable[..., Path]) -> None:
    page = shown(rescored(run_of(classes=("<b>A</b>", "<script>alert(1)</script>"))))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; " in section(page, "robust")


@pytest.mark.parametrize("lang", ["en", "es"])
def test_stress_is_told_by_its_mean_its_worst_and_row_by_row(
        finished_run: Path, filled: Callable[..., str], lang: str) -> None:
    run = rescored(finished_run)
    older = filled(ROBUST, read_run(run), lang)
    record, scores = json.loads((run / ROBUSTNESS).read_text()), films_of_the_test(run)
    harmed = 0.7 * scores.values + 0.3 * np.eye(2)[0]
    figures = stress_figures(scores, {"blur": harmed, "flip": scores.values}, 0.5, resamples=30)
    record["stress"] = {"acts_on": "films at hand", **figures}
    (run / ROBUSTNESS).write_text(json.dumps(record))
    html, words = unescape(filled(ROBUST, read_run(run), lang)), language(lang)
    assert words.say("robust.held") in html
    assert words.say("robust.held") not in older  # an older record is still read
    assert words.percent(figures["mean"]["balanced_accuracy"]["value"]) in html
    assert words.say("robust.acts.films at hand") in html
    for row in figures["perturbations"]:
        assert words.percent(row["specificity"]["value"]) in html


@pytest.mark.parametrize("lang", ["en", "es"])
def test_every_perturbation_has_a_name(lang: str) -> None:
    from pneumo_tf.studies.perturbations import perturbations

    assert {f"robust.{name}" for name in perturbations(100)} <= language(lang).texts.keys()
