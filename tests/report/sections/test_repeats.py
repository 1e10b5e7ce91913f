import json
from collections.abc import Callable

import pandas as pd
import pytest

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.report.sections import repeats
from pneumo_tf.report.sections.repeats import LEARNING, REPEAT_SPLITS
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import RunError, RunFolder

FIGURES = {"auc": 0.991, "sensitivity": 0.95, "specificity": 0.97, "accuracy": 0.955, "brier": 0.04}


def a_split(seed: int, *, better: float) -> dict:
    return {"seed": seed, "films": {"train": 60, "validation": 10, "test": 30},
            "patients": {"train": 30, "validation": 5, "test": 15}, "threshold": 0.4,
            "figures": {name: value + better for name, value in FIGURES.items()}}


def an_outlook(**changes) -> dict:
    return {"value": None, "low": None, "high": None, "method": "", "n": 5, "patients": 3622,
            "smallest": 0.001, "verdict": "unclear", "why": "unlawful"} | changes


GROWS = {"value": 0.0042, "low": 0.0031, "high": 0.0052, "verdict": "grows",
         "law": {"limit": 0.03, "drop": 0.02, "decay": 0.5, "unit": 1811}}


@pytest.fixture
def record() -> dict:
    """Two other splits, one on either side of the run's own; four sizes."""
    splits = [a_split(7, better=-0.002), a_split(8, better=0.004)]
    figures = {name: {"value": value + 0.001, "sd": 0.004, "least": value - 0.002, "most": value + 0.004,
                      "low": 0.9, "high": 1.0, "n": 2, "own": value, "method": ""}
               for name, value in FIGURES.items()}
    own = {key: value for key, value in a_split(0, better=0).items() if key != "seed"}
    steps = [{"patients": size, "films": 1.6 * size, **{name: {"value": 0.9, "low": 0.88, "high": 0.91,
              "n": 5 if size < 1811 else 1} for name in ("area", "log_loss")}}
             for size in (226, 453, 906, 1811)]
    return {"recipe": "fast", "repeats": 2, "test_to_rest": 0.43, "figures": figures, "own": own,
            "splits": splits,
            "learning": {"draws": 5, "sizes": steps,
                         "outlook": {"area": an_outlook(**GROWS), "log_loss": an_outlook()}}}


@pytest.fixture
def run_of(tmp_path) -> Callable[..., RunFolder]:
    """As much of a run as the sections look at."""
    facts = {"classes": ["NORMAL", "PNEUMONIA"], "positive": "PNEUMONIA", "recipe": "fast"}
    cohort, nothing = Cohort((Radiograph("a", "NORMAL"),)), pd.DataFrame()
    return lambda **changes: RunFolder(tmp_path, facts | changes, {}, nothing, cohort, nothing)


@pytest.fixture
def undrawn(monkeypatch) -> None:
    """Drawing takes most of the time, and these tests read words."""
    monkeypatch.setattr(repeats, "drawn", lambda *_: "")


def shown(run: RunFolder, record: dict, code: str = "en") -> dict:
    """What both sections show."""
    (run.path / "repeats.json").write_text(json.dumps(record))
    return repeats.learning(run, language(code)) | repeats.splits(run, language(code))


def test_a_run_that_was_not_repeated_shows_nothing(run_of):
    for section in (REPEAT_SPLITS, LEARNING):
        assert section.content(run_of(), language("en")) is None


def test_a_damaged_record_is_said_in_one_line(run_of):
    run = run_of()
    (run.path / "repeats.json").write_text("{")
    with pytest.raises(RunError, match=r"repeats\.json must be JSON"):
        repeats.splits(run, language("en"))


@pytest.mark.usefixtures("undrawn")
def test_each_figure_stands_beside_that_of_the_runs_own_split(run_of, record):
    told = shown(run_of(), record)
    row = told["rows"][0]
    assert tuple(row.values()) == (
        "Area under the ROC curve", "0.991", "0.992 ± 0.004", "0.900 to 1.000")
    assert [split[0] for split in told["splits"]] == ["This run's split", "7", "8"]


@pytest.mark.usefixtures("undrawn")
def test_a_figure_without_spread_has_no_interval(run_of, record):
    record["figures"]["auc"] |= {"low": None, "high": None}
    assert shown(run_of(), record)["rows"][0]["interval"] == "–"


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", ["auc", "sensitivity", "specificity"])
@pytest.mark.parametrize(("better", "said"), [(0, "neither lucky nor unlucky"), (0.008, "best of all 7"),
                                              (-0.2, "worst of all 7")])
def test_luck_is_told_by_the_place_of_every_headline_figure(run_of, record, name, better, said):
    record["figures"][name]["own"] += better
    luck = shown(run_of(), record | {"repeats": 6})["luck"]
    assert said in luck
    assert ("neither" in luck) is not better


