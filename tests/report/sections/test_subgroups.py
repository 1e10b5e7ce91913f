import json

import pytest

from pneumo_tf.evaluation.shortcuts import fact_table
from pneumo_tf.report.sections.subgroups import SUBGROUP, content
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import read_run

SENSITIVITY = {"value": 0.961, "low": 0.941, "high": 0.975, "count": 719, "of": 748, "patients": 395,
               "effective": 600.0, "method": "Wilson by patient"}
AREA = {"value": 0.9971, "low": 0.995, "high": 0.999, "films": 1144, "patients": 700, "resamples": 1000,
        "skipped": 0, "method": "patient bootstrap, 1000 resamples", "positives": 748, "negatives": 396}
ABSENT = {"value": None, "low": None, "high": None, "positives": 3, "negatives": 396, "why": "few_films"}
BACTERIA = {"by": "subtype", "name": "bacteria", "films": 748, "patients": 395, "few": False,
            "figures": {"sensitivity": SENSITIVITY, "auc": AREA}}
VIRUS = {"by": "subtype", "name": "virus", "films": 3, "patients": 2, "few": True,
         "figures": {"sensitivity": SENSITIVITY | {"count": 2, "of": 3}, "auc": ABSENT}}
SMALL = {"by": "megapixels", "name": "lower", "from": 0.5, "to": 1.25, "films": 20, "patients": 20,
         "few": False, "figures": {"specificity": SENSITIVITY, "auc": AREA}}


@pytest.fixture
def run_with(finished_run):
    def make(*parts):
        metrics = json.loads((finished_run / "metrics.json").read_text())
        metrics["test"]["subgroups"] = list(parts)
        (finished_run / "metrics.json").write_text(json.dumps(metrics))
        return finished_run
    return make


def shown(run, code="en"):
    return content(read_run(run), language(code))["tables"]


def test_subtypes_have_their_own_words_and_figures(run_with):
    groups = shown(run_with(BACTERIA, VIRUS), "es")[0]
    assert (groups["title"], groups["columns"]) == ("Subtipo", ["Sensibilidad", "Área bajo la curva ROC"])
    assert [row["name"] for row in groups["rows"]] == ["bacteriana", "vírica"]
    assert groups["rows"][0]["cells"][0][0] == "96,1\u00a0%"
    assert groups["rows"][0]["films"] == "748 (395)"


def test_an_unknown_subtype_keeps_its_name(run_with):
    assert shown(run_with(BACTERIA | {"name": "fungus"}))[0]["rows"][0]["name"] == "fungus"


def test_few_films_are_called_few_instead_of_an_interval(run_with):
    row = shown(run_with(BACTERIA, VIRUS))[0]["rows"][1]
    assert row["cells"][0][1] == "only 3 films"
    assert row["cells"][1][0] == "–"
    assert "fewer than 10 films" in row["cells"][1][1]


@pytest.mark.parametrize("code", ["en", "es"])
@pytest.mark.parametrize("fact", fact_table([]))
def test_every_fact_that_parts_films_has_a_title(run_with, fact, code):
    share = SMALL | {"by": fact, "from": 0.0, "to": 1.0}
    assert len(shown(run_with(share), code)[0]["title"]) > 5


def test_thirds_are_named_by_their_range_and_gaps_are_dashes(run_with):
    parts = [SMALL, SMALL | {"name": "upper", "from": 1.3, "to": 1.3,
                             "figures": {"sensitivity": SENSITIVITY, "auc": AREA}}]
    groups = shown(run_with(*parts))[0]
    assert groups["title"] == "Pixels of the original film, in millions"
    assert [row["name"] for row in groups["rows"]] == ["0.50 to 1.25", "1.30"]
    assert groups["columns"] == ["Sensitivity", "Specificity", "Area under the ROC curve"]
    assert groups["rows"][0]["cells"][0] is None


def test_what_the_pipeline_records_can_be_shown(finished_run, run_of):
    assert {groups["title"] for groups in shown(finished_run)} == {
        "Pixels of the original film, in millions", "Size of the original file, in bytes",
        "Width of the original film by its height"}
    assert shown(run_of(classes=("a", "b", "c")))[0]["columns"] == ["Accuracy"]


def test_a_run_without_groups_shows_no_section(run_with):
    assert content(read_run(run_with()), language("en")) is None


def test_names_of_groups_are_text(run_with, filled):
    html = filled(SUBGROUP, read_run(run_with(BACTERIA | {"name": "<script>1</script>"})))
    assert "<script" not in html
    assert "&lt;script&gt;" in html