@pytest.mark.usefixtures("undrawn")
def test_few_splits_tell_of_luck_only_where_one_lies_outside(run_of, record):
    assert "can't be told from only 2 others" in shown(run_of(), record)["luck"]
    record["figures"]["sensitivity"] |= {"own": 0.83, "least": 1.0, "most": 1.0}
    record["figures"]["specificity"]["own"] = 1.0
    luck = shown(run_of(), record)["luck"]
    assert "worst of all 3 by: Sensitivity 0.830" in luck
    assert "best of all 3 by: Specificity 1.000" in luck


@pytest.mark.usefixtures("undrawn")
def test_a_split_that_lacks_a_class_says_nothing_of_luck(run_of, record):
    for figure in record["figures"].values():
        figure["own"] = None
    told = shown(run_of(), record)
    assert "can't be told" in told["luck"]
    assert told["rows"][0]["own"] == "–"


@pytest.mark.usefixtures("undrawn")
def test_the_spread_is_told_apart_from_a_standard_error(run_of, record):
    said = shown(run_of(), record)["overlap"]
    assert "allows for the films that the 2 splits share" in said
    means = language("en").say("methods.splits.means")
    assert "wider than that of independent samples" in means


@pytest.mark.usefixtures("undrawn")
def test_only_caveats_that_hold_for_the_run_are_shown(run_of, record):
    assert shown(run_of(), record)["caveats"] == []
    other = run_of(recipe="full", split_by="film", options={"keep_test": True})
    recipe, kept, by_film = shown(other, record)["caveats"]
    assert "isn't what is judged here" in recipe
    assert "the source had set apart" in kept
    assert "film by film" in by_film


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("change", "said"), [
    (GROWS, "(3,622), the area under the ROC curve is expected to rise by 0.004 (from 0.003 to 0.005"),
    ({**GROWS, "verdict": "flat"}, "expected to rise by less than 0.001"),
    ({"why": "few"}, "too few training patients"), ({}, "What the area under the ROC curve would be")])
def test_the_answer_is_one_sentence(run_of, record, change, said):
    record["learning"]["outlook"]["area"] = an_outlook(**change)
    assert said in shown(run_of(), record)["answers"][0]


FLAT = {**GROWS, "value": 0.0002, "low": 0.0, "high": 0.0004, "verdict": "flat"}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("area", "loss", "said", "unsaid"), [
    (FLAT, FLAT, "Hardly", "Yes"), (FLAT, GROWS, "Yes, somewhat.", "Hardly"), (GROWS, FLAT, "Yes", "Hardly"),
    (FLAT, {}, "less than 0.001", "Hardly"),
    ({"why": "apart", "low": 0.0, "high": 0.01}, {}, "can't be told:", "Hardly")])
def test_hardly_is_said_only_where_both_figures_are_flat(run_of, record, area, loss, said, unsaid):
    record["learning"]["outlook"] = {"area": an_outlook(**area), "log_loss": an_outlook(**loss)}
    answers = " ".join(shown(run_of(), record)["answers"])
    assert said in answers
    assert unsaid not in answers


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("high", "is_flat"), [(0.97, True), (1.0, False), (None, False)])
def test_an_area_without_room_to_rise_is_not_called_flat(run_of, record, high, is_flat):
    record["learning"]["outlook"] = dict.fromkeys(("area", "log_loss"), an_outlook(**FLAT))
    run = run_of()
    run.metrics["test"] = {"figures": {"auc": {"value": 0.95, "low": high and 0.9, "high": high}}}
    answers = shown(run, record)["answers"]
    assert ("Hardly" in answers[0]) is is_flat
    assert ("can't be told from these test films" in answers[0]) is not is_flat


@pytest.mark.usefixtures("undrawn")
def test_what_holds_for_both_figures_is_said_once(run_of, record):
    record["learning"]["outlook"] = dict.fromkeys(("area", "log_loss"), an_outlook(why="few"))
    assert len(shown(run_of(), record)["answers"]) == 1


@pytest.mark.usefixtures("undrawn")
def test_all_patients_have_no_range_because_they_can_be_drawn_in_one_way_only(run_of, record):
    rows = shown(run_of(), record, "es")["sizes"]
    assert [rows[0][2], rows[-1][2]] == ["0,900 (0,880 a 0,910)", "0,900"]


@pytest.mark.parametrize(("code", "question"), [("en", "Would more films help?"),
                                                ("es", "¿Ayudarían más imágenes?")])
def test_both_languages_write_the_sections_with_text_alternatives(run_of, record, filled, code, question):
    run = run_of()
    (run.path / "repeats.json").write_text(json.dumps(record))
    html = filled(REPEAT_SPLITS, run, code) + filled(LEARNING, run, code)
    assert language(code).say("learning.title") == question
    assert html.count("<svg") == html.count('role="img"') == 2
    assert "906" in repeats.learning(run, language(code))["alt"]
